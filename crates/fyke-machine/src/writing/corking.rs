//! Holding writes back, and where the queue is cut for that.

use fyke_driver::Chunk;

use super::{Prefix, Queue, WriteSide};

/// Small writes are joined to chunks of at most this length.
const JOINED_BYTES_MAX: usize = 65_536;

impl<C> WriteSide<C> {
    /// Holds back what is written from here on; what is queued already only if `all`.
    pub fn cork(&mut self, all: bool) {
        let number = self.accepted_writes;
        let queue = self.queue();
        if !all && queue.corked == 0 && queue.queued_bytes > 0 {
            queue.before_cork = Some(queue.prefix(number));
            // Empty ones go with them.
            queue.empty_write = false;
        }
        queue.corked += 1;
    }

    /// Undoes one `cork`.
    pub fn uncork(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.corked = queue.corked.saturating_sub(1);
        }
    }

    /// `end` uncorks completely.
    // WR-22.
    pub fn uncork_all(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.corked = 0;
        }
    }

    /// The connection is closed: no `uncork` and no `drain` is waited for.
    pub(crate) fn forget_holds(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.corked = 0;
            queue.need_drain = false;
        }
    }
}

impl<C> Queue<C> {
    /// All that is queued by now, up to the write of this number.
    pub(super) fn prefix(&mut self, number: u64) -> Prefix {
        self.close_tail();
        let (chunks, excess) = (self.chunks.len(), self.excess.queued);
        Prefix { chunks, bytes: self.queued_bytes, excess, number }
    }

    /// Puts the small writes that were copied together behind the other chunks.
    pub(super) fn close_tail(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let tail = std::mem::take(&mut self.tail);
        // The chunks of these are counted already.
        let before_cork = self.before_cork.as_ref().filter(|_| self.corked > 0);
        let counted =
            before_cork.into_iter().chain(self.parked.as_deref()).map(|prefix| prefix.chunks).max();
        let joins = self.chunks.len() > counted.unwrap_or(0);
        match self.chunks.back_mut() {
            // A chunk for each of many small pieces would take more room than what is in them.
            Some(Chunk::Buffer(last)) if joins && last.len() + tail.len() <= JOINED_BYTES_MAX => {
                last.extend_from_slice(&tail);
            }
            _ => self.chunks.push_back(Chunk::Buffer(tail)),
        }
    }
}
