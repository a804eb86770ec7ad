//! A queue that is given up write by write, as Node does it: what is behind the write whose callback
//! runs still counts (WR-19).

use super::WriteSide;

impl<C> WriteSide<C> {
    /// The number of the last write that was accepted.
    pub fn accepted_writes(&self) -> u64 {
        self.accepted_writes
    }

    /// After [`give_up_queue`](Self::give_up_queue): the next callback of what was queued, up to
    /// `accepted_bytes` in all; only what is behind its write counts as queued from here on.
    pub fn next_failing(&mut self, accepted_bytes: u64) -> Option<C> {
        let queue = self.queue.as_mut()?;
        let end = queue.callbacks.front()?.end;
        queue.queued_bytes = usize::try_from(accepted_bytes.saturating_sub(end)).unwrap_or(0);
        self.next_callback(u64::MAX)
    }

    /// `bytes` bytes count as queued while a callback of a queue that was given up runs.
    pub fn set_behind(&mut self, bytes: usize) {
        if bytes > 0 || self.queue.is_some() {
            self.queue().queued_bytes = bytes;
        }
    }
}
