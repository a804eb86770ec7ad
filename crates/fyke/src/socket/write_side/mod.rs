//! The sending half of a socket as a state machine: no descriptor, no clock, and callbacks only
//! as values (`C`) that it keeps in order.
//!
//! A write goes through three stages, the first of which a large one may skip. *Queued*: accepted,
//! ours. *In flight*: handed over to the driver as one batch; there is at most one. *Done*: the kernel has all of it; its callback is due.
//! Node's stream works the same way with one chunk, or all corked ones, in the place of a batch.
//!
//! Writes are counted from the beginning of the connection: a callback is due when the number of
//! its write is reached.

use std::collections::VecDeque;

use fyke_driver::{Batch, Chunk};

use crate::payload::Payload;

/// Up to this size the kernel takes all or nothing, but for rare cases; from here on a call more costs
/// less than a copy.
pub(super) const SMALL_BYTES_MAX: usize = 4096;

#[derive(Debug)]
pub(super) struct WriteSide<C> {
    /// Small writes, copied together: the end of the queue.
    tail: Vec<u8>,
    more: Option<Box<More<C>>>,
    queued_bytes: usize,
    in_flight_bytes: usize,
    /// Of those, the ones that the kernel does not have yet.
    unsent_bytes: usize,
    accepted_bytes: u64,
    /// How many writes were accepted: the number of the last one.
    accepted_writes: u64,
    /// The number of the last write that was handed over.
    handed_over: u64,
    high_water_mark_bytes: u32,
    corked: u32,
    /// A write returned false: `drain` is owed.
    need_drain: bool,
    /// The kernel took some of the batch in flight, or it is new, since that was last asked.
    progressed: bool,
    /// An empty write waits for its turn to call back.
    empty_write: bool,
    /// On the loop's list of sockets to hand over.
    pub(super) dirty: bool,
    /// `end` was called: no more writes.
    pub(super) ending: bool,
    /// Our side is being ended: shut down, or waiting for the connection to be.
    pub(super) shutting_down: bool,
    /// `finish` was emitted.
    pub(super) finished: bool,
    /// Made without this half: counts as finished, without the event (FD-04).
    disabled: bool,
}

/// What only some sockets have.
#[derive(Debug)]
struct More<C> {
    /// The queue before `tail`.
    chunks: VecDeque<Chunk>,
    /// Callbacks of writes, each with the number of its write.
    callbacks: VecDeque<Waiting<C>>,
    /// The number of the last write that the kernel has all of.
    done: u64,
    /// Callbacks of `end`.
    end_callbacks: Vec<C>,
    /// What was queued when `cork` was called: it is not held back.
    free: Option<Front>,
    /// Node's first write of a socket that connects: the others wait behind it.
    parked: Option<Box<Front>>,
    excess: Excess,
}

/// The callback of a write.
#[derive(Debug)]
struct Waiting<C> {
    number: u64,
    /// How many bytes were accepted with it and before it.
    end: u64,
    callback: C,
}

/// The front of the queue.
#[derive(Debug)]
struct Front {
    chunks: usize,
    bytes: usize,
    excess: usize,
    /// The number of its last write.
    number: u64,
}

impl<C> Default for More<C> {
    fn default() -> Self {
        Self {
            chunks: VecDeque::new(),
            callbacks: VecDeque::new(),
            done: 0,
            end_callbacks: Vec::new(),
            free: None,
            parked: None,
            excess: Excess::default(),
        }
    }
}

impl<C> More<C> {
    fn is_empty(&self) -> bool {
        let callbacks = self.callbacks.is_empty() && self.end_callbacks.is_empty();
        callbacks && self.chunks.is_empty() && self.excess.is_none()
    }
}

impl<C> WriteSide<C> {
    pub(super) fn new(high_water_mark_bytes: u32) -> Self {
        Self {
            tail: Vec::new(),
            more: None,
            queued_bytes: 0,
            in_flight_bytes: 0,
            unsent_bytes: 0,
            accepted_bytes: 0,
            accepted_writes: 0,
            handed_over: 0,
            high_water_mark_bytes,
            corked: 0,
            need_drain: false,
            progressed: false,
            empty_write: false,
            dirty: false,
            ending: false,
            shutting_down: false,
            finished: false,
            disabled: false,
        }
    }

    /// The same socket before its next connection (CON-16).
    pub(super) fn renewed(&mut self, exact: bool) -> Self {
        let mut renewed = Self { dirty: self.dirty, ..Self::new(self.high_water_mark_bytes) };
        if exact {
            renewed.corked = self.corked;
            // News of an old write may still be on its way: it is not about a new one.
            renewed.accepted_writes = self.accepted_writes;
            renewed.handed_over = self.accepted_writes;
        }
        // One that nobody told anything (DST-18) is told with those of the next connection.
        for callback in self.take_end_callbacks() {
            renewed.push_end_callback(callback);
        }
        if self.disabled {
            renewed.disable();
        }
        renewed
    }

    /// A socket that is never written to (FD-04).
    pub(super) fn disable(&mut self) {
        self.disabled = true;
        self.ending = true;
        self.finished = true;
    }

    /// Bytes that were accepted and whose batch is not done. A batch counts as a whole until its
    /// last byte is with the kernel, as a chunk does in Node.
    pub(super) fn len(&self) -> usize {
        self.queued_bytes + self.in_flight_bytes - self.excess()
    }

    pub(super) fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes
    }

    pub(super) fn unsent_bytes(&self) -> usize {
        self.unsent_bytes
    }

    /// Whether a batch is in flight, and the kernel took some of it since this was last asked. The
    /// first time also when it took nothing, as in Node (TMO-09).
    pub(super) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progressed) && self.unsent_bytes > 0
    }

    /// What the kernel has taken on this connection. Grows with all that is sent, whichever batch
    /// it belongs to.
    pub(super) fn sent_bytes(&self) -> u64 {
        let waiting = self.queued_bytes + self.unsent_bytes;
        self.accepted_bytes.saturating_sub(waiting as u64)
    }

    pub(super) fn accepted_bytes(&self) -> u64 {
        self.accepted_bytes
    }

    pub(super) fn high_water_mark_bytes(&self) -> usize {
        self.high_water_mark_bytes as usize
    }

    pub(super) fn need_drain(&self) -> bool {
        self.need_drain
    }

    pub(super) fn corked(&self) -> u32 {
        self.corked
    }

    fn more(&mut self) -> &mut More<C> {
        self.more.get_or_insert_default()
    }

    /// Whether so many bytes more leave room for others behind them.
    pub(super) fn has_room_behind(&self, bytes: usize) -> bool {
        self.len() + bytes < self.high_water_mark_bytes()
    }

    /// Puts a write at the end of the queue: a copy. `spare` lends a buffer if one is needed.
    pub(super) fn push_copy(&mut self, bytes: &[u8], spare: impl FnOnce() -> Vec<u8>) {
        self.count(bytes.len());
        if self.tail.capacity() == 0 && self.leaves_soon() {
            self.tail = spare();
        }
        self.tail.extend_from_slice(bytes);
    }

    /// Whether nothing is before the next write, and nothing holds it back. Otherwise it may wait, and a buffer that is
    /// larger than it must not wait with it.
    fn leaves_soon(&self) -> bool {
        let first = self.more.as_ref().is_none_or(|more| more.chunks.is_empty());
        first && self.in_flight_bytes == 0 && self.corked == 0
    }

    fn count(&mut self, bytes: usize) {
        self.queued_bytes += bytes;
        self.accepted_bytes += bytes as u64;
        self.accepted_writes += 1;
        self.empty_write |= bytes == 0;
    }

    /// Whether a write may go to the kernel as it is, because nothing is before it.
    pub(super) fn is_clear(&self) -> bool {
        let free = self.in_flight_bytes == 0 && self.corked == 0 && self.more.is_none();
        free && !self.has_queued() && !self.need_drain
    }

    /// A write that never was in the queue: it is in flight from here on.
    pub(super) fn fly(&mut self, bytes: usize) {
        debug_assert!(self.is_clear(), "it would overtake another");
        self.count(bytes);
        self.handed_over = self.accepted_writes;
        self.in_flight_bytes = std::mem::take(&mut self.queued_bytes);
        self.unsent_bytes = bytes;
        self.progressed = true;
    }

    /// Puts any write at the end of the queue: what is worth it is moved. Returns a payload that was
    /// copied, to be dropped where nothing is borrowed: it may run the user's code when it goes.
    #[must_use]
    pub(super) fn push<'a>(
        &mut self,
        payload: Payload<'a>,
        callback: Option<C>,
        spare: impl FnOnce() -> Vec<u8>,
    ) -> Option<Payload<'a>> {
        let copied = if let Some(bytes) = payload.to_copy() {
            self.push_copy(bytes, spare);
            Some(payload)
        } else {
            self.count(payload.as_slice().len());
            self.close_tail();
            self.more().chunks.push_back(payload.into_chunk());
            None
        };
        if let Some(callback) = callback {
            let number = self.accepted_writes;
            let end = self.accepted_bytes;
            self.more().callbacks.push_back(Waiting { number, end, callback });
        }
        copied
    }

    /// What `write` returns (WR-01): whether there is room for more. If not, `drain` is owed.
    pub(super) fn has_room(&mut self) -> bool {
        let room = self.len() < self.high_water_mark_bytes() || self.len() == 0;
        self.need_drain |= !room;
        room
    }

    /// Whether the queue has reached the mark, so that a hand-over cannot wait for the end of the
    /// batch: the answer of `write` depends on it (contract C9).
    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.high_water_mark_bytes().max(1)
    }

    /// Whether something waits that may be handed over now.
    pub(super) fn can_hand_over(&self) -> bool {
        let free = self.corked == 0 || self.has_free();
        self.has_queued() && free && self.in_flight_bytes == 0 && !self.is_parked()
    }

    fn has_free(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.free.is_some())
    }

    /// Takes the queue as one batch, or what of it is not corked: it is in flight from here on.
    /// None if only empty writes were waiting, which are done at once.
    pub(super) fn hand_over(&mut self) -> Option<Batch> {
        let free = self.more.as_mut().and_then(|more| more.free.take());
        if let (Some(free), true) = (free, self.corked > 0) {
            return Some(self.hand_over_front(&free));
        }
        self.empty_write = false;
        self.hand_over_excess(usize::MAX);
        self.handed_over = self.accepted_writes;
        self.in_flight_bytes = std::mem::take(&mut self.queued_bytes);
        self.unsent_bytes = self.in_flight_bytes;
        self.progressed = true;
        if self.in_flight_bytes == 0 {
            return None;
        }
        let tail = std::mem::take(&mut self.tail);
        match &mut self.more {
            Some(more) if more.chunks.len() == 1 && tail.is_empty() => {
                // The list stays, for the next.
                more.chunks.pop_front().map(Batch::one)
            }
            Some(more) if !more.chunks.is_empty() => {
                let mut chunks = std::mem::take(&mut more.chunks);
                if !tail.is_empty() {
                    chunks.push_back(Chunk::Buffer(tail));
                }
                Some(Batch::many(chunks))
            }
            _ => Some(Batch::one(Chunk::Buffer(tail))),
        }
    }

    /// The queue, if it is nothing but a few bytes that nobody is told about one by one, and they may
    /// be handed over: those need no batch.
    pub(super) fn small(&self) -> Option<&[u8]> {
        let small = (1..=SMALL_BYTES_MAX).contains(&self.tail.len());
        let free = self.in_flight_bytes == 0 && self.corked == 0 && self.more.is_none();
        (small && free).then_some(&self.tail)
    }

    /// The kernel has taken all of [`small`](Self::small). Returns the buffer.
    pub(super) fn small_is_sent(&mut self) -> Vec<u8> {
        self.empty_write = false;
        self.handed_over = self.accepted_writes;
        self.queued_bytes = 0;
        self.progressed = true;
        std::mem::take(&mut self.tail)
    }

    fn hand_over_front(&mut self, front: &Front) -> Batch {
        self.handed_over = front.number;
        self.hand_over_excess(front.excess);
        self.queued_bytes -= front.bytes;
        self.in_flight_bytes = front.bytes;
        self.unsent_bytes = front.bytes;
        self.progressed = true;
        Batch::many(self.more().chunks.drain(..front.chunks).collect())
    }

    /// The kernel took bytes of the batch in flight. Says whether that was all of it.
    pub(super) fn sent(&mut self, bytes: usize) -> bool {
        self.unsent_bytes -= bytes.min(self.unsent_bytes);
        self.progressed = true;
        if self.unsent_bytes == 0 {
            self.in_flight_bytes = 0;
            self.forget_excess_in_flight();
            if let Some(more) = &mut self.more {
                more.done = self.handed_over;
            }
        }
        self.unsent_bytes == 0
    }

    /// The number of a write up to which the kernel has all, if a callback of one of those is still to
    /// be called.
    pub(super) fn done_and_not_told(&self) -> Option<u64> {
        let more = self.more.as_ref()?;
        let due = more.callbacks.front().is_some_and(|waiting| waiting.number <= more.done);
        due.then_some(more.done)
    }

    /// Whether any callback of a write is still to be called.
    pub(super) fn owes_callbacks(&self) -> bool {
        self.more.as_ref().is_some_and(|more| !more.callbacks.is_empty())
    }

    /// The number of the last write that was handed over.
    pub(super) fn handed_over(&self) -> u64 {
        self.handed_over
    }

    /// Whether `drain` is due: it is owed, everything is gone and more may be written (WR-05).
    pub(super) fn take_drain(&mut self) -> bool {
        let due = self.need_drain && self.len() == 0 && !self.ending;
        self.need_drain &= !due;
        due
    }

    /// Whether anything must be told when the bytes up to here are done.
    pub(super) fn has_news(&self) -> bool {
        self.need_drain || self.owes_callbacks()
    }

    /// How many callbacks of writes up to this number wait.
    pub(super) fn callbacks_up_to(&self, number: u64) -> usize {
        self.more.as_ref().map_or(0, |more| {
            more.callbacks.iter().take_while(|waiting| waiting.number <= number).count()
        })
    }

    /// The next callback of a write up to this number.
    pub(super) fn next_callback(&mut self, number: u64) -> Option<C> {
        let more = self.more.as_mut()?;
        let due = more.callbacks.front().is_some_and(|waiting| waiting.number <= number);
        let callback = if due { more.callbacks.pop_front() } else { None };
        if more.is_empty() {
            self.more = None;
        }
        callback.map(|waiting| waiting.callback)
    }

    pub(super) fn push_end_callback(&mut self, callback: C) {
        self.more().end_callbacks.push(callback);
    }

    pub(super) fn has_end_callbacks(&self) -> bool {
        self.more.as_ref().is_some_and(|more| !more.end_callbacks.is_empty())
    }

    pub(super) fn take_end_callbacks(&mut self) -> Vec<C> {
        self.more.as_mut().map(|more| std::mem::take(&mut more.end_callbacks)).unwrap_or_default()
    }

    /// Whether our side of the connection can be ended now: `end` was called and nothing is left.
    pub(super) fn can_finish(&self) -> bool {
        self.ending && !self.finished && self.len() == 0 && !self.empty_write
    }

    /// Whether bytes are on their way, or will be without anybody's doing: not if they are corked.
    pub(super) fn is_sending(&self) -> bool {
        let queued = self.queued_bytes > 0 && (self.corked == 0 || self.has_free());
        self.in_flight_bytes > 0 || queued
    }

    /// Whether writes wait that were never handed over.
    pub(super) fn has_queued(&self) -> bool {
        self.queued_bytes > 0 || self.empty_write
    }

    /// Whether nothing is queued, and there is nobody who might wait.
    pub(super) fn nothing_waits(&self) -> bool {
        !self.has_queued() && self.more.is_none()
    }

    /// Gives up what was never handed over; it does not count as written (PROP-05). Returns the
    /// bytes, to be dropped where nothing is borrowed: they may run the user's code when they go.
    #[must_use]
    pub(super) fn give_up_queue(&mut self) -> VecDeque<Chunk> {
        self.accepted_bytes -= self.queued_bytes as u64;
        self.queued_bytes = 0;
        self.empty_write = false;
        self.tail = Vec::new();
        let Some(more) = &mut self.more else { return VecDeque::new() };
        more.free = None;
        more.parked = None;
        more.excess.queued = 0;
        std::mem::take(&mut more.chunks)
    }

    /// The kernel refused the batch as a whole: it does not count as written (PROP-05).
    pub(super) fn refused(&mut self) {
        self.accepted_bytes -= self.in_flight_bytes as u64;
        self.give_up_flight();
    }

    /// Gives up the batch in flight.
    pub(super) fn give_up_flight(&mut self) {
        self.in_flight_bytes = 0;
        self.unsent_bytes = 0;
        self.forget_excess_in_flight();
    }
}

mod corking;
mod excess;
mod failing;
mod parking;

use excess::Excess;
pub(in crate::socket) use parking::Parked;

#[cfg(test)]
mod tests;
