//! Corking: holding writes back, and splitting the queue for it.

use fyke_driver::Chunk;

use super::{Prefix, Queue, WriteSide};

/// Small writes are joined into chunks of at most this length.
const JOINED_BYTES_MAX: usize = 65_536;

impl<C> WriteSide<C> {
    /// Holds back all later writes; the writes that are already queued only if `all`.
    pub fn cork(&mut self, all: bool) {
        let number = self.accepted_writes;
        let queue = self.queue();
        if !all && queue.corked == 0 && queue.queued_bytes > 0 {
            queue.before_cork = Some(queue.prefix(number));
            // Empty writes before the cork are sent with the others.
            queue.empty_write = false;
        }
        queue.corked += 1;
    }

    /// Undoes one call of `cork`.
    pub fn uncork(&mut self) {
        match &mut self.queue {
            Some(queue) if queue.corked > 0 => queue.corked -= 1,
            _ => self.corks_left = self.corks_left.saturating_sub(1),
        }
    }

    /// Undoes all calls of `cork`, because `end` does so.
    // WR-22.
    pub fn uncork_all(&mut self) {
        self.corks_left = 0;
        if let Some(queue) = &mut self.queue {
            queue.corked = 0;
        }
    }

    /// Makes `drain` pending although no write was refused.
    pub(crate) fn wait_for_drain(&mut self) {
        self.queue().need_drain = true;
    }

    /// The connection is closed: forgets a pending `drain`, and counts corks without a queue. The queue stays
    /// only if there are more corks than a byte can count.
    pub(crate) fn leave_queue(&mut self) {
        let Some(queue) = &mut self.queue else { return };
        queue.need_drain = false;
        if let Ok(corked) = u8::try_from(queue.corked) {
            queue.corked = 0;
            self.corks_left = corked;
        }
    }
}

impl<C> Queue<C> {
    /// The part of the queue up to the write with this number, which is the last one.
    pub(super) fn prefix(&mut self, number: u64) -> Prefix {
        self.close_tail();
        let (chunks, excess) = (self.chunks.len(), self.excess.queued);
        Prefix { chunks, bytes: self.queued_bytes, excess, number }
    }

    /// Appends the small writes that were copied together to the other chunks.
    pub(super) fn close_tail(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let tail = std::mem::take(&mut self.tail);
        // The chunks of these writes are already counted.
        let before_cork = self.before_cork.as_ref().filter(|_| self.corked > 0);
        let counted =
            before_cork.into_iter().chain(self.parked.as_deref()).map(|prefix| prefix.chunks).max();
        let joins = self.chunks.len() > counted.unwrap_or(0);
        match self.chunks.back_mut() {
            // Separate chunks for many small pieces would use more memory than their contents.
            Some(Chunk::Buffer(last)) if joins && last.len() + tail.len() <= JOINED_BYTES_MAX => {
                last.extend_from_slice(&tail);
            }
            _ => self.chunks.push_back(Chunk::Buffer(tail)),
        }
    }
}
