//! The command-line arguments.

use std::io::{Error, ErrorKind, Result};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Echo,
    Sink,
    Source,
    Connect,
    Idle,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Sink => "sink",
            Self::Source => "source",
            Self::Connect => "connect",
            Self::Idle => "idle",
        }
    }
}

#[derive(Clone)]
pub(crate) enum Target {
    Port(u16),
    Path(PathBuf),
}

#[derive(Clone)]
pub(crate) struct Arguments {
    pub mode: Mode,
    pub target: Target,
    pub connections: usize,
    pub size_bytes: usize,
    pub depth: usize,
    pub warm_up: Duration,
    pub measured: Duration,
    /// The messages of `echo` and `idle` are requests of HTTP/1.1.
    pub http: bool,
    /// The server's process.
    pub pid: Option<u32>,
    /// A further connection sends and receives at full speed meanwhile.
    pub flood: bool,
    /// Number of further connections that send at full speed, to a server with `MODE=mixed`.
    pub bulk: usize,
    /// The number of further connections that send without ever reading the answer.
    pub stuck: usize,
    /// The number of further connections that have one message echoed and then stay idle.
    pub idle: usize,
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

impl Arguments {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mode = match words.next().as_deref() {
            Some("echo") => Mode::Echo,
            Some("sink") => Mode::Sink,
            Some("source") => Mode::Source,
            Some("connect") => Mode::Connect,
            Some("idle") => Mode::Idle,
            other => return Err(wrong(format!("no such mode: {}", other.unwrap_or("none")))),
        };
        let mut target = None;
        let mut arguments = Self {
            mode,
            target: Target::Port(0),
            connections: 1,
            size_bytes: 64,
            depth: 1,
            warm_up: Duration::from_millis(400),
            measured: Duration::from_secs(1),
            http: false,
            pid: None,
            flood: false,
            bulk: 0,
            stuck: 0,
            idle: 0,
        };
        while let Some(option) = words.next() {
            let flag = match option.as_str() {
                "--flood" => Some(&mut arguments.flood),
                "--http" => Some(&mut arguments.http),
                _ => None,
            };
            if let Some(flag) = flag {
                *flag = true;
                continue;
            }
            let value = words.next().ok_or_else(|| wrong(format!("{option} needs a value")))?;
            let number = || value.parse::<f64>().map_err(|_| wrong(format!("{option} {value}")));
            let count = || value.parse::<usize>().map_err(|_| wrong(format!("{option} {value}")));
            match option.as_str() {
                "--port" => {
                    target = Some(Target::Port(u16::try_from(count()?).map_err(Error::other)?));
                }
                "--unix" => target = Some(Target::Path(value.into())),
                "--connections" => arguments.connections = count()?.max(1),
                "--size" => arguments.size_bytes = count()?.max(1),
                "--depth" => arguments.depth = count()?.max(1),
                "--warm-up" => arguments.warm_up = Duration::from_secs_f64(number()?),
                "--seconds" => arguments.measured = Duration::from_secs_f64(number()?),
                "--pid" => arguments.pid = Some(u32::try_from(count()?).map_err(Error::other)?),
                "--idle" => arguments.idle = count()?,
                "--bulk" => arguments.bulk = count()?,
                "--stuck" => arguments.stuck = count()?,
                _ => return Err(wrong(format!("no such option: {option}"))),
            }
        }
        arguments.target = target.ok_or_else(|| wrong("--port or --unix is missing".into()))?;
        Ok(arguments)
    }
}
