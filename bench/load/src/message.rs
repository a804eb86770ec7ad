//! The messages of one connection, and the expected answers: echoes, or answers to HTTP requests.

use crate::arguments::Arguments;

const HEADER_BYTES: usize = 8;

/// Every message begins with a unique number, so an answer that was lost, duplicated or sent to another
/// connection is detected immediately.
fn header(connection: usize, sequence: u64) -> [u8; HEADER_BYTES] {
    (sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ((connection as u64) << 17)).to_le_bytes()
}

/// The bytes after the header: the same in each message of this size.
pub(crate) struct Pattern(Vec<u8>);

impl Pattern {
    pub(crate) fn new(size_bytes: usize) -> Self {
        Self((0..size_bytes).map(|at| (at * 31 + at / 251) as u8).collect())
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.0.len()
    }

    /// Appends a message.
    pub(crate) fn write(&self, connection: usize, sequence: u64, to: &mut Vec<u8>) {
        let start = to.len();
        to.extend_from_slice(&self.0);
        let length = self.0.len().min(HEADER_BYTES);
        to[start..start + length].copy_from_slice(&header(connection, sequence)[..length]);
    }
}

/// The messages that each connection sends.
pub(crate) enum Messages {
    /// The server echoes each message.
    Echo(Pattern),
    /// The server answers each request as the server of `bench/peers/hyper` does.
    Http,
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const STATUS: &[u8] = b"HTTP/1.1 200 OK\r\n";
const HEAD_END: &[u8] = b"\r\n\r\n";
const BODY: &[u8] = b"Hello, World!";
/// A longer head of an answer is wrong.
const HEAD_BYTES_MAX: usize = 4096;

impl Messages {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        match arguments.http {
            true => Self::Http,
            false => Self::Echo(Pattern::new(arguments.size_bytes)),
        }
    }

    /// The size of a message that is sent.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Echo(pattern) => pattern.size_bytes(),
            Self::Http => REQUEST.len(),
        }
    }

    /// Appends a message.
    pub(crate) fn write(&self, connection: usize, sequence: u64, to: &mut Vec<u8>) {
        match self {
            Self::Echo(pattern) => pattern.write(connection, sequence, to),
            Self::Http => to.extend_from_slice(REQUEST),
        }
    }
}

/// Counts complete answers in `bytes`, and removes them. Returns `None` if something is wrong.
fn take_http(bytes: &mut Vec<u8>) -> Option<u64> {
    let mut count = 0;
    while !bytes.is_empty() {
        let known = bytes.len().min(STATUS.len());
        if bytes[..known] != STATUS[..known] {
            return None;
        }
        let head = bytes.windows(HEAD_END.len()).position(|window| window == HEAD_END);
        let Some(head) = head else {
            return (bytes.len() <= HEAD_BYTES_MAX).then_some(count);
        };
        let body = head + HEAD_END.len();
        let received = (bytes.len() - body).min(BODY.len());
        if bytes[body..body + received] != BODY[..received] {
            return None;
        }
        if received < BODY.len() {
            return Some(count);
        }
        bytes.drain(..body + BODY.len());
        count += 1;
    }
    Some(count)
}

/// The position of a connection in its messages.
#[derive(Default)]
pub(crate) struct Checker {
    sequence: u64,
    offset: usize,
    /// The beginning of an answer of HTTP.
    partial: Vec<u8>,
}

impl Checker {
    /// Checks received bytes. Returns the number of complete messages, or `None` if a byte is wrong.
    pub(crate) fn take(
        &mut self,
        messages: &Messages,
        connection: usize,
        mut bytes: &[u8],
    ) -> Option<u64> {
        let pattern = match messages {
            Messages::Echo(pattern) => pattern,
            Messages::Http => {
                self.partial.extend_from_slice(bytes);
                return take_http(&mut self.partial);
            }
        };
        let before = self.sequence;
        let size = pattern.size_bytes();
        let header_bytes = size.min(HEADER_BYTES);
        while !bytes.is_empty() {
            let (expected, end) = if self.offset < header_bytes {
                (&header(connection, self.sequence)[self.offset..header_bytes], header_bytes)
            } else {
                (&pattern.0[self.offset..], size)
            };
            let length = bytes.len().min(end - self.offset);
            if bytes[..length] != expected[..length] {
                return None;
            }
            self.offset += length;
            if self.offset == size {
                (self.offset, self.sequence) = (0, self.sequence + 1);
            }
            bytes = &bytes[length..];
        }
        Some(self.sequence - before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_recognised_in_any_pieces() {
        for size in [1, 3, 8, 9, 64] {
            let pattern = Messages::Echo(Pattern::new(size));
            let mut bytes = Vec::new();
            (0..5).for_each(|sequence| pattern.write(7, sequence, &mut bytes));
            for piece in 1..=bytes.len() {
                let mut checker = Checker::default();
                let counts = bytes.chunks(piece).map(|chunk| checker.take(&pattern, 7, chunk));
                assert_eq!(counts.map(|count| count.expect("all is right")).sum::<u64>(), 5);
            }
        }
    }

    #[test]
    fn a_changed_byte_a_lost_message_and_a_foreign_message_are_detected() {
        let pattern = Messages::Echo(Pattern::new(16));
        let mut bytes = Vec::new();
        (0..2).for_each(|sequence| pattern.write(7, sequence, &mut bytes));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(Checker::default().take(&pattern, 7, &changed), None, "byte {at}");
        }
        assert_eq!(Checker::default().take(&pattern, 7, &bytes[16..]), None);
        assert_eq!(Checker::default().take(&pattern, 8, &bytes), None);
    }

    #[test]
    fn answers_of_http_are_recognised_in_any_pieces() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\nHello, World!";
        let bytes = answer.repeat(3);
        for piece in 1..=bytes.len() {
            let mut checker = Checker::default();
            let counts = bytes.chunks(piece).map(|chunk| checker.take(&Messages::Http, 0, chunk));
            assert_eq!(counts.map(|count| count.expect("all is right")).sum::<u64>(), 3);
        }
    }

    #[test]
    fn a_wrong_answer_of_http_is_detected() {
        let wrong: [&[u8]; 4] = [
            b"HTTP/1.1 404 Not Found\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\nHello, Worlds",
            b"HTTP/1.1 200 OK\r\n\r\nHello, World!!",
            &[b"HTTP/1.1 200 OK\r\n" as &[u8], &[b'x'; HEAD_BYTES_MAX]].concat(),
        ];
        for bytes in wrong {
            assert_eq!(Checker::default().take(&Messages::Http, 0, bytes), None);
        }
    }
}
