//! The trace: what was recorded about each actor, and how it is printed (FORMAT.md 7).

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Up to this number, the bytes themselves are also shown.
const SHOWN_BYTES_MAX: usize = 64;

/// What was recorded about one actor, in order.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: Vec<Entry>,
    /// Data that is held until `end` or `close`.
    held: Option<(Kind, Vec<u8>)>,
}

/// The form in which data was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bytes,
    Text,
    /// In pieces of a fixed size, without the listeners.
    Piece,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Text => "text",
            Self::Piece => "onread",
        }
    }
}

#[derive(Debug)]
enum Entry {
    /// Data of consecutive events, and the properties at the first of them.
    Data {
        kind: Kind,
        bytes: Vec<u8>,
        snapshot: Option<Value>,
    },
    Other(Map<String, Value>),
}

impl Log {
    pub(crate) fn push(&mut self, entry: Map<String, Value>) {
        self.entries.push(Entry::Other(entry));
    }

    /// Whether data of this kind continues the last entry.
    pub(crate) fn ends_in(&self, wanted: Kind) -> bool {
        matches!(self.entries.last(), Some(Entry::Data { kind, .. }) if *kind == wanted)
    }

    pub(crate) fn push_data(&mut self, kind: Kind, chunk: &[u8], snapshot: Option<Value>) {
        match self.entries.last_mut() {
            Some(Entry::Data { kind: last, bytes, .. }) if *last == kind => {
                bytes.extend_from_slice(chunk);
            }
            _ => self.entries.push(Entry::Data { kind, bytes: chunk.to_vec(), snapshot }),
        }
    }

    pub(crate) fn hold_data(&mut self, kind: Kind, chunk: &[u8]) {
        if self.held.as_ref().is_some_and(|(held, _)| *held != kind) {
            self.release_data();
        }
        self.held.get_or_insert((kind, Vec::new())).1.extend_from_slice(chunk);
    }

    /// Records the held data.
    pub(crate) fn release_data(&mut self) {
        if let Some((kind, bytes)) = self.held.take() {
            self.entries.push(Entry::Data { kind, bytes, snapshot: None });
        }
    }

    /// Whether a call has thrown.
    pub(crate) fn has_thrown(&self) -> bool {
        let is_throw = |entry: &Entry| match entry {
            Entry::Data { .. } => false,
            Entry::Other(entry) => entry.get("ev").is_some_and(|ev| ev == "throw"),
        };
        self.entries.iter().any(is_throw)
    }

    fn show(&mut self) -> Vec<Value> {
        self.release_data();
        let entries = std::mem::take(&mut self.entries).into_iter();
        entries.map(|entry| Value::Object(entry.show())).collect()
    }
}

impl Entry {
    fn show(self) -> Map<String, Value> {
        match self {
            Self::Other(entry) => entry,
            Self::Data { kind, bytes, snapshot } => {
                let mut entry = Map::new();
                entry.insert("ev".into(), "data".into());
                entry.extend(describe(kind, &bytes));
                if let Some(snapshot) = snapshot {
                    entry.insert("s".into(), snapshot);
                }
                entry
            }
        }
    }
}

/// Length, hash, and if they are few the bytes themselves.
pub(crate) fn describe(kind: Kind, bytes: &[u8]) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("type".into(), kind.name().into());
    shown.insert("len".into(), bytes.len().into());
    if bytes.len() <= SHOWN_BYTES_MAX {
        match std::str::from_utf8(bytes) {
            Ok(text) => shown.insert("text".into(), text.into()),
            Err(_) => shown.insert("hex".into(), HEXLOWER.encode(bytes).into()),
        };
    }
    shown.insert("sha256".into(), HEXLOWER.encode(&Sha256::digest(bytes)).into());
    shown
}

/// The complete result of a run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) scenario: String,
    /// Whether the loop ended by itself; otherwise the limit was reached.
    pub(crate) loop_end: bool,
    /// Codes of the errors that ended a turn of the loop.
    pub(crate) uncaught: Vec<&'static str>,
    pub(crate) files: Vec<String>,
    pub(crate) problems: Vec<String>,
    pub(crate) actors: BTreeMap<String, Vec<Value>>,
}

impl Trace {
    pub(crate) fn add(&mut self, actor: &str, log: &mut Log) {
        self.actors.insert(actor.to_owned(), log.show());
    }

    /// One entry per line.
    pub(crate) fn print(&self) -> String {
        let mut lines = vec![
            String::from("{"),
            format!(" \"scenario\": {},", json!(self.scenario)),
            format!(" \"loopEnd\": {},", self.loop_end),
            format!(" \"uncaught\": {},", json!(self.uncaught)),
            format!(" \"files\": {},", json!(self.files)),
        ];
        if !self.problems.is_empty() {
            lines.push(format!(" \"problems\": {},", json!(self.problems)));
        }
        lines.push(String::from(" \"actors\": {"));
        let last_actor = self.actors.len().saturating_sub(1);
        for (index, (name, entries)) in self.actors.iter().enumerate() {
            lines.push(format!("  {}: [", json!(name)));
            let last = entries.len().saturating_sub(1);
            for (index, entry) in entries.iter().enumerate() {
                lines.push(format!("   {entry}{}", if index < last { "," } else { "" }));
            }
            lines.push(format!("  ]{}", if index < last_actor { "," } else { "" }));
        }
        lines.extend([String::from(" }"), String::from("}"), String::new()]);
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str) -> Map<String, Value> {
        Map::from_iter([(String::from("ev"), name.into())])
    }

    #[test]
    fn consecutive_data_events_are_one_entry() {
        let mut log = Log::default();
        log.push_data(Kind::Bytes, b"a", Some(json!(1)));
        log.push_data(Kind::Bytes, b"b", Some(json!(2)));
        log.push(event("end"));
        log.push_data(Kind::Bytes, b"\xff", None);
        log.push_data(Kind::Text, b"x", None);
        let shown = log.show();
        assert_eq!(shown.len(), 4);
        assert_eq!(shown[0]["text"], "ab");
        assert_eq!(shown[0]["s"], 1);
        assert_eq!(shown[2]["hex"], "ff");
        assert_eq!(shown[3]["type"], "text");
    }

    #[test]
    fn held_data_is_delivered_when_it_is_released() {
        let mut log = Log::default();
        log.hold_data(Kind::Bytes, b"a");
        log.push(event("drain"));
        log.hold_data(Kind::Bytes, b"b");
        log.release_data();
        log.push(event("end"));
        let events: Vec<Value> = log.show().into_iter().map(|entry| entry["ev"].clone()).collect();
        assert_eq!(events, ["drain", "data", "end"]);
    }

    #[test]
    fn a_printed_trace_is_json() {
        let mut trace = Trace { scenario: String::from("x"), ..Trace::default() };
        let mut log = Log::default();
        log.push(event("open"));
        trace.add("C0", &mut log);
        trace.add("C1", &mut Log::default());
        let value: Value = serde_json::from_str(&trace.print()).unwrap();
        assert_eq!(value["actors"]["C0"][0]["ev"], "open");
        assert_eq!(value["loopEnd"], false);
    }
}
