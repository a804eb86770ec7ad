//! The command-line arguments. This module uses only the standard library and clap, because the
//! build script also reads these files to generate the manual pages.

mod connect;
mod demo;
mod limits;
mod listen;
mod load;
mod relay;
mod replay;
mod values;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub(crate) use connect::{Connect, OnEof, OnPeerEnd};
pub(crate) use demo::Demo;
pub(crate) use limits::Limits;
pub(crate) use listen::{Listen, To};
pub(crate) use load::Load;
pub(crate) use relay::{Balance, Direction, Faults, ProxyVersion, Relay};
pub(crate) use replay::{Replay, Side};
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
    /// Wait for clients; print what they send, and send them what is typed
    Listen(Listen),
    /// Connect; send what is typed, and print what comes
    Connect(Connect),
    /// Pass connections on to other servers, and watch, limit or disturb them
    Relay(Box<Relay>),
    /// Play what `relay --record` has recorded
    Replay(Replay),
    /// Send requests to an echo server, and measure
    Load(Load),
    /// Show a conversation between a server and a client, event by event
    Demo(Demo),
    /// Print the completions for a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// For which shell
        shell: Shell,
    },
    /// Print a manual page, as man reads it
    #[command(after_help = MAN_EXAMPLES)]
    Man {
        /// Of which command; without it, of fyke itself
        command: Option<String>,
    },
}

/// What is printed on standard error.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Log {
    /// Say on standard error who comes and goes; twice: every attempt too; three times: every
    /// system call that makes, joins or ends something
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// The same by name: error, info, debug, trace
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
    /// Only what ends the command
    #[default]
    Error,
    /// Who comes and goes
    Info,
    /// Every attempt and decision
    Debug,
    /// Every system call that makes, joins or ends something
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
Endpoints, the same everywhere:
  8888, :8888                  a port: of all addresses (to listen), of localhost (to connect)
  127.0.0.1:8888, [::1]:8888   an IP address and a port; port 0 to listen on any free one
  example.org:80               a host name and a port
  /run/x.sock, ./x.sock        a Unix socket: a path with a slash
  unix:x.sock                  a Unix socket, whatever the path looks like
  abstract:name                a Unix socket without a file (Linux)
  fd:3                         an open socket that fyke was started with
  systemd:name                 the one that systemd has opened by that name; systemd: all

Sizes are 500, 64k, 10M, 1G (of 1024); times 5 (seconds), 100ms, 1.5s, 2m, 1h.

Exit status:
  0  done
  1  failed
  2  wrong usage
  3  no connection could be made
  4  out of time
  5  the peer has broken the connection off
  128 + n, or dead by signal n, when a signal ended it

Examples:
  fyke demo                    watch a server and a client talk
  fyke listen 8888             in one terminal ...
  fyke connect 8888            ... and in another one: now type
  fyke relay 8888 db:5432      pass on, and see how much
  fyke load                    how fast is this machine?

Colours are for terminals only, and NO_COLOR switches them off.";

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
#[allow(dead_code, reason = "the build script has no use for it")]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ["listen", "connect", "relay", "replay", "load", "demo", "completions", "man"].into_iter()
}
