//! `fyke relay`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Limits, Span, TlsClient, TlsServer, values};

/// Forward connections to other servers; monitor, limit or disturb them
#[derive(Args, Clone, Debug)]
#[command(long_about = ABOUT, after_help = EXAMPLES)]
pub(crate) struct Relay {
    /// Where to listen: 8888, host:8888, [::1]:8888, ./x.sock, abstract:name, fd:3
    pub(crate) listen: String,
    /// The servers to forward connections to, written the same way. With --route they get the
    /// clients without a matching route, and may be omitted
    #[arg(required_unless_present = "route")]
    pub(crate) target: Vec<String>,
    /// How to choose among several targets [default: round-robin]
    #[arg(long, value_name = "HOW", value_enum)]
    pub(crate) balance: Option<Balance>,
    /// Give up connecting to a target after TIME, and try the next one
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::some_time)]
    pub(crate) connect_timeout: Duration,
    /// The longest time for which a failed target is skipped; the time starts at 1 s and doubles
    /// [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = values::some_time)]
    pub(crate) backoff_max: Option<Duration>,
    /// On SIGTERM, let connections end by themselves for TIME, then close them
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::duration)]
    pub(crate) drain: Duration,
    /// Forward TLS clients to the target of the first route that matches: sni=NAME:TARGET by the
    /// server name (*.example.org matches one more label), alpn=PROTOCOL:TARGET by an offered
    /// protocol. Only the ClientHello is read; the target gets it unchanged
    #[arg(long, value_name = "ROUTE", help_heading = "TLS routes")]
    pub(crate) route: Vec<String>,
    /// With --route, how long a ClientHello may take, counted from accepting the connection
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::some_time, requires = "route", help_heading = "TLS routes")]
    pub(crate) hello_timeout: Duration,
    /// Speak TLS with clients (terminate it), with the certificate of --cert or --self-signed
    #[arg(long, conflicts_with = "route", help_heading = "TLS, listening")]
    pub(crate) tls_in: bool,
    #[command(flatten)]
    pub(crate) tls_server: TlsServer,
    /// Speak TLS with targets (originate it), and verify their certificates
    #[arg(long, help_heading = "TLS, connecting")]
    pub(crate) tls_out: bool,
    #[command(flatten)]
    pub(crate) tls_client: TlsClient,
    /// The application protocols to accept from clients and to offer to targets, the preferred one
    /// first. With --tls-in and --tls-out, a target is offered only the protocol agreed with its client
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', help_heading = "TLS, both sides")]
    pub(crate) alpn: Vec<String>,
    #[command(flatten)]
    pub(crate) proxy: Proxy,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) faults: Faults,
    /// Print statistics as a line of JSON every --interval, and at the end
    #[arg(long, help_heading = "Monitoring")]
    pub(crate) json: bool,
    /// How often to update the status line and --json
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = values::some_time, help_heading = "Monitoring")]
    pub(crate) interval: Duration,
    /// Show no status line, even if standard error is a terminal
    #[arg(short, long, help_heading = "Monitoring")]
    pub(crate) quiet: bool,
    /// Serve metrics for Prometheus at ENDPOINT, over HTTP
    #[arg(long, value_name = "ENDPOINT", help_heading = "Monitoring")]
    pub(crate) metrics: Option<String>,
    /// Record all traffic in this new file, for `fyke replay`; only its owner can read it
    #[arg(long, value_name = "FILE", help_heading = "Monitoring")]
    pub(crate) record: Option<PathBuf>,
    /// Replace the file of --record if it exists
    #[arg(long, help_heading = "Monitoring")]
    pub(crate) overwrite: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Balance {
    /// Use the targets in turn
    RoundRobin,
    /// Use the target with the fewest connections
    LeastConnections,
    /// Use the first target that works, in the given order
    First,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "PROXY protocol")]
pub(crate) struct Proxy {
    /// Send the client's address to the target, in a header of this version
    #[arg(long, value_name = "VERSION", value_enum)]
    pub(crate) proxy_out: Option<ProxyVersion>,
    /// Require a header (of either version) from these addresses, as 10.0.0.0/8 or 127.0.0.1, and
    /// refuse all others; Unix sockets are trusted. --allow, --deny and --max-per-ip use the address in
    /// the header, or the connection's own if the header has none
    #[arg(long, value_name = "CIDR")]
    pub(crate) proxy_in: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProxyVersion {
    /// A line of text
    V1,
    /// Binary
    V2,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Faults, to test other programs")]
pub(crate) struct Faults {
    /// Forward at most RATE bytes per second, for each connection and direction
    #[arg(long, value_name = "RATE", value_parser = values::rate)]
    pub(crate) throttle: Option<u64>,
    /// Delay everything by TIME
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub(crate) delay: Option<Duration>,
    /// Add a random time of up to TIME to --delay for each piece; the order is kept
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub(crate) jitter: Option<Duration>,
    /// Close a connection after BYTES, or after a random number in a range such as 1k..64k
    #[arg(long, value_name = "BYTES", value_parser = values::span)]
    pub(crate) drop_after: Option<Span>,
    /// Reset a connection (RST) after BYTES
    #[arg(long, value_name = "BYTES", value_parser = values::span)]
    pub(crate) reset_after: Option<Span>,
    /// Discard everything after BYTES, and keep the connection open
    #[arg(long, value_name = "BYTES", value_parser = values::span)]
    pub(crate) blackhole_after: Option<Span>,
    /// Split what is forwarded into pieces of BYTES
    #[arg(long, value_name = "BYTES", value_parser = values::span)]
    pub(crate) slice: Option<Span>,
    /// Only disturb data that goes up (to the target) or down
    #[arg(long, value_name = "WHERE", value_enum, default_value = "both")]
    pub(crate) direction: Direction,
    /// The random seed: with the same seed, the n-th connection is disturbed in the same way
    #[arg(long, value_name = "NUMBER", default_value = "0", value_parser = values::seed)]
    pub(crate) seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Direction {
    Up,
    Down,
    Both,
}

impl Faults {
    /// Whether any was asked for.
    #[allow(dead_code, reason = "not used by the build script")]
    pub(crate) fn any(&self) -> bool {
        let times = [self.delay, self.jitter].iter().any(Option::is_some);
        let spans = [self.drop_after, self.reset_after, self.blackhole_after, self.slice];
        self.throttle.is_some() || times || spans.iter().any(Option::is_some)
    }
}

const ABOUT: &str = "\
Forward connections to other servers; monitor, limit or disturb them.

Each direction has backpressure: a slow reader makes its sender wait, and memory use
stays constant. Each direction ends separately. A reset or an error of one connection
resets the other one, after it has received all earlier data; a peer that accepts
none of this data for 5 to 10 seconds is reset immediately. A truncated stream never
ends normally.

A client counts for --max-connections, --max-per-ip and --drain until its target's
connection has closed too. --idle-timeout closes both if no byte is transferred on
either. All connections send small writes immediately (TCP_NODELAY).

A target that cannot be connected to is skipped for a while, and the client is
connected to the next one; its connection is reset only if all fail. If all targets are
skipped, the one whose pause ends first is tried.

With --route, the relay reads the first message of a TLS client, the ClientHello, and
decrypts nothing. Names are compared without regard to case. If the client encrypts its
server name (ECH), only the outer name is known. A client without a matching route, or
without TLS, is connected to a TARGET. If there is no TARGET, a client without a matching
route gets the TLS alert unrecognized_name (no_application_protocol if all routes are
by protocol), and a client without TLS is reset. A client whose ClientHello is not
complete after --hello-timeout is always reset. A ClientHello that is not valid or has
more than 64 KiB is answered with the alert decode_error. A route has one target, so
--balance and --backoff-max need at least two TARGETs.

With --tls-in and --tls-out, --record and the faults see decrypted data, and the target is
connected to when the client's handshake is done. A target whose handshake fails is
treated like one that cannot be connected to. PROXY protocol headers are sent and
expected before TLS. --tls-in cannot be combined with --route, which decrypts nothing.

SIGTERM and Ctrl-C stop listening and let the connections end by themselves for
--drain; a second signal closes them immediately. Exit status 0 if all ended, 4 if some
were cut off.

A relay never waits for its own output: log lines and statistics that are not read
are dropped and counted ({\"event\":\"dropped\",\"lines\":9}), and the relay continues if the
reader of --json exits.
A recording that cannot be continued (because the disk is full) ends with a complete
line; the relay continues, and exits with status 1.

A program that uses TCP never sees packet loss: loss appears as delay. So there is no
option for it; use --delay, --jitter, --throttle or --blackhole-after.";

const EXAMPLES: &str = "\
Examples:
  fyke relay 8888 localhost:5432             see the traffic of a program and its database
  fyke relay :80 a:8080 b:8080 --balance least-connections
  fyke relay 127.0.0.1:2375 /run/docker.sock --allow 127.0.0.1
  fyke relay :443 10.0.0.5:443 --proxy-out v2 --metrics 127.0.0.1:9100
  fyke relay :443 --route sni=example.org:10.0.0.1:443 --route 'sni=*.example.org:web:443'
  fyke relay :443 web:443 --route alpn=acme-tls/1:127.0.0.1:8443
  fyke relay :443 8080 --tls-in --cert cert.pem --key key.pem
  fyke relay 127.0.0.1:8080 example.org:443 --tls-out
  fyke relay 6380 6379 --delay 50ms --jitter 20ms --reset-after 1k..1M --seed 7
  fyke relay 6380 6379 --record redis.jsonl && fyke replay redis.jsonl 6379";
