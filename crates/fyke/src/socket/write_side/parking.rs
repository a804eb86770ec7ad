//! Writes before the connection stands, as Node has them: the first one is parked in front of the
//! stream's queue, and what comes after it waits in the queue (WR-10 … WR-13). By default fyke has
//! one queue for all.

use std::collections::VecDeque;

use fyke_driver::{Batch, Chunk};

use super::WriteSide;

/// Whom to tell that the connection will never stand.
#[derive(Debug)]
pub(in crate::socket) struct Parked<C> {
    /// The callbacks of what was parked.
    pub(in crate::socket) first: Vec<C>,
    /// Those of what was queued behind it, each with how many bytes are behind its write.
    pub(in crate::socket) queued: Vec<(usize, C)>,
    /// Those of `end`.
    pub(in crate::socket) ends: Vec<C>,
}

impl<C> WriteSide<C> {
    /// Parks what is queued, unless it is corked, or something is parked already.
    pub(in crate::socket) fn park(&mut self) {
        if self.corked == 0 && self.has_queued() && !self.is_parked() {
            self.more().parked = Some(Box::new(self.front()));
        }
    }

    pub(in crate::socket) fn is_parked(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.parked.is_some())
    }

    /// The connection stands: what is parked is in flight from here on. None for an empty write.
    pub(in crate::socket) fn hand_over_parked(&mut self) -> Option<Batch> {
        let parked = self.more.as_mut()?.parked.take()?;
        self.empty_write &= self.accepted_writes > parked.number;
        let batch = self.hand_over_front(&parked);
        (parked.bytes > 0).then_some(batch)
    }

    /// It never will: takes the callbacks, if something is parked. The bytes stay.
    pub(in crate::socket) fn take_parked(&mut self) -> Option<Parked<C>> {
        let number = self.more.as_ref()?.parked.as_ref()?.number;
        let first = std::iter::from_fn(|| self.next_callback(number)).collect();
        let queued = std::iter::from_fn(|| {
            let end = self.more.as_ref()?.callbacks.front()?.end;
            let behind = usize::try_from(self.accepted_bytes.saturating_sub(end)).unwrap_or(0);
            Some((behind, self.next_callback(u64::MAX)?))
        });
        let queued = queued.collect();
        Some(Parked { first, queued, ends: self.take_end_callbacks() })
    }

    /// Gives the queue up. Node keeps what is parked apart from it: it goes on counting as written
    /// (PROP-05).
    #[must_use]
    pub(in crate::socket) fn give_up_parked(&mut self) -> VecDeque<Chunk> {
        let parked = self.more.as_mut().and_then(|more| more.parked.take());
        let chunks = self.give_up_queue();
        self.accepted_bytes += parked.map_or(0, |parked| parked.bytes as u64);
        chunks
    }
}
