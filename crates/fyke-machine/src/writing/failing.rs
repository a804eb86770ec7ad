//! Abandons a queue one write at a time, as Node does: while the callback of a write runs, the later writes
//! still count.
// WR-19

use super::WriteSide;

impl<C> WriteSide<C> {
    /// The number of the last write that was accepted.
    pub fn accepted_writes(&self) -> u64 {
        self.accepted_writes
    }

    /// Takes the next callback after [`give_up_queue`](Self::give_up_queue). Of the `accepted_bytes` in
    /// total, only those after its write count as queued from then on.
    pub fn next_failing(&mut self, accepted_bytes: u64) -> Option<C> {
        let queue = self.queue.as_mut()?;
        let end = queue.callbacks.front()?.end;
        queue.queued_bytes = usize::try_from(accepted_bytes.saturating_sub(end)).unwrap_or(0);
        self.next_callback(u64::MAX)
    }

    /// Makes `bytes` bytes count as queued while a callback of an abandoned queue runs.
    pub fn set_behind(&mut self, bytes: usize) {
        if bytes > 0 || self.queue.is_some() {
            self.queue().queued_bytes = bytes;
        }
    }
}
