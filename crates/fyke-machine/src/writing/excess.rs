//! Counts callbacks, which are limited too, and the difference between bytes and Node's text lengths. Node
//! counts queued text in UTF-16 units, and everything else in bytes. By default fyke counts bytes; this
//! module tracks by how much that is more.
// WR-04

use super::WriteSide;

impl<C> WriteSide<C> {
    /// The number of pending write callbacks.
    pub fn callbacks(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.callbacks.len())
    }

    /// The number of pending `end` callbacks.
    pub fn end_callbacks(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.end_callbacks.len())
    }

    /// Reduces the counted length of the last write by `excess`.
    pub fn add_excess(&mut self, excess: usize) {
        if excess > 0 {
            self.queue().excess.queued += excess;
        }
    }
}
