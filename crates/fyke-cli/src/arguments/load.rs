//! `fyke load`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{TlsClient, values};

/// Send requests to an echo server, and measure throughput and latency
#[derive(Args, Clone, Debug)]
#[command(long_about = ABOUT, after_help = EXAMPLES)]
pub(crate) struct Load {
    /// The echo server to connect to; without it, one is started in this process
    pub(crate) endpoint: Option<String>,
    /// The number of connections; with --connect-rate, the maximum at a time
    #[arg(short, long, value_name = "COUNT", default_value = "50", value_parser = values::count)]
    pub(crate) connections: u64,
    /// How many requests a connection sends before it waits for an answer (closed loop)
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = values::count)]
    pub(crate) depth: u64,
    /// The size of a request
    #[arg(short, long, value_name = "BYTES", default_value = "64", value_parser = values::some_bytes)]
    pub(crate) size: u64,
    /// Send COUNT requests per second over all connections together, whether answers arrive or not
    /// (open loop)
    #[arg(short, long, value_name = "COUNT", value_parser = values::count, conflicts_with = "depth")]
    pub(crate) rate: Option<u64>,
    /// Make COUNT connections per second, each for one request, and measure from connect to answer
    #[arg(long, value_name = "COUNT", value_parser = values::count, conflicts_with_all = ["rate", "depth"])]
    pub(crate) connect_rate: Option<u64>,
    /// Only keep the connections open, and count how many stay open
    #[arg(long, conflicts_with_all = ["rate", "depth", "connect_rate", "count"])]
    pub(crate) idle: bool,
    /// How long to measure
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = values::some_time)]
    pub(crate) duration: Duration,
    /// Stop after COUNT requests, if that is before the end of --duration
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = values::count)]
    pub(crate) count: Option<u64>,
    /// Check that every received byte is the one that was sent
    #[arg(long)]
    pub(crate) verify: bool,
    /// Give up waiting for an answer or a connection after TIME
    #[arg(short, long, value_name = "TIME", default_value = "5s", value_parser = values::some_time)]
    pub(crate) timeout: Duration,
    /// Draw a plot of the latencies, as SVG
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) histogram: Option<PathBuf>,
    /// Write the latencies in the format of HdrHistogram's tools
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) hgrm: Option<PathBuf>,
    /// Replace the files of --histogram and --hgrm if they exist
    #[arg(long, help_heading = "Results")]
    pub(crate) overwrite: bool,
    /// Print the result as JSON
    #[arg(long, help_heading = "Results")]
    pub(crate) json: bool,
    /// Show no progress bar, even if standard error is a terminal
    #[arg(short, long, help_heading = "Results")]
    pub(crate) quiet: bool,
    /// Speak TLS 1.2 or 1.3, and verify the server's certificate. Without an ENDPOINT, the built-in
    /// server gets a certificate that is accepted. A connection is established when its handshake is done
    #[arg(long, help_heading = "TLS, connecting")]
    pub(crate) tls: bool,
    /// Offer these application protocols, the preferred one first
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', help_heading = "TLS, connecting")]
    pub(crate) alpn: Vec<String>,
    #[command(flatten)]
    pub(crate) tls_client: TlsClient,
}

const ABOUT: &str = "\
Send requests to an echo server, and measure throughput and latency.

Closed loop (the default): each connection sends --depth requests, and one more
for each answer. It shows the throughput of a server. The latency then depends on how
many requests are queued.

Open loop (--rate): each request is due at a certain time, and its latency is measured
from that time, even if it could not be sent because the server was slow. So a pause
of the server appears in the latency of every request that it delayed.

The files of --histogram and --hgrm are created before the run. An existing file is
refused unless --overwrite is given; a symbolic link is always refused.

Exit status 0 if all requests were answered, 1 if there were errors or --verify found
changed bytes, 3 if no connection could be established.";

const EXAMPLES: &str = "\
Examples:
  fyke load                                  measure this machine, with a built-in server
  fyke load 8888 -c 100 --size 1k --depth 8  measure the throughput
  fyke load 8888 --rate 10k -d 30s --histogram latency.svg
  fyke load 8888 --connect-rate 1000 -n 10k  short connections
  fyke load 8888 --idle -c 10k -d 1m
  fyke load --tls --connect-rate 500         measure TLS handshakes, with a built-in server";
