//! The messages of one connection, and the expected answers.

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

/// The position of a connection in its messages.
#[derive(Default)]
pub(crate) struct Checker {
    sequence: u64,
    offset: usize,
}

impl Checker {
    /// Checks received bytes. Returns the number of complete messages, or `None` if a byte is wrong.
    pub(crate) fn take(
        &mut self,
        pattern: &Pattern,
        connection: usize,
        mut bytes: &[u8],
    ) -> Option<u64> {
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
            let pattern = Pattern::new(size);
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
        let pattern = Pattern::new(16);
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
}
