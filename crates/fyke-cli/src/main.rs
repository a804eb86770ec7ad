//! The `fyke` command: talk to TCP and Unix sockets from the terminal, and watch how a
//! conversation goes. Built on the public interface of the `fyke` library alone.

#![forbid(unsafe_code)]

mod connect;
mod demo;
mod explain;
mod failure;
mod folder;
mod input;
mod listen;
mod output;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fyke::Endpoint;

use failure::Failure;

/// Talk over TCP and Unix sockets: a modern nc
#[derive(Parser)]
#[command(name = "fyke", version, after_help = ENDPOINTS)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Wait for clients; print what they send, and send them what is typed
    #[command(long_about = LISTEN, after_help = LISTEN_EXAMPLES)]
    Listen {
        /// Where to listen: 8888, host:8888, [::1]:8888, ./x.sock, abstract:name
        endpoint: String,
        /// Send everything back to the client it came from, and print nothing
        #[arg(long)]
        echo: bool,
        /// Take one client, and exit when it has left
        #[arg(long)]
        once: bool,
        /// Say on standard error where the server listens, and who comes and goes
        #[arg(short, long)]
        verbose: bool,
    },
    /// Connect; send what is typed, and print what comes
    #[command(long_about = CONNECT, after_help = CONNECT_EXAMPLES)]
    Connect {
        /// Where to connect to: 8888, host:8888, [::1]:8888, ./x.sock, abstract:name
        endpoint: String,
    },
    /// Show a conversation between a server and a client, event by event
    #[command(long_about = DEMO, after_help = DEMO_EXAMPLES)]
    Demo {
        /// Print the system calls underneath too, and what each is for
        #[arg(long)]
        explain: bool,
    },
}

const ENDPOINTS: &str = "\
Endpoints:
  8888, :8888                  a port: of all addresses (listen), of localhost (connect)
  127.0.0.1:8888, [::1]:8888   an IP address and a port; port 0 to listen on any free one
  example.org:80               a host name and a port
  ./x.sock, unix:x.sock        a Unix socket
  abstract:name                a Unix socket without a file (Linux)

Exit status: 0 done, 1 failed, 2 wrong usage.

Examples:
  fyke demo                    watch a server and a client talk
  fyke listen 8888             in one terminal ...
  fyke connect 8888            ... and in another one: now type";

// clap does not break lines by itself.
const LISTEN: &str = "\
Wait for clients; print what they send, and send them what is typed.

What arrives from any client goes to standard output as it is. Standard input
goes to all clients that are connected; it waits while there is none, and while
one of them does not keep up. At the end of standard input the server stops
sending and goes on listening. When a client has ended its side, it is sent what
is queued for it, and its connection is closed.";

const LISTEN_EXAMPLES: &str = "\
Examples:
  fyke listen 8888                  print what anybody sends to port 8888
  fyke listen -v 127.0.0.1:0        on any free port; standard error tells which
  fyke listen --echo ./echo.sock    an echo server on a Unix socket
  fyke listen --once 8888 > a.tar   receive a file from `fyke connect`";

const CONNECT: &str = "\
Connect; send what is typed, and print what comes.

The two directions end separately. At the end of standard input everything is
sent and our side is ended; fyke goes on printing until the peer ends too. When
the peer ends, what was read from standard input until then is still sent, and
fyke exits, even if there is more to come. When standard output is closed, fyke
exits too.";

const CONNECT_EXAMPLES: &str = "\
Examples:
  fyke connect 8888                 talk to a server on this machine
  fyke connect host:8888 < a.tar    send a file to `fyke listen`
  fyke connect /run/some.sock       talk to a Unix socket
  printf 'HEAD / HTTP/1.0\\r\\n\\r\\n' | fyke connect example.org:80";

const DEMO: &str = "\
Show a conversation between a server and a client, event by event.

Both sides run in this process, on one event loop: first over TCP on a free port
of 127.0.0.1, then over a Unix socket in a temporary folder. Each line says who
saw which event.";

const DEMO_EXAMPLES: &str = "\
Examples:
  fyke demo
  fyke demo --explain    with socket, bind, listen, connect, accept, shutdown, close";

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::note(&failure);
            failure.exit_code()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Listen { endpoint, echo, once, verbose } => {
            listen::listen(parse(&endpoint)?, listen::Options { echo, once, verbose })
        }
        Command::Connect { endpoint } => connect::connect(parse(&endpoint)?),
        Command::Demo { explain } => demo::demo(explain),
    }
}

/// Not left to clap: its answer would be several lines.
fn parse(endpoint: &str) -> Result<Endpoint, Failure> {
    endpoint.parse().map_err(Failure::Usage)
}
