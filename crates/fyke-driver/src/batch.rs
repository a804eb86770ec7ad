//! Data that is being sent, and the owners of its memory.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use crate::limits::PIECES_PER_SEND_MAX;

/// A piece of a [`Batch`].
#[derive(Debug)]
pub enum Chunk {
    /// A buffer of the driver's pool that holds copies of small writes.
    Buffer(Vec<u8>),
    /// Bytes whose ownership was transferred, so they are not copied.
    Shared(Bytes),
}

impl Chunk {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Buffer(buffer) => buffer,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// A waiting buffer with at most this many bytes is reduced to them.
const SMALL_BYTES_MAX: usize = 4096;

/// The data of one [`send`](crate::Driver::send): pieces in order, gathered into as few system calls as
/// possible. The driver owns it from the call until the kernel has accepted the last byte, so no change
/// of the socket can free the memory (contract rule 4).
#[derive(Debug)]
pub struct Batch {
    first: Option<Chunk>,
    rest: VecDeque<Chunk>,
    /// The number of bytes of the front piece that are already sent.
    offset: usize,
    remaining: usize,
}

impl Batch {
    /// A batch of one piece, without an allocation.
    pub fn one(chunk: Chunk) -> Self {
        Self {
            remaining: chunk.as_slice().len(),
            first: Some(chunk),
            rest: VecDeque::new(),
            offset: 0,
        }
    }

    /// A batch of several pieces.
    pub fn many(chunks: VecDeque<Chunk>) -> Self {
        Self {
            remaining: chunks.iter().map(|chunk| chunk.as_slice().len()).sum(),
            first: None,
            rest: chunks,
            offset: 0,
        }
    }

    /// Skips the first bytes, because the kernel already has them; fewer than all.
    pub fn skip(&mut self, count: usize) {
        debug_assert!(count < self.remaining, "nothing would be left");
        self.advance(count, drop);
    }

    /// The number of bytes that the kernel has not accepted yet.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// Copies the bytes that the kernel has not accepted yet.
    pub fn to_vec(&self) -> Vec<u8> {
        let chunks = self.first.iter().chain(&self.rest);
        chunks.flat_map(Chunk::as_slice).skip(self.offset).copied().collect()
    }

    /// The unsent part of the front piece.
    pub fn front(&self) -> &[u8] {
        let front = self.first.as_ref().or(self.rest.front());
        front.map_or(&[], |chunk| &chunk.as_slice()[self.offset..])
    }

    /// Appends the first `count` unsent bytes to `target`, or all if there are fewer.
    pub fn copy_to(&self, target: &mut Vec<u8>, mut count: usize) {
        let mut offset = self.offset;
        for chunk in self.first.iter().chain(&self.rest) {
            let bytes = &chunk.as_slice()[std::mem::take(&mut offset)..];
            let bytes = &bytes[..bytes.len().min(count)];
            target.extend_from_slice(bytes);
            count -= bytes.len();
        }
    }

    /// Removes the first `count` unsent bytes; finished pieces go to `done`.
    pub fn consume(&mut self, count: usize, done: impl FnMut(Chunk)) {
        self.advance(count, done);
    }

    /// The unsent part of the front piece, if it is the only one.
    pub(crate) fn single(&self) -> Option<&[u8]> {
        match (&self.first, self.rest.len()) {
            (Some(chunk), 0) => Some(&chunk.as_slice()[self.offset..]),
            _ => None,
        }
    }

    /// Fills `slices` with the unsent pieces, in order, and returns their number.
    pub(crate) fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; PIECES_PER_SEND_MAX]) -> usize {
        let mut count = 0;
        let mut offset = self.offset;
        for chunk in self.first.iter().chain(&self.rest).take(PIECES_PER_SEND_MAX) {
            slices[count] = IoSlice::new(&chunk.as_slice()[offset..]);
            offset = 0;
            count += 1;
        }
        count
    }

    /// Marks `count` bytes as accepted; finished pieces go to `done`.
    pub(crate) fn advance(&mut self, mut count: usize, mut done: impl FnMut(Chunk)) {
        debug_assert!(count <= self.remaining, "the kernel took more than it was offered");
        self.remaining -= count;
        loop {
            let Some(front) = self.first.as_ref().or(self.rest.front()) else { return };
            let left = front.as_slice().len() - self.offset;
            if count < left {
                self.offset += count;
                return;
            }
            count -= left;
            self.offset = 0;
            if let Some(chunk) = self.first.take().or_else(|| self.rest.pop_front()) {
                done(chunk);
            }
        }
    }

    /// Returns the pieces, sent or not.
    pub(crate) fn dismantle(self, mut done: impl FnMut(Chunk)) {
        self.first.into_iter().chain(self.rest).for_each(&mut done);
    }
}

impl Batch {
    /// The batch has to wait. A large pooled buffer with few bytes in it is reduced to them, because
    /// many connections may wait, each with one.
    pub(crate) fn release_spare(&mut self) {
        let last = self.rest.back_mut().or(self.first.as_mut());
        if let Some(Chunk::Buffer(buffer)) = last {
            if buffer.len() <= SMALL_BYTES_MAX && buffer.capacity() > 2 * SMALL_BYTES_MAX {
                buffer.shrink_to_fit();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(pieces: &[&'static [u8]]) -> Batch {
        Batch::many(pieces.iter().map(|piece| Chunk::Shared(Bytes::from_static(piece))).collect())
    }

    fn rest(batch: &Batch) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); PIECES_PER_SEND_MAX];
        let count = batch.gather(&mut slices);
        slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn the_rest_after_any_number_of_sent_bytes_is_the_tail() {
        let whole = b"onetwothree";
        for taken in 0..=whole.len() {
            let mut batch = batch(&[b"one", b"two", b"", b"three"]);
            batch.advance(taken, drop);
            assert_eq!(batch.remaining(), whole.len() - taken);
            assert_eq!(rest(&batch), whole[taken..]);
        }
    }

    #[test]
    fn pieces_are_returned_once_each_in_order() {
        let mut batch = batch(&[b"one", b"two", b"three"]);
        let mut back = Vec::new();
        for count in [1, 3, 2, 5] {
            batch.advance(count, |chunk| back.push(chunk.as_slice().to_vec()));
        }
        assert_eq!(back, [&b"one"[..], b"two", b"three"]);
        assert_eq!(batch.remaining(), 0);
    }

    #[test]
    fn a_large_buffer_with_few_bytes_is_not_kept() {
        let mut buffer = Vec::with_capacity(65_536);
        buffer.extend_from_slice(b"hello");
        let mut batch = Batch::one(Chunk::Buffer(buffer));
        batch.advance(2, drop);
        batch.release_spare();
        assert_eq!(rest(&batch), b"llo");
        let Some(Chunk::Buffer(buffer)) = &batch.first else { panic!("it is a buffer") };
        assert!(buffer.capacity() < 100);
    }

    #[test]
    fn skipped_bytes_are_not_offered() {
        let mut batch = batch(&[b"one", b"two"]);
        batch.skip(4);
        assert_eq!((batch.remaining(), rest(&batch)), (2, b"wo".to_vec()));
    }

    #[test]
    fn a_batch_of_one_piece_is_offered_without_gathering() {
        let mut batch = Batch::one(Chunk::Buffer(b"hello".to_vec()));
        batch.advance(2, drop);
        assert_eq!(batch.single(), Some(&b"llo"[..]));
    }
}
