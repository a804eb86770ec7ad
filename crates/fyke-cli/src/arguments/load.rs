//! `fyke load`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values;

#[derive(Args, Clone, Debug)]
#[command(long_about = ABOUT, after_help = EXAMPLES)]
pub(crate) struct Load {
    /// An echo server; without it, one is started in this process
    pub(crate) endpoint: Option<String>,
    /// The number of connections; with --connect-rate, the most at a time
    #[arg(short, long, value_name = "COUNT", default_value = "50", value_parser = values::count)]
    pub(crate) connections: u64,
    /// How many requests a connection sends before it waits for an answer (closed loop)
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = values::count)]
    pub(crate) depth: u64,
    /// How long a request is
    #[arg(short, long, value_name = "BYTES", default_value = "64", value_parser = values::some_bytes)]
    pub(crate) size: u64,
    /// Send COUNT requests per second over all connections together, whether answers arrive or not
    /// (open loop)
    #[arg(short, long, value_name = "COUNT", value_parser = values::count, conflicts_with = "depth")]
    pub(crate) rate: Option<u64>,
    /// Make COUNT connections per second, each for one request, and measure from connect to answer
    #[arg(long, value_name = "COUNT", value_parser = values::count, conflicts_with_all = ["rate", "depth"])]
    pub(crate) connect_rate: Option<u64>,
    /// Only keep the connections open, and see how many stay
    #[arg(long, conflicts_with_all = ["rate", "depth", "connect_rate", "count"])]
    pub(crate) idle: bool,
    /// How long
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = values::some_time)]
    pub(crate) duration: Duration,
    /// Stop after COUNT requests, if that is earlier
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = values::count)]
    pub(crate) count: Option<u64>,
    /// Compare every byte that comes back
    #[arg(long)]
    pub(crate) verify: bool,
    /// Give up waiting for an answer or a connection after TIME
    #[arg(short, long, value_name = "TIME", default_value = "5s", value_parser = values::some_time)]
    pub(crate) timeout: Duration,
    /// Draw the latencies, as SVG
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) histogram: Option<PathBuf>,
    /// Write the latencies as HdrHistogram's tools read them
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) hgrm: Option<PathBuf>,
    /// Replace the files of --histogram and --hgrm if they exist
    #[arg(long, help_heading = "Results")]
    pub(crate) overwrite: bool,
    /// Print the result as JSON
    #[arg(long, help_heading = "Results")]
    pub(crate) json: bool,
    /// No progress bar, though standard error is a terminal
    #[arg(short, long, help_heading = "Results")]
    pub(crate) quiet: bool,
}

const ABOUT: &str = "\
Send requests to an echo server, and measure.

Closed loop (the default): each connection sends --depth requests, and one more
for each answer. It shows how much a server can do; how long an answer takes then
is a matter of how many requests wait.

Open loop (--rate): requests have a time at which they are due, and latency counts
from there, also if a request could not be sent because the server was slow. So a
pause of the server shows in every request that it made wait.

The files of --histogram and --hgrm are created before the run. An existing file is
refused unless --overwrite is given; a symbolic link is always refused.

Status 0 if all was answered, 1 if there were errors, or bytes that --verify found
changed, 3 if not even one connection could be made.";

const EXAMPLES: &str = "\
Examples:
  fyke load                                  this machine, with a server of its own
  fyke load 8888 -c 100 --size 1k --depth 8  how much goes through?
  fyke load 8888 --rate 10k -d 30s --histogram latency.svg
  fyke load 8888 --connect-rate 1000 -n 10k  short connections
  fyke load 8888 --idle -c 10k -d 1m";
