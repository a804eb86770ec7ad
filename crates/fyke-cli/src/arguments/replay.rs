//! `fyke replay`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values;

#[derive(Args, Clone, Debug)]
#[command(long_about = ABOUT, after_help = EXAMPLES)]
pub(crate) struct Replay {
    /// What `fyke relay --record` has written
    pub(crate) file: PathBuf,
    /// Where to connect to, or where to listen with --as server
    pub(crate) endpoint: String,
    /// Whose part to play
    #[arg(long = "as", value_name = "SIDE", value_enum, default_value = "client")]
    pub(crate) side: Side,
    /// So many times as fast as it was; 0: without any pause
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = values::factor)]
    pub(crate) speed: f64,
    /// Do not compare what the other side says with what it said then
    #[arg(long)]
    pub(crate) no_compare: bool,
    /// Wait for the other side for at most TIME
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = values::some_time)]
    pub(crate) timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// Connect, and send what the clients sent
    Client,
    /// Listen, and answer what the target answered
    Server,
}

const ABOUT: &str = "\
Play what `relay --record` has recorded: the clients to a server, or the server to
clients.

Everything is sent when it was sent then, after the bytes of the other side that
had come before it. What the other side says is compared with what it said then;
status 1 if it differs.

The file has a line of JSON for each event: \"connection\", \"at_us\" since the
beginning, \"event\" (open, up, down, up-end, down-end, close) and the data.";

const EXAMPLES: &str = "\
Examples:
  fyke replay redis.jsonl 6379                 the same clients again
  fyke replay redis.jsonl 6379 --speed 0       as fast as it goes
  fyke replay redis.jsonl 6381 --as server     a server made of the recording
  fyke relay 6380 6379 --record redis.jsonl    makes a recording";
