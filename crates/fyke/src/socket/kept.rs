//! Bytes that came while nobody took them.

use std::collections::VecDeque;

/// A queue of received chunks. Never holds an empty one.
#[derive(Debug, Default)]
pub(super) struct Kept {
    chunks: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Kept {
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// All of it, in one piece.
    pub(super) fn copy(&self) -> Vec<u8> {
        self.chunks.iter().flatten().copied().collect()
    }

    pub(super) fn push(&mut self, chunk: Vec<u8>) {
        self.bytes += chunk.len();
        self.chunks.push_back(chunk);
    }

    /// Puts bytes back, to be the next (RD-14).
    pub(super) fn push_front(&mut self, chunk: Vec<u8>) {
        self.bytes += chunk.len();
        self.chunks.push_front(chunk);
    }

    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        let chunk = self.chunks.pop_front()?;
        self.bytes -= chunk.len();
        Some(chunk)
    }

    /// Takes exactly `count` bytes, or all if there are fewer.
    pub(super) fn take(&mut self, count: usize) -> Vec<u8> {
        let mut taken = Vec::with_capacity(count.min(self.bytes));
        while taken.len() < count {
            let Some(mut chunk) = self.pop() else { break };
            let missing = count - taken.len();
            if chunk.len() > missing {
                let rest = chunk.split_off(missing);
                self.push_front(rest);
            }
            taken.append(&mut chunk);
        }
        taken
    }

    /// Frees the bytes; how many they were stays known.
    pub(super) fn forget_bytes(&mut self) {
        self.chunks = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_in_order_whatever_the_chunks() {
        let mut kept = Kept::default();
        kept.push(b"abc".to_vec());
        kept.push(b"defg".to_vec());
        assert_eq!(kept.take(2), b"ab");
        assert_eq!(kept.take(3), b"cde");
        kept.push_front(b"!".to_vec());
        assert_eq!((kept.take(9), kept.len()), (b"!fg".to_vec(), 0));
    }
}
