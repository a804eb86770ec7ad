//! Holding writes back, and where the queue is cut for that.

use fyke_driver::Chunk;

use super::{Front, WriteSide};

/// Small writes are joined to chunks of at most this length.
const JOINED_BYTES_MAX: usize = 65_536;

impl<C> WriteSide<C> {
    /// Holds back what is written from here on; what is queued already only if it is not `free`.
    pub(in crate::socket) fn cork(&mut self, free: bool) {
        if free && self.corked == 0 && self.queued_bytes > 0 {
            self.more().free = Some(self.front());
            // Empty ones go with them.
            self.empty_write = false;
        }
        self.corked += 1;
    }

    /// All that is queued by now.
    pub(super) fn front(&mut self) -> Front {
        self.close_tail();
        let (bytes, number) = (self.queued_bytes, self.accepted_writes);
        let more = self.more();
        Front { chunks: more.chunks.len(), bytes, excess: more.excess.queued, number }
    }

    pub(in crate::socket) fn uncork(&mut self) {
        self.corked = self.corked.saturating_sub(1);
    }

    /// `end` uncorks completely (WR-22).
    pub(in crate::socket) fn uncork_all(&mut self) {
        self.corked = 0;
    }

    /// Puts the small writes that were copied together behind the other chunks.
    pub(super) fn close_tail(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let tail = std::mem::take(&mut self.tail);
        let corked = self.corked > 0;
        let more = self.more();
        // The chunks of these are counted already.
        let free = more.free.as_ref().filter(|_| corked);
        let counted =
            free.into_iter().chain(more.parked.as_deref()).map(|front| front.chunks).max();
        let joins = more.chunks.len() > counted.unwrap_or(0);
        match more.chunks.back_mut() {
            // A chunk for each of many small pieces would take more room than what is in them.
            Some(Chunk::Buffer(last)) if joins && last.len() + tail.len() <= JOINED_BYTES_MAX => {
                last.extend_from_slice(&tail);
            }
            _ => more.chunks.push_back(Chunk::Buffer(tail)),
        }
    }
}
