//! What counts beside the bytes of a queue. Callbacks, of which there is a limit too; and text: Node counts
//! text in a queue by UTF-16 units, and everything else by bytes (WR-04). By default fyke counts bytes; here
//! is by how much that is more.

use super::WriteSide;

impl<C> WriteSide<C> {
    /// How many callbacks of writes wait.
    pub fn callbacks(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.callbacks.len())
    }

    /// How many callbacks of ends wait.
    pub fn end_callbacks(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.end_callbacks.len())
    }

    /// The last write is by so much longer than it counts.
    pub fn add_excess(&mut self, excess: usize) {
        if excess > 0 {
            self.queue().excess.queued += excess;
        }
    }
}
