//! Buffers for small writes, kept for reuse so that steady operation allocates nothing.

use std::cell::RefCell;

use crate::batch::Chunk;
use crate::limits::{POOL_BUFFER_BYTES_MAX, POOL_BUFFERS_MAX};

/// A stack of empty buffers: the one used last is the most likely to be in the cache.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    buffers: RefCell<Vec<Vec<u8>>>,
    /// Shared bytes that are sent, and wait to be dropped until nothing is borrowed.
    buried: RefCell<Vec<Chunk>>,
}

impl Pool {
    /// Keeps a buffer; stores anything else until [`drop_buried`](Self::drop_buried).
    pub(crate) fn keep_or_bury(&self, chunk: Chunk) {
        let shared = self.give_back(chunk);
        self.buried.borrow_mut().extend(shared);
    }

    /// Drops the stored values. Called with nothing borrowed, because this may run user code.
    pub(crate) fn drop_buried(&self) {
        let buried = self.buried.take();
        drop(buried);
    }

    pub(crate) fn take(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps a pooled buffer for reuse. Returns anything else, to be dropped where nothing is borrowed:
    /// dropping shared bytes may run user code.
    pub(crate) fn give_back(&self, chunk: Chunk) -> Option<Chunk> {
        match chunk {
            Chunk::Buffer(buffer) => self.keep(buffer),
            shared @ Chunk::Shared(_) => return Some(shared),
        }
        None
    }

    /// Keeps a buffer for reuse, if there is room.
    pub(crate) fn keep(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        let keep = 1..=POOL_BUFFER_BYTES_MAX;
        if buffers.len() < POOL_BUFFERS_MAX && keep.contains(&buffer.capacity()) {
            buffer.clear();
            buffers.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_buffer_is_emptied_and_the_number_of_kept_buffers_is_limited() {
        let pool = Pool::default();
        for _ in 0..POOL_BUFFERS_MAX + 1 {
            pool.give_back(Chunk::Buffer(b"used".to_vec()));
        }
        assert_eq!(pool.buffers.borrow().len(), POOL_BUFFERS_MAX);
        let buffer = pool.take();
        assert!(buffer.is_empty() && buffer.capacity() >= 4);
    }

    #[test]
    fn a_buffer_is_kept_up_to_the_limit_and_freed_past_it() {
        let pool = Pool::default();
        pool.give_back(Chunk::Buffer(Vec::with_capacity(POOL_BUFFER_BYTES_MAX + 1)));
        assert_eq!(pool.buffers.borrow().len(), 0);
        pool.give_back(Chunk::Buffer(Vec::with_capacity(POOL_BUFFER_BYTES_MAX)));
        assert_eq!(pool.buffers.borrow().len(), 1);
    }
}
