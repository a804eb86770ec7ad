//! `fyke demo`.

use clap::Args;

/// Show a conversation between a server and a client, event by event
#[derive(Args, Clone, Copy, Debug)]
#[command(long_about = ABOUT, after_help = EXAMPLES)]
pub(crate) struct Demo {
    /// Also print the underlying system calls, and explain each
    #[arg(long)]
    pub(crate) explain: bool,
}

// clap does not break lines by itself.
const ABOUT: &str = "\
Show a conversation between a server and a client, event by event.

Both sides run in this process, on one event loop: first over TCP on a free port
of 127.0.0.1, then over a Unix socket in a temporary folder. Each line names a side
and an event that it received.";

const EXAMPLES: &str = "\
Examples:
  fyke demo
  fyke demo --explain    also show socket, bind, listen, connect, accept, shutdown and close";
