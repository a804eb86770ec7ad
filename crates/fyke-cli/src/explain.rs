//! Prints the steps of a conversation, for `fyke demo --explain` and `--log trace`. The library
//! reports every system call that opens, connects or closes something as a `tracing` event. This
//! module prints each of them with an explanation.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::log;
use crate::streams::{Stream, Writer};

/// A subscriber that receives only the step events.
pub(crate) enum Steps {
    /// Printed on standard output, indented below the lines of a conversation.
    Explained,
    /// Printed on standard error.
    Logged,
}

impl Subscriber for Steps {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == "fyke::step"
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn event(&self, event: &Event<'_>) {
        let mut step = Step::default();
        event.record(&mut step);
        match self {
            // If standard output is closed, the next event of the conversation reports it.
            Self::Explained => {
                let line = format!("    | {step}\n");
                Writer::of(Stream::Output).push_data(Stream::Output, line.as_bytes());
            }
            Self::Logged => log::note(step),
        }
    }

    // Spans are disabled, so these functions are never called.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The fields of one event.
#[derive(Default)]
struct Step {
    call: String,
    /// The other fields with their names, such as the address and the backlog.
    details: Vec<(&'static str, String)>,
}

impl Step {
    fn detail(&self, name: &str) -> &str {
        let found = self.details.iter().find(|(other, _)| *other == name);
        found.map_or("?", |(_, value)| value)
    }

    fn explanation(&self) -> String {
        match self.call.as_str() {
            "socket" => {
                let kind = match self.detail("transport") {
                    "Tcp(V4)" => "TCP over IPv4",
                    "Tcp(V6)" => "TCP over IPv6",
                    "Unix" => "Unix, within this machine",
                    other => other,
                };
                format!("creates a socket ({kind}), which has no address yet")
            }
            "bind" => match self.detail("address") {
                address if address.ends_with(":0") => {
                    format!("assigns the address {address}; port 0 means any free port")
                }
                address => format!("assigns the address {address}"),
            },
            "listen" => {
                let backlog = self.detail("backlog");
                format!("allows clients to connect; up to {backlog} can wait to be accepted")
            }
            "connect" => format!("requests a connection to {}", self.detail("address")),
            "setsockopt" => format!("sets an option of the socket: {}", self.detail("option")),
            "accept" => String::from("accepts a waiting client, which gets its own socket"),
            "shutdown" => String::from("tells the peer that no more data will be sent"),
            "close" => String::from("closes the socket, and the connection if it is still open"),
            // A step that this version does not know.
            _ => {
                let details = self.details.iter().map(|(name, value)| format!("{name} {value}"));
                details.collect::<Vec<_>>().join(", ")
            }
        }
    }
}

impl Visit for Step {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "call" => self.call = value,
            name => self.details.push((name, value)),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:10}{}", self.call, self.explanation())
    }
}
