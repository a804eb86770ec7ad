//! The command-line arguments. This module uses only the standard library and clap, because the
//! build script also reads these files to generate the manual pages.

mod connect;
mod demo;
mod limits;
mod listen;
mod load;
mod relay;
mod replay;
mod tls;
mod values;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub(crate) use connect::{Connect, OnEof, OnPeerEnd};
pub(crate) use demo::Demo;
pub(crate) use limits::Limits;
pub(crate) use listen::{Listen, To};
pub(crate) use load::Load;
pub(crate) use relay::{Balance, Direction, Faults, ProxyVersion, Relay};
pub(crate) use replay::{Replay, Side};
pub(crate) use tls::{TlsClient, TlsServer};
pub(crate) use values::Span;

/// Talk over TCP and Unix sockets: a modern nc
#[derive(Debug, Parser)]
#[command(name = "fyke", version, after_help = ENDPOINTS, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) log: Log,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Listen(Listen),
    Connect(Connect),
    Relay(Box<Relay>),
    Replay(Replay),
    Load(Load),
    Demo(Demo),
    /// Print the completions for a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print a manual page, in the format of man
    #[command(after_help = MAN_EXAMPLES)]
    Man {
        /// The command; without it, the page of fyke itself
        command: Option<String>,
    },
}

/// What is printed on standard error.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Log {
    /// Log connections on standard error; -vv: also attempts and decisions; -vvv: also every system call
    /// that opens, connects or closes something
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Set the log level by its name: error, info, debug, trace
    #[arg(
        long,
        value_name = "LEVEL",
        global = true,
        conflicts_with = "verbose",
        hide_possible_values = true
    )]
    pub(crate) log: Option<Level>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Level {
    /// Only the error that ends the command
    #[default]
    Error,
    /// Connections that are opened, closed or refused
    Info,
    /// Every attempt and decision
    Debug,
    /// Every system call that opens, connects or closes something
    Trace,
}

impl Log {
    pub(crate) fn level(self) -> Level {
        self.log.unwrap_or(match self.verbose {
            0 => Level::Error,
            1 => Level::Info,
            2 => Level::Debug,
            _ => Level::Trace,
        })
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Elvish,
    Fish,
    #[value(name = "powershell")]
    Powershell,
    Zsh,
}

const ENDPOINTS: &str = "\
Endpoints (for all commands):
  8888, :8888                  a port: on all addresses (to listen), of localhost (to connect)
  127.0.0.1:8888, [::1]:8888   an IP address and a port; port 0 listens on any free port
  example.org:80               a host name and a port
  /run/x.sock, ./x.sock        a Unix socket: a path with a slash
  unix:x.sock                  a Unix socket, whatever the path looks like
  abstract:name                a Unix socket without a file (Linux)
  fd:3                         an open descriptor that fyke has inherited
  systemd:name                 the socket that systemd passed with that name; systemd: all

Sizes are written 500, 64k, 10M, 1G (multiples of 1024), times 5 (seconds), 100ms, 1.5s, 2m, 1h.

Exit status:
  0  success
  1  failure
  2  the arguments are not valid
  3  no connection could be established
  4  a time limit was exceeded
  5  the peer has reset the connection, or ended it without the closing message of TLS
  128 + n, or killed by signal n, if a signal ended the command

Examples:
  fyke demo                    show a conversation of a server and a client
  fyke listen 8888             in one terminal ...
  fyke connect 8888            ... and in another one; then type
  fyke relay 8888 db:5432      forward connections, and show statistics
  fyke load                    measure how fast this machine is

Colours are used on terminals only; NO_COLOR turns them off.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  fyke completions bash > ~/.local/share/bash-completion/completions/fyke
  fyke completions zsh > ~/.zfunc/_fyke
  fyke completions fish > ~/.config/fish/completions/fyke.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  fyke man | man -l -
  fyke man relay > /usr/local/share/man/man1/fyke-relay.1";

/// Returns the names of the commands.
#[allow(dead_code, reason = "not used by the build script")]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ["listen", "connect", "relay", "replay", "load", "demo", "completions", "man"].into_iter()
}
