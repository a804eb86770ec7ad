//! The bytes of an incomplete character.

/// Stores up to four bytes: a whole character of UTF-8 or UTF-16 is assembled here if its bytes were in
/// different chunks. A group of base64 has three bytes.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: [u8; Self::BYTES_MAX],
    len: u8,
}

impl Held {
    const BYTES_MAX: usize = 4;

    /// Appends the incomplete bytes at the end of a chunk.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let (start, end) = (self.len(), self.len() + bytes.len());
        self.bytes[start..end].copy_from_slice(bytes);
        self.set_len(end);
    }

    /// Moves up to `count` bytes from the front of the input to the end of the stored bytes.
    pub(super) fn take_from(&mut self, input: &mut &[u8], count: usize) {
        let (taken, rest) = input.split_at(count.min(input.len()));
        self.extend(taken);
        *input = rest;
    }

    /// Removes the first `count` bytes.
    pub(super) fn discard_first(&mut self, count: usize) {
        let len = self.len();
        self.bytes.copy_within(count..len, 0);
        self.set_len(len - count);
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn set_len(&mut self, len: usize) {
        debug_assert!(len <= Self::BYTES_MAX);
        self.len = len as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_added_at_the_back_and_removed_from_the_front() {
        let mut held = Held::default();
        let mut input: &[u8] = b"abcdef";
        held.take_from(&mut input, 3);
        held.discard_first(2);
        held.take_from(&mut input, 1);
        held.extend(b"xy");
        assert_eq!(held.as_slice(), b"cdxy");
        assert_eq!(input, b"ef");
    }

    #[test]
    fn at_most_the_available_bytes_are_taken() {
        let mut held = Held::default();
        let mut input: &[u8] = b"a";
        held.take_from(&mut input, Held::BYTES_MAX);
        assert_eq!((held.as_slice(), input), (&b"a"[..], &b""[..]));
        held.clear();
        assert!(held.is_empty());
    }
}
