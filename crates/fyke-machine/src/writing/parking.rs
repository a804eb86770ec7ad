//! Writes before the connection stands, as Node has them: the first one is parked in front of the
//! stream's queue, and what comes after it waits in the queue (WR-10 … WR-13). By default fyke has
//! one queue for all.

use std::collections::VecDeque;

use fyke_driver::{Batch, Chunk};

use super::WriteSide;

/// Whom to tell that the connection will never stand.
#[derive(Debug)]
pub struct Parked<C> {
    /// The callbacks of what was parked.
    pub first: Vec<C>,
    /// Those of what was queued behind it, each with how many bytes are behind its write.
    pub queued: Vec<(usize, C)>,
    /// Those of `end`.
    pub ends: Vec<C>,
}

impl<C> WriteSide<C> {
    /// Parks what is queued, unless it is corked, or something is parked already.
    pub fn park(&mut self) {
        let number = self.accepted_writes;
        let Some(queue) = &mut self.queue else { return };
        if queue.corked == 0 && queue.has_queued() && queue.parked.is_none() {
            queue.parked = Some(Box::new(queue.front(number)));
        }
    }

    /// Whether a write is parked.
    pub fn is_parked(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.parked.is_some())
    }

    /// The connection stands: what is parked is in flight from here on. None for an empty write.
    pub fn hand_over_parked(&mut self) -> Option<Batch> {
        let queue = self.queue.as_mut()?;
        let parked = queue.parked.take()?;
        queue.empty_write &= self.accepted_writes > parked.number;
        self.progressed = true;
        let batch = queue.hand_over_front(&parked);
        if let Some(mut free) = queue.free.take() {
            // What is not held back begins behind it now.
            free.chunks = free.chunks.saturating_sub(parked.chunks);
            free.bytes = free.bytes.saturating_sub(parked.bytes);
            free.excess = free.excess.saturating_sub(parked.excess);
            // Empty writes alone wait for `uncork`.
            queue.empty_write |= free.bytes == 0 && free.number > parked.number;
            queue.free = Some(free).filter(|free| free.bytes > 0);
        }
        (parked.bytes > 0).then_some(batch)
    }

    /// It never will: takes the callbacks, if something is parked. The bytes stay.
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

    /// Gives the queue up. Node keeps what is parked apart from it: it goes on counting as written
    /// (PROP-05).
    #[must_use]
    pub fn give_up_parked(&mut self) -> VecDeque<Chunk> {
        let parked = self.queue.as_mut().and_then(|queue| queue.parked.take());
        let chunks = self.give_up_queue();
        self.accepted_bytes += parked.map_or(0, |parked| parked.bytes as u64);
        chunks
    }
}
