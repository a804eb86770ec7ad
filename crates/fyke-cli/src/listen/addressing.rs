//! `--to chosen`: input lines that name their client.

use fyke::Bytes;

/// A longer line is passed on in pieces of this size, so that it does not need more memory.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Splits standard input into lines.
#[derive(Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
}

/// A message and the clients to which it goes.
pub(super) struct Addressed {
    recipients: Recipients,
    pub(super) text: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recipients {
    All,
    One(u64),
    /// The line names no client.
    Unknown,
}

impl Lines {
    /// Returns the complete lines. At the end of the input, this includes the last line.
    pub(super) fn take(&mut self, bytes: &[u8], end: bool) -> Vec<Addressed> {
        self.rest.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(length) = self.next_length(end) {
            let line: Vec<u8> = self.rest.drain(..length).collect();
            lines.push(Addressed::parse(&line));
        }
        lines
    }

    fn next_length(&self, end: bool) -> Option<usize> {
        let newline = self.rest.iter().position(|byte| *byte == b'\n');
        let whole = newline.map(|at| at + 1);
        let cut = (end && !self.rest.is_empty()) || self.rest.len() >= LINE_BYTES_MAX;
        whole.or(cut.then_some(self.rest.len()))
    }
}

impl Addressed {
    fn parse(line: &[u8]) -> Self {
        let space = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (name, text) = line.split_at(space);
        // Skips one separator. The rest is the message as it was typed.
        let text = if text.first() == Some(&b'\n') { text } else { text.get(1..).unwrap_or(b"") };
        let name = std::str::from_utf8(name).unwrap_or("");
        let recipients = match name {
            "*" => Recipients::All,
            _ => name.parse().map_or(Recipients::Unknown, Recipients::One),
        };
        Self { recipients, text: Bytes::copy_from_slice(text) }
    }

    pub(super) fn is_for(&self, client: u64) -> bool {
        self.recipients == Recipients::All || self.recipients == Recipients::One(client)
    }

    /// The text to print if no client received the message.
    pub(super) fn undelivered(&self) -> String {
        match self.recipients {
            Recipients::All => String::from("no client is connected"),
            Recipients::One(client) => format!("client {client} is not connected"),
            Recipients::Unknown => {
                String::from("the line must start with the number of a client, or with *")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(lines: &mut Lines, text: &str, end: bool) -> Vec<(Recipients, String)> {
        let lines = lines.take(text.as_bytes(), end).into_iter();
        lines
            .map(|line| (line.recipients, String::from_utf8(line.text.to_vec()).unwrap()))
            .collect()
    }

    #[test]
    fn a_line_addresses_one_client_or_all_and_may_arrive_in_pieces() {
        let mut lines = Lines::default();
        assert_eq!(taken(&mut lines, "2 hel", false), []);
        let expected =
            [(Recipients::One(2), "hello\n".to_owned()), (Recipients::All, " all \n".to_owned())];
        assert_eq!(taken(&mut lines, "lo\n*  all \n1 la", false), expected);
        assert_eq!(taken(&mut lines, "st", true), [(Recipients::One(1), "last".to_owned())]);
    }

    #[test]
    fn a_line_that_addresses_no_client_is_reported() {
        let mut lines = Lines::default();
        for text in ["hello\n", "\n", "-1 x\n", "1x y\n"] {
            assert_eq!(taken(&mut lines, text, false)[0].0, Recipients::Unknown, "{text:?}");
        }
        assert_eq!(taken(&mut lines, "7\n", false), [(Recipients::One(7), "\n".to_owned())]);
    }

    #[test]
    fn a_line_without_an_end_uses_at_most_the_limit_of_memory() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(&vec![b'x'; LINE_BYTES_MAX - 1], false).len(), 0);
        assert_eq!(lines.take(b"x", false).len(), 1);
        assert!(lines.rest.is_empty());
    }
}
