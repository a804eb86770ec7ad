//! `fyke listen`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Limits, TlsServer, values};

/// Accept clients: print what they send, and send them standard input
#[derive(Args, Clone, Debug)]
#[command(long_about = ABOUT, after_help = EXAMPLES)]
pub(crate) struct Listen {
    /// Where to listen: 8888, host:8888, [::1]:8888, ./x.sock, abstract:name, fd:3
    #[arg(required = true)]
    pub(crate) endpoint: Vec<String>,
    /// Send all data back to the client that sent it, and print nothing
    #[arg(long, conflicts_with = "exec")]
    pub(crate) echo: bool,
    /// Accept one client, and exit when its connection is closed
    #[arg(long)]
    pub(crate) once: bool,
    /// Run this program for every client, with its standard input and output on the connection. The
    /// command is split into words as a shell would, but no shell runs it. Listens on 127.0.0.1
    /// unless an address is given, and runs at most 64 programs unless --max-connections is
    #[arg(long, value_name = "COMMAND")]
    pub(crate) exec: Option<String>,
    /// Kill a program that has not ended within TIME after SIGTERM, which it gets when its
    /// connection or fyke ends
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::duration)]
    pub(crate) kill_after: Duration,
    /// Which clients receive standard input
    #[arg(long, value_name = "WHO", value_enum, default_value = "all", conflicts_with_all = ["echo", "exec"])]
    pub(crate) to: To,
    /// Print a hex dump of what is sent and received, with time and direction
    #[arg(long, conflicts_with = "json")]
    pub(crate) hex: bool,
    /// Print every event as a line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print control characters as they are, even if standard output is a terminal
    #[arg(long, conflicts_with_all = ["hex", "json"])]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// Speak TLS 1.2 or 1.3, with the certificate of --cert or --self-signed
    #[arg(long, help_heading = "TLS, listening")]
    pub(crate) tls: bool,
    /// Accept these application protocols, the preferred one first; refuse clients that offer only
    /// others
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', help_heading = "TLS, listening")]
    pub(crate) alpn: Vec<String>,
    #[command(flatten)]
    pub(crate) tls_server: TlsServer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum To {
    /// Every client that is connected
    All,
    /// The client that connected last
    Newest,
    /// The client that each line names: `2 hello` is sent to client 2, `* hello` to all
    Chosen,
}

const ABOUT: &str = "\
Accept clients: print what they send, and send them standard input.

Data from every client is written to standard output unchanged. Standard input is sent
to the clients that --to selects; it is not read while there are none, or while one
of them cannot keep up. At the end of standard input the server stops sending
and continues to listen. When a client has ended its side, it receives what is
queued for it, and its connection is closed. With --once the command exits then.

On a terminal, control characters from a client are displayed (^[ for escape,
<U+202E>, <9B>) instead of sent to the terminal, unless --raw is given. While standard
output is not read, clients have to wait. Log lines that are not read are dropped and
counted. As a background job of a shell the server keeps running, and reads from the
terminal when it is in the foreground.

With --exec each connection runs a program. The connection counts towards
--max-connections and --max-per-ip until the program and all processes of its group
have ended. When the connection or fyke ends, the program gets SIGTERM, and SIGKILL
after --kill-after; fyke waits for it. A client that only ends its side receives all
output of the program. A program that has closed its standard output has --kill-after
to end by itself before it gets SIGTERM. A port without an address means 127.0.0.1
only; to serve other machines, use 0.0.0.0:8888 or [::]:8888.

With --tls, a client receives data, and its program is started, when the handshake is
done. Before that it counts as a connection for the limits. A handshake may take 2
minutes. A client whose handshake fails is closed, and -v logs the reason.

If a killed server has left the file of a Unix socket behind, the file is replaced. If a
server is listening on it, the command fails.";

const EXAMPLES: &str = "\
Examples:
  fyke listen 8888                  print what clients send to port 8888
  fyke listen -v 127.0.0.1:0        on any free port, reported on standard error
  fyke listen --echo ./echo.sock    an echo server on a Unix socket
  fyke listen --once 8888 > a.tar   receive a file from `fyke connect`
  fyke listen --hex 8888            print a hex dump
  fyke listen --exec 'sort -r' 8888 run a program for each client, on this machine only
  fyke listen --tls --self-signed 8888        print the fingerprint for `fyke connect --tls --pin`
  fyke listen --exec 'grep -i x' --max-connections 10 --allow 10.0.0.0/8 [::]:8888

The environment of a program has FYKE_CLIENT (a number), FYKE_REMOTE_ADDRESS and FYKE_LOCAL_ADDRESS.
--json prints {\"time\",\"event\",\"client\",...}; data is in \"text\", or in \"base64\" if it is not UTF-8.";
