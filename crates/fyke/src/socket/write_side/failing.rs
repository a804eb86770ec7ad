//! A queue that is given up write by write, as Node does it: what is behind the write whose callback
//! runs still counts (WR-19).

use super::WriteSide;

impl<C> WriteSide<C> {
    /// After [`give_up_queue`](Self::give_up_queue): the next callback of what was queued, up to
    /// `accepted_bytes` in all; only what is behind its write counts as queued from here on.
    pub(in crate::socket) fn next_failing(&mut self, accepted_bytes: u64) -> Option<C> {
        let end = self.more.as_ref()?.callbacks.front()?.end;
        let behind = usize::try_from(accepted_bytes.saturating_sub(end)).unwrap_or(0);
        self.queued_bytes = behind;
        self.next_callback(u64::MAX)
    }

    /// So many bytes count as queued while a callback of a queue that was given up runs.
    pub(in crate::socket) fn set_behind(&mut self, bytes: usize) {
        self.queued_bytes = bytes;
    }
}
