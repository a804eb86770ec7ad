//! Writes before the connection is established, as in Node: the first write is parked in front of the
//! stream's queue, and later writes wait in the queue. By default fyke uses one queue for all of them.
// WR-10 … WR-13

use std::collections::VecDeque;

use fyke_driver::{Batch, Chunk};

use super::WriteSide;

/// The callbacks to call if the connection will never be established.
#[derive(Debug)]
pub struct Parked<C> {
    /// The callbacks of the parked write.
    pub first: Vec<C>,
    /// The callbacks of the writes queued behind it, each with the number of bytes behind its write.
    pub queued: Vec<(usize, C)>,
    /// The callbacks of `end`.
    pub ends: Vec<C>,
}

impl<C> WriteSide<C> {
    /// Parks the queued writes, unless they are corked or a write is already parked.
    pub fn park(&mut self) {
        let number = self.accepted_writes;
        let Some(queue) = &mut self.queue else { return };
        if queue.corked == 0 && queue.has_queued() && queue.parked.is_none() {
            queue.parked = Some(Box::new(queue.prefix(number)));
        }
    }

    /// Whether a write is parked.
    pub fn is_parked(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.parked.is_some())
    }

    /// The connection is established: the parked write is in flight from now on. `None` for an empty write.
    pub fn submit_parked(&mut self) -> Option<Batch> {
        let queue = self.queue.as_mut()?;
        let parked = queue.parked.take()?;
        queue.empty_write &= self.accepted_writes > parked.number;
        self.progressed = true;
        let batch = queue.submit_prefix(&parked);
        if let Some(mut before_cork) = queue.before_cork.take() {
            // The part of the queue that is not held back now begins behind the parked write.
            before_cork.chunks = before_cork.chunks.saturating_sub(parked.chunks);
            before_cork.bytes = before_cork.bytes.saturating_sub(parked.bytes);
            before_cork.excess = before_cork.excess.saturating_sub(parked.excess);
            // If there are only empty writes, they wait for `uncork`.
            queue.empty_write |= before_cork.bytes == 0 && before_cork.number > parked.number;
            queue.before_cork = Some(before_cork).filter(|prefix| prefix.bytes > 0);
        }
        (parked.bytes > 0).then_some(batch)
    }

    /// The connection will never be established: takes the callbacks if a write is parked. The bytes stay.
    pub fn take_parked(&mut self) -> Option<Parked<C>> {
        let number = self.queue.as_ref()?.parked.as_ref()?.number;
        let first = std::iter::from_fn(|| self.next_callback(number)).collect();
        let queued = std::iter::from_fn(|| {
            let end = self.queue.as_ref()?.callbacks.front()?.end;
            let behind = usize::try_from(self.accepted_bytes.saturating_sub(end)).unwrap_or(0);
            Some((behind, self.next_callback(u64::MAX)?))
        });
        let queued = queued.collect();
        Some(Parked { first, queued, ends: self.take_end_callbacks() })
    }

    /// Abandons the queue. Node stores the parked write separately, so it still counts as written.
    // PROP-05.
    #[must_use]
    pub fn give_up_parked(&mut self) -> VecDeque<Chunk> {
        let parked = self.queue.as_mut().and_then(|queue| queue.parked.take());
        let chunks = self.give_up_queue();
        self.accepted_bytes += parked.map_or(0, |parked| parked.bytes as u64);
        chunks
    }
}
