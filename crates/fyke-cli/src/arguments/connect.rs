//! `fyke connect`.

use std::net::IpAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{TlsClient, values};

/// Connect to a server: send standard input, and print what is received
#[derive(Args, Clone, Debug)]
#[command(long_about = ABOUT, after_help = EXAMPLES)]
pub(crate) struct Connect {
    /// Where to connect to: 8888, host:8888, [::1]:8888, ./x.sock, abstract:name, fd:3
    pub(crate) endpoint: String,
    /// Give up connecting after TIME, which includes the TLS handshake; with --retry, each attempt
    #[arg(short, long, value_name = "TIME", value_parser = values::some_time)]
    pub(crate) timeout: Option<Duration>,
    /// Retry up to COUNT times, starting after 100 ms and doubling, up to --retry-max-delay
    #[arg(long, value_name = "COUNT", value_parser = values::count)]
    pub(crate) retry: Option<u64>,
    /// The longest pause between two attempts
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::some_time)]
    pub(crate) retry_max_delay: Duration,
    /// Only wait until a server listens there, for at most TIME: status 0 if one does, 4 if not
    #[arg(long, value_name = "TIME", value_parser = values::some_time, conflicts_with_all = ["retry", "hex", "json"])]
    pub(crate) wait: Option<Duration>,
    /// Connect from this local IP address
    #[arg(short, long, value_name = "ADDRESS")]
    pub(crate) source: Option<IpAddr>,
    /// Connect from this local port
    #[arg(long, value_name = "PORT")]
    pub(crate) source_port: Option<u16>,
    /// Use only the IPv4 addresses of a host
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,
    /// Use only the IPv6 addresses of a host
    #[arg(short = '6', long)]
    pub(crate) ipv6: bool,
    /// Show every attempt with its time, on standard error
    #[arg(long)]
    pub(crate) race: bool,
    /// What to do at the end of standard input
    #[arg(long, value_name = "WHAT", value_enum, default_value = "end")]
    pub(crate) on_eof: OnEof,
    /// What to do when the peer has ended its side
    #[arg(long, value_name = "WHAT", value_enum, default_value = "exit")]
    pub(crate) on_peer_end: OnPeerEnd,
    /// After the end of standard input, exit if nothing was sent or received for TIME; with status 4
    /// if the peer has not accepted everything
    #[arg(long, value_name = "TIME", value_parser = values::some_time)]
    pub(crate) linger: Option<Duration>,
    /// Exit with status 4 if nothing was sent or received for TIME
    #[arg(long, value_name = "TIME", value_parser = values::some_time)]
    pub(crate) idle_timeout: Option<Duration>,
    /// Print a hex dump of what is sent and received, with time and direction
    #[arg(long, conflicts_with = "json")]
    pub(crate) hex: bool,
    /// Print every event as a line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print control characters as they are, even if standard output is a terminal
    #[arg(long, conflicts_with_all = ["hex", "json"])]
    pub(crate) raw: bool,
    /// Speak TLS 1.2 or 1.3, and verify the server's certificate. -v prints what was negotiated, and
    /// the certificates, also those that are not accepted
    #[arg(long, help_heading = "TLS, connecting")]
    pub(crate) tls: bool,
    /// Offer these application protocols, the preferred one first
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', help_heading = "TLS, connecting")]
    pub(crate) alpn: Vec<String>,
    #[command(flatten)]
    pub(crate) tls_client: TlsClient,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnEof {
    /// Send everything, then end our side, and go on printing
    End,
    /// Send everything, leave our side open, and go on printing
    Keep,
    /// Send everything, and exit when it is delivered; data that the peer sends meanwhile is read for
    /// at most 2 more seconds
    Exit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnPeerEnd {
    /// Send what was read from standard input so far, and exit
    Exit,
    /// Go on sending until the end of standard input
    Keep,
}

const ABOUT: &str = "\
Connect to a server: send standard input, and print what is received.

The two directions end separately, and no data is lost:

  what happens                  what fyke connect does              status
  ---------------------------   ---------------------------------   ------
  standard input ends           sends all of it, ends our side,
                                prints until the peer ends, too          0
  the peer ends its side        prints all of it, sends what was
                                read from standard input until
                                then, and exits                          0
  standard output is closed     exits immediately                        0
  the peer resets the           prints what was received before,
  connection (RST), or stops    reports the error, and exits             5
  reading

--on-eof and --on-peer-end change the first two; --linger limits the first.

With --tls, the connection is established when the handshake is done: before that, no
input is read, and a failure is retried (--retry, --wait) and has status 3. If the peer
then ends the connection without the closing message of TLS (close_notify), data may be
missing, and the status is 5.

On a terminal, control characters from the peer are displayed (^[ for escape,
<U+202E>, <9B>) instead of sent to the terminal, unless --raw is given. While standard
output is not read, the peer has to wait; the other direction continues.";

const EXAMPLES: &str = "\
Examples:
  fyke connect 8888                 talk to a server on this machine
  fyke connect host:8888 < a.tar    send a file to `fyke listen`
  fyke connect /run/some.sock       talk to a Unix socket
  fyke connect --wait 30s db:5432 && start-my-program
  fyke connect --race -t 5s example.org:80
  printf 'HEAD / HTTP/1.0\\r\\n\\r\\n' | fyke connect example.org:80
  fyke connect --tls -v example.org:443 < /dev/null     show the certificates of a server
  fyke connect --tls --alpn h2,http/1.1 --ca authority.pem 10.0.0.5:443 --sni example.org";
