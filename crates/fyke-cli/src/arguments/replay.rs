//! `fyke replay`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values;

/// Replay traffic that `relay --record` has recorded
#[derive(Args, Clone, Debug)]
#[command(long_about = ABOUT, after_help = EXAMPLES)]
pub(crate) struct Replay {
    /// The recording, a file that `fyke relay --record` has written
    pub(crate) file: PathBuf,
    /// Where to connect to, or where to listen with --as server
    pub(crate) endpoint: String,
    /// Which side to play
    #[arg(long = "as", value_name = "SIDE", value_enum, default_value = "client")]
    pub(crate) side: Side,
    /// Play FACTOR times as fast as recorded; 0: without pauses
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = values::factor)]
    pub(crate) speed: f64,
    /// Do not compare the data of the other side with the recording
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
Replay traffic that `relay --record` has recorded: the clients to a server, or the server
to clients.

Data is sent at the recorded time, after the other side has sent the bytes that precede it
in the recording. The data of the other side is compared with the recording; the exit
status is 1 if it differs.

The file has a line of JSON for each event: \"connection\", \"at_us\" (microseconds since
the start), \"event\" (open, up, down, up-end, down-end, close) and the data.";

const EXAMPLES: &str = "\
Examples:
  fyke replay redis.jsonl 6379                 replay the clients
  fyke replay redis.jsonl 6379 --speed 0       without pauses
  fyke replay redis.jsonl 6381 --as server     replay the server
  fyke relay 6380 6379 --record redis.jsonl    make a recording";
