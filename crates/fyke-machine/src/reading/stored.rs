//! Bytes that were received and not yet taken.

use std::collections::VecDeque;

/// Up to this number, chunks keep the boundaries in which they were received or put back. Beyond it small
/// chunks are joined, so that the peer cannot choose how much memory a byte costs.
const CHUNKS_MIN: usize = 64;

/// Joining never makes a chunk longer than this, which is the maximum of one `data` event.
const JOINED_BYTES_MAX: usize = 65_536;

/// The memory of consumed bytes at the front is released when they are at least this long and half of the
/// chunk.
const CONSUMED_BYTES_MIN: usize = 4096;

/// A queue of received chunks, none of them empty.
///
/// It uses at most twice the memory of the queued bytes, plus a constant: buffers grow by doubling, and
/// consumed bytes are released when they are half of their chunk. The chunk that is being consumed may use
/// [`CONSUMED_BYTES_MIN`] more.
#[derive(Debug, Default)]
pub(super) struct Stored {
    chunks: VecDeque<Chunk>,
    bytes: usize,
}

#[derive(Debug)]
struct Chunk {
    buffer: Vec<u8>,
    /// The number of consumed bytes at the front of the buffer.
    consumed: usize,
}

impl Chunk {
    fn new(bytes: &[u8]) -> Self {
        Self { buffer: bytes.to_vec(), consumed: 0 }
    }

    fn as_slice(&self) -> &[u8] {
        &self.buffer[self.consumed..]
    }

    fn len(&self) -> usize {
        self.buffer.len() - self.consumed
    }

    /// Does not copy if no byte is consumed.
    fn into_vec(mut self) -> Vec<u8> {
        if self.consumed > 0 {
            self.buffer.drain(..self.consumed);
        }
        self.buffer
    }

    /// Marks bytes as consumed, fewer than all. Constant time per byte, amortized over all calls.
    fn consume(&mut self, count: usize) {
        self.consumed += count;
        if self.consumed >= CONSUMED_BYTES_MIN && self.consumed >= self.buffer.len() / 2 {
            self.buffer = self.buffer.split_off(self.consumed);
            self.consumed = 0;
        }
    }

    /// Puts bytes before the others, into the space of consumed ones. If there is not enough, allocates as
    /// much space as the chunk is long, so that the time per byte is constant, amortized over all calls.
    fn prepend(&mut self, bytes: &[u8]) {
        if self.consumed < bytes.len() {
            let room = self.len() + bytes.len();
            let mut buffer = Vec::with_capacity(room + self.len());
            buffer.resize(room, 0);
            buffer.extend_from_slice(self.as_slice());
            *self = Self { buffer, consumed: room };
        }
        let begin = self.consumed - bytes.len();
        self.buffer[begin..self.consumed].copy_from_slice(bytes);
        self.consumed = begin;
    }
}

impl Stored {
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Copies all bytes into one piece.
    pub(super) fn copy(&self) -> Vec<u8> {
        self.chunks.iter().flat_map(Chunk::as_slice).copied().collect()
    }

    /// Appends bytes at the end.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        if self.chunks.len() >= CHUNKS_MIN {
            if let Some(last) = self.chunks.back_mut() {
                if last.len() + bytes.len() <= JOINED_BYTES_MAX {
                    return last.buffer.extend_from_slice(bytes);
                }
            }
        }
        self.chunks.push_back(Chunk::new(bytes));
    }

    /// Puts bytes back at the front.
    // RD-14.
    pub(super) fn push_front(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        if self.chunks.len() >= CHUNKS_MIN {
            if let Some(first) = self.chunks.front_mut() {
                if first.len() + bytes.len() <= JOINED_BYTES_MAX {
                    return first.prepend(bytes);
                }
            }
        }
        self.chunks.push_front(Chunk::new(bytes));
    }

    /// Takes the first chunk.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        let chunk = self.chunks.pop_front()?;
        self.bytes -= chunk.len();
        Some(chunk.into_vec())
    }

    /// Takes exactly `count` bytes, or all if there are fewer.
    pub(super) fn take(&mut self, count: usize) -> Vec<u8> {
        if self.chunks.front().is_some_and(|first| first.len() == count) {
            return self.pop().unwrap_or_default();
        }
        let count = count.min(self.bytes);
        self.bytes -= count;
        let mut taken = Vec::with_capacity(count);
        while let Some(first) = self.chunks.front_mut() {
            let missing = count - taken.len();
            if missing < first.len() {
                taken.extend_from_slice(&first.as_slice()[..missing]);
                first.consume(missing);
                break;
            }
            taken.extend_from_slice(first.as_slice());
            self.chunks.pop_front();
        }
        taken
    }

    /// Frees the bytes. Their number stays known.
    pub(super) fn forget_bytes(&mut self) {
        self.chunks = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_order_for_any_chunks() {
        let mut stored = Stored::default();
        stored.push(b"abc");
        stored.push(b"defg");
        assert_eq!(stored.take(2), b"ab");
        assert_eq!(stored.take(3), b"cde");
        stored.push_front(b"!");
        assert_eq!(stored.copy(), b"!fg");
        assert_eq!((stored.take(9), stored.len()), (b"!fg".to_vec(), 0));
    }

    #[test]
    fn few_chunks_keep_their_boundaries_and_many_small_ones_are_joined() {
        let mut stored = Stored::default();
        (0..CHUNKS_MIN + 10).for_each(|_| stored.push(b"ab"));
        stored.push(&[b'c'; JOINED_BYTES_MAX]);
        (0..CHUNKS_MIN - 1).for_each(|_| assert_eq!(stored.pop().unwrap(), b"ab"));
        assert_eq!(stored.pop().unwrap(), b"ab".repeat(11));
        assert_eq!(stored.pop().unwrap().len(), JOINED_BYTES_MAX);
        assert_eq!((stored.pop(), stored.len()), (None, 0));
    }

    #[test]
    fn many_small_unshifted_pieces_are_delivered_in_their_order() {
        let mut stored = Stored::default();
        for byte in (0..=u8::MAX).rev().cycle().take(4 * 256) {
            stored.push_front(&[byte]);
        }
        assert!(stored.chunks.len() <= CHUNKS_MIN);
        let expected: Vec<u8> = (0..=u8::MAX).cycle().take(4 * 256).collect();
        assert_eq!((stored.copy(), stored.len()), (expected.clone(), expected.len()));
        assert_eq!((stored.take(usize::MAX), stored.len()), (expected, 0));
    }

    #[test]
    fn consumed_memory_is_released_and_the_rest_is_correct() {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(100_000).collect();
        let mut stored = Stored::default();
        stored.push(&bytes);
        for taken in 1..bytes.len() {
            assert_eq!(stored.take(1), bytes[taken - 1..taken]);
            let held = stored.chunks[0].buffer.capacity();
            assert!(
                held <= 2 * stored.len() + CONSUMED_BYTES_MIN + 1,
                "{held} for {}",
                stored.len()
            );
        }
        assert_eq!((stored.pop(), stored.len()), (Some(bytes[bytes.len() - 1..].to_vec()), 0));
    }
}
