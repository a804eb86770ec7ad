//! Prints a conversation: the bytes unchanged, a hex dump, or lines of JSON.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write;
use std::io::IsTerminal;
use std::rc::Rc;

use fyke::{Error, Socket};
use fyke_tls::Tls;

use crate::arguments::Level;
use crate::clock;
use crate::json::Line;
use crate::log;
use crate::output::Output;
use crate::tls::Facts;
use crate::visible::Visible;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Plain,
    Hex,
    Json,
}

impl Format {
    pub(crate) fn of(hex: bool, json: bool) -> Self {
        match (hex, json) {
            (_, true) => Self::Json,
            (true, false) => Self::Hex,
            (false, false) => Self::Plain,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Received,
    Sent,
}

/// Prints the events in one format.
#[derive(Clone)]
pub(crate) struct Report {
    format: Format,
    output: Output,
    colours: bool,
    /// Whether there are several peers, which are then numbered.
    numbered: bool,
    /// Makes control characters visible, for each peer. `None` if they are printed unchanged.
    visible: Option<Rc<RefCell<HashMap<u64, Visible>>>>,
}

impl Report {
    /// Creates a report for a server with several clients. On a terminal, control characters are
    /// made visible unless `raw` is set.
    pub(crate) fn new(format: Format, output: &Output, raw: bool) -> Self {
        let shown = format == Format::Plain && !raw && std::io::stdout().is_terminal();
        Self {
            format,
            output: output.clone(),
            colours: colours(),
            numbered: true,
            visible: shown.then(Rc::default),
        }
    }

    /// Creates a report for a single connection.
    pub(crate) fn of_one(format: Format, output: &Output, raw: bool) -> Self {
        Self { numbered: false, ..Self::new(format, output, raw) }
    }

    /// Returns whether [`data`](Self::data) uses sent bytes.
    pub(crate) fn shows_sent(&self) -> bool {
        self.format != Format::Plain
    }

    pub(crate) fn listening(&self, address: &str) {
        self.event("listening", &format!("listening on {address}"), |line| {
            line.with("address", address)
        });
    }

    pub(crate) fn connected(&self, client: u64, socket: &Socket) {
        let remote = socket.remote_address().map(|address| address.to_string());
        let from = remote.as_ref().map_or(String::new(), |remote| format!(" from {remote}"));
        let text = format!("client {client} connected{from}");
        self.event("connected", &text, |line| {
            let line = line.with("client", client);
            let line = if let Some(remote) = remote { line.with("remote", remote) } else { line };
            match socket.peer_credentials() {
                Ok(peer) => line.with("pid", peer.pid).with("uid", peer.uid),
                Err(_) => line,
            }
        });
    }

    /// Reports that our own connection is established.
    pub(crate) fn reached(&self, socket: &Socket) {
        let address = |address: Option<std::net::SocketAddr>| address.map(|a| a.to_string());
        let (remote, local) = (address(socket.remote_address()), address(socket.local_address()));
        let to = remote.as_ref().map_or(String::new(), |remote| format!(" to {remote}"));
        self.event("connected", &format!("connected{to}"), |line| {
            line.with("remote", remote).with("local", local)
        });
    }

    /// Reports that a TLS handshake is done.
    pub(crate) fn secured(&self, client: u64, socket: &Socket) {
        let Some(tls) = Tls::of(socket) else { return };
        if self.format != Format::Json && !log::is_on(Level::Info) {
            return;
        }
        let facts = Facts::of(&tls);
        let text = if self.numbered {
            format!("client {client}: {}", facts.summary_with_subject())
        } else {
            facts.summary()
        };
        self.event("secured", &text, |line| {
            let line = if self.numbered { line.with("client", client) } else { line };
            facts.add_to(line)
        });
        if !self.numbered {
            facts.certificates().iter().for_each(|line| log::info(format_args!("{line}")));
        }
    }

    pub(crate) fn refused(&self, from: Option<&str>, why: &str) {
        let who = from.map_or(String::from("a client"), |from| format!("a client from {from}"));
        self.event("refused", &format!("{who} was refused: {why}"), |line| {
            let line = line.with("why", why);
            if let Some(from) = from { line.with("remote", from) } else { line }
        });
    }

    pub(crate) fn data(&self, client: u64, way: Way, socket: &Socket, bytes: &[u8]) {
        match (self.format, way) {
            (Format::Plain, Way::Received) => self.plain(client, bytes),
            (Format::Plain, Way::Sent) => {}
            (Format::Hex, _) => {
                let sum = match way {
                    Way::Received => socket.bytes_read(),
                    Way::Sent => socket.bytes_written(),
                };
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let head = head(&self.name(client), way, bytes.len());
                self.output.write(
                    self.paint(way, &dump(&head, sum.saturating_sub(length), bytes)).as_bytes(),
                );
            }
            (Format::Json, _) => {
                let event = if way == Way::Received { "received" } else { "sent" };
                let line = self.line(event, client).with("bytes", bytes.len());
                self.output.line(line.with_bytes(bytes).finish());
            }
        }
        if way == Way::Received {
            self.output.hold_back(socket);
        }
    }

    fn plain(&self, client: u64, bytes: &[u8]) {
        match &self.visible {
            Some(visible) => {
                let text = visible.borrow_mut().entry(client).or_default().take(bytes);
                self.output.write(text.as_bytes());
            }
            None => self.output.write(bytes),
        }
    }

    pub(crate) fn ended(&self, client: u64) {
        if self.format == Format::Json {
            self.output.line(self.line("ended", client).finish());
        }
        log::debug(format_args!("{} has ended its side", self.subject(client)));
    }

    pub(crate) fn failed(&self, client: u64, error: &Error) {
        self.event("failed", &format!("{}: {error}", self.subject(client)), |line| {
            let line = if self.numbered { line.with("client", client) } else { line };
            line.with("code", error.code().as_str()).with("error", error.to_string())
        });
    }

    pub(crate) fn left(&self, client: u64, socket: &Socket) {
        let visible = self.visible.as_ref().and_then(|all| all.borrow_mut().remove(&client));
        if let Some(mut visible) = visible {
            self.output.write(visible.finish().as_bytes());
        }
        self.event("left", &format!("{} disconnected", self.subject(client)), |line| {
            let line = if self.numbered { line.with("client", client) } else { line };
            line.with("bytes_received", socket.bytes_read())
                .with("bytes_sent", socket.bytes_written())
        });
    }

    fn line(&self, event: &str, client: u64) -> Line {
        let line = Line::event(event);
        if self.numbered { line.with("client", client) } else { line }
    }

    fn name(&self, client: u64) -> String {
        if self.numbered { format!(" client {client}") } else { String::new() }
    }

    fn subject(&self, client: u64) -> String {
        if self.numbered { format!("client {client}") } else { String::from("the peer") }
    }

    fn event(&self, name: &str, text: &str, fields: impl FnOnce(Line) -> Line) {
        log::info(format_args!("{text}"));
        if self.format == Format::Json {
            self.output.line(fields(Line::event(name)).finish());
        }
    }

    fn paint(&self, way: Way, text: &str) -> String {
        match (self.colours, way) {
            (false, _) => text.to_owned(),
            (true, Way::Received) => format!("\x1b[36m{text}\x1b[0m"),
            (true, Way::Sent) => format!("\x1b[33m{text}\x1b[0m"),
        }
    }
}

/// Returns whether to use colours: only on a terminal that supports them, and unless they are
/// disabled (no-color.org).
pub(crate) fn colours() -> bool {
    let minds = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|value| value == "dumb");
    !minds && !dumb && std::io::stdout().is_terminal()
}

fn head(name: &str, way: Way, length: usize) -> String {
    let arrow = match way {
        Way::Received => '<',
        Way::Sent => '>',
    };
    let unit = if length == 1 { "byte" } else { "bytes" };
    format!("{}{name} {arrow} {length} {unit}", clock::now())
}

/// Formats bytes as `hexdump -C` does: sixteen bytes per line. `offset` is the position of the
/// first byte in the stream.
fn dump(head: &str, mut offset: u64, bytes: &[u8]) -> String {
    let mut text = format!("{head}\n");
    for row in bytes.chunks(16) {
        let mut hex = String::with_capacity(50);
        for (index, byte) in row.iter().enumerate() {
            let gap = if index == 8 { "  " } else { " " };
            let _ = write!(hex, "{gap}{byte:02x}");
        }
        let printable =
            |byte: &u8| if matches!(byte, 0x20..=0x7e) { char::from(*byte) } else { '.' };
        let ascii: String = row.iter().map(printable).collect();
        let _ = writeln!(text, "{offset:08x} {hex:<49}  |{ascii}|");
        offset += 16;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_has_the_format_of_hexdump() {
        let bytes: Vec<u8> = (0x30..0x42).collect();
        let expected = "head\n\
            00000010  30 31 32 33 34 35 36 37  38 39 3a 3b 3c 3d 3e 3f  |0123456789:;<=>?|\n\
            00000020  40 41                                             |@A|\n";
        assert_eq!(dump("head", 16, &bytes), expected);
        assert!(dump("", 0, b"\r\n\x7f\xff").contains("|....|"));
    }
}
