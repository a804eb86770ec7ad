//! The file that `relay --record` writes and `replay` reads. It has a line of JSON for each event.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::failure::Failure;
use crate::files::{self, Access, NewFile};
use crate::json::{self, Line};
use crate::log;

/// An event of a connection.
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

/// Lines are written when this many bytes are pending, and at each [`flush`](Recorder::flush).
const PENDING_BYTES_MAX: usize = 64 * 1024;

pub(crate) struct Recorder {
    began: Instant,
    path: PathBuf,
    file: RefCell<Option<Recording>>,
    failure: RefCell<Option<Failure>>,
}

/// A file to which no write has failed, and its pending lines.
struct Recording {
    file: NewFile,
    /// The length of the file. The file ends with a complete line.
    length: u64,
    /// Complete lines that are not in the file yet.
    pending: Vec<u8>,
}

impl Recorder {
    /// Creates the file. Only its owner can read it, because it holds all traffic.
    pub(crate) fn create(path: &Path, overwrite: bool) -> Result<Self, Failure> {
        let file = NewFile::create(path, overwrite, Access::Owner)?;
        let recording = Recording { file, length: 0, pending: Vec::new() };
        Ok(Self {
            began: Instant::now(),
            path: path.to_owned(),
            file: RefCell::new(Some(recording)),
            failure: RefCell::default(),
        })
    }

    /// Keeps the file, even if nothing is recorded. Call it when the relay is listening: until
    /// then, a relay that cannot be started leaves no file behind, and replaces none.
    pub(crate) fn begin(&self) {
        let mut file = self.file.borrow_mut();
        let kept = file.as_mut().map_or(Ok(()), |recording| recording.file.keep());
        if let Err(error) = kept {
            *file = None;
            drop(file);
            self.fail(error);
        }
    }

    pub(crate) fn record(&self, connection: u64, event: &Event) {
        if let Some(recording) = self.file.borrow_mut().as_mut() {
            let at = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
            let line = line(connection, at, event);
            recording.pending.extend_from_slice(line.as_bytes());
            recording.pending.push(b'\n');
            if recording.pending.len() < PENDING_BYTES_MAX {
                return;
            }
        }
        self.flush();
    }

    /// Writes the pending lines. A failure ends the recording, but not the relay.
    pub(crate) fn flush(&self) {
        let mut file = self.file.borrow_mut();
        let Some(Err(error)) = file.as_mut().map(Recording::flush) else { return };
        *file = None;
        drop(file);
        self.fail(error);
    }

    fn fail(&self, error: io::Error) {
        let failure = files::failure("cannot continue the recording", &self.path, error);
        log::note(&failure);
        *self.failure.borrow_mut() = Some(failure);
    }

    /// Returns why the recording is incomplete, if it is.
    pub(crate) fn result(&self) -> Result<(), Failure> {
        self.failure.take().map_or(Ok(()), Err)
    }
}

impl Recording {
    fn flush(&mut self) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let mut written = 0;
        while written < pending.len() {
            match self.file.file().write(&pending[written..]) {
                Ok(0) => return self.cut(&pending[..written], io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.cut(&pending[..written], error),
            }
        }
        self.length += written as u64;
        self.pending = pending;
        self.pending.clear();
        Ok(())
    }

    /// Removes an incomplete line, because a recording has to end with a complete one.
    fn cut(&mut self, written: &[u8], error: io::Error) -> io::Result<()> {
        let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < written.len() {
            // If that fails too, `read` ignores the incomplete line.
            let _ = self.file.file().set_len(self.length + whole as u64);
        }
        Err(error)
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

/// Formats one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) connection: u64,
    pub(crate) at: Duration,
    pub(crate) event: Event,
}

pub(crate) fn read(path: &Path) -> Result<Vec<Entry>, Failure> {
    let failed = |error| files::failure("cannot read the recording", path, error);
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let (mut entries, mut line) = (Vec::new(), Vec::new());
    for number in 1.. {
        line.clear();
        if file.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            break;
        }
        let entry = std::str::from_utf8(&line).ok().and_then(parse);
        match entry {
            Some(entry) => entries.push(entry),
            // The relay was killed while it wrote the line.
            None if line.last() != Some(&b'\n') && number > 1 => {
                log::note(format_args!("{}:{number}: skipping an incomplete line", path.display()));
            }
            None => {
                let at = format!("{}:{number}", path.display());
                return Err(Failure::Usage(format!(
                    "{at}: the line is not part of a recording of `fyke relay --record`"
                )));
            }
        }
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
    fn every_event_round_trips_through_a_recording() {
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
