//! `fyke listen`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Limits, values};

#[derive(Args, Clone, Debug)]
#[command(long_about = ABOUT, after_help = EXAMPLES)]
pub(crate) struct Listen {
    /// Where to listen: 8888, host:8888, [::1]:8888, ./x.sock, abstract:name, fd:3
    #[arg(required = true)]
    pub(crate) endpoint: Vec<String>,
    /// Send everything back to the client it came from, and print nothing
    #[arg(long, conflicts_with = "exec")]
    pub(crate) echo: bool,
    /// Take one client, and exit when it has left
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
    /// Which clients receive what is typed
    #[arg(long, value_name = "WHO", value_enum, default_value = "all", conflicts_with_all = ["echo", "exec"])]
    pub(crate) to: To,
    /// Print a hex dump of what comes and goes, with time and direction
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum To {
    /// Every client that is connected
    All,
    /// The one that connected last
    Newest,
    /// Whom each line names: `2 hello` goes to client 2, `* hello` to all
    Chosen,
}

const ABOUT: &str = "\
Wait for clients; print what they send, and send them what is typed.

What arrives from any client goes to standard output as it is. Standard input
goes to the clients that --to says; it waits while there is none, and while one
of them does not keep up. At the end of standard input the server stops sending
and goes on listening. When a client has ended its side, it is sent what is
queued for it, and its connection is closed. With --once the command exits then.

On a terminal, control characters from a client are displayed (^[ for escape,
<U+202E>, <9B>) instead of sent to the terminal, unless --raw is given. While standard
output is not read, clients have to wait. Log lines that are not read are dropped and
counted. As a background job of a shell the server keeps running, and reads the
terminal once it is in the foreground.

With --exec a program belongs to its connection. It counts towards --max-connections
and --max-per-ip until it has ended, together with what it has started (its process
group). When the connection or fyke ends, the program gets SIGTERM, and after
--kill-after SIGKILL; fyke waits for it. A client that only ends its side gets all
that the program says. A program that has closed its standard output has
--kill-after to end by itself before it gets SIGTERM. A port alone is one of 127.0.0.1
only; to serve other machines say 0.0.0.0:8888 or [::]:8888.

The file of a Unix socket that a killed server has left is replaced; one on which
a server listens is not.";

const EXAMPLES: &str = "\
Examples:
  fyke listen 8888                  print what anybody sends to port 8888
  fyke listen -v 127.0.0.1:0        on any free port; standard error tells which
  fyke listen --echo ./echo.sock    an echo server on a Unix socket
  fyke listen --once 8888 > a.tar   receive a file from `fyke connect`
  fyke listen --hex 8888            look at the bytes
  fyke listen --exec 'sort -r' 8888 a program for each client of this machine
  fyke listen --exec 'grep -i x' --max-connections 10 --allow 10.0.0.0/8 [::]:8888

A program sees FYKE_CLIENT (a number), FYKE_REMOTE_ADDRESS and FYKE_LOCAL_ADDRESS.
--json: {\"time\",\"event\",\"client\",...}; data is \"text\", or \"base64\" when it is no UTF-8.";
