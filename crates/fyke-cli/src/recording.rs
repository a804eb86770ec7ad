//! What `relay --record` writes and `replay` reads: a line of JSON for each event.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::failure::Failure;
use crate::json::{self, Line};
use crate::log;

/// What happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Open,
    /// Bytes from the client.
    Up(Vec<u8>),
    /// Bytes from the target.
    Down(Vec<u8>),
    UpEnd,
    DownEnd,
    Close,
}

impl Event {
    fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Up(_) => "up",
            Self::Down(_) => "down",
            Self::UpEnd => "up-end",
            Self::DownEnd => "down-end",
            Self::Close => "close",
        }
    }
}

pub(crate) struct Recorder {
    began: Instant,
    /// Gone after a failure: half a recording is of use, a relay that stops is not.
    file: RefCell<Option<BufWriter<File>>>,
}

impl Recorder {
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| Failure::System("the recording", error))?;
        Ok(Self { began: Instant::now(), file: RefCell::new(Some(BufWriter::new(file))) })
    }

    pub(crate) fn record(&self, connection: u64, event: &Event) {
        let at = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let line = line(connection, at, event);
        self.with_file(|file| writeln!(file, "{line}"));
    }

    pub(crate) fn flush(&self) {
        self.with_file(Write::flush);
    }

    fn with_file(&self, f: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) {
        let mut file = self.file.borrow_mut();
        let Some(Err(error)) = file.as_mut().map(f) else { return };
        log::note(format_args!("the recording ends here: {error}"));
        *file = None;
    }
}

fn line(connection: u64, at: u64, event: &Event) -> String {
    let line = Line::new().with("connection", connection).with("at_us", at);
    let line = line.with("event", event.name());
    match event {
        Event::Up(bytes) | Event::Down(bytes) => line.with_bytes(bytes).finish(),
        _ => line.finish(),
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) connection: u64,
    pub(crate) at: Duration,
    pub(crate) event: Event,
}

pub(crate) fn read(path: &Path) -> Result<Vec<Entry>, Failure> {
    let failed = |error| Failure::System("the recording", error);
    let file = File::open(path).map_err(failed)?;
    let mut entries = Vec::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(failed)?;
        let entry = parse(&line).ok_or_else(|| {
            let at = format!("{}:{}", path.display(), index + 1);
            Failure::Usage(format!(
                "{at}: not a line of a recording; `fyke relay --record` makes one"
            ))
        })?;
        entries.push(entry);
    }
    Ok(entries)
}

fn parse(line: &str) -> Option<Entry> {
    let value: Value = serde_json::from_str(line).ok()?;
    let event = match value["event"].as_str()? {
        "open" => Event::Open,
        "up" => Event::Up(json::bytes(&value)?),
        "down" => Event::Down(json::bytes(&value)?),
        "up-end" => Event::UpEnd,
        "down-end" => Event::DownEnd,
        "close" => Event::Close,
        _ => return None,
    };
    let at = Duration::from_micros(value["at_us"].as_u64()?);
    Some(Entry { connection: value["connection"].as_u64()?, at, event })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_can_be_read_back() {
        let events = [
            Event::Open,
            Event::Up(b"GET\r\n".to_vec()),
            Event::Down(b"\xff\0".to_vec()),
            Event::UpEnd,
            Event::DownEnd,
            Event::Close,
        ];
        for event in events {
            let entry = Entry { connection: 7, at: Duration::from_micros(12), event };
            assert_eq!(parse(&line(7, 12, &entry.event)).unwrap(), entry);
        }
        for text in ["", "{}", r#"{"connection":1,"at_us":1,"event":"up"}"#, r#"{"event":"open"}"#]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
