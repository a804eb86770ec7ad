//! The sending half of a socket as a state machine: no descriptor and no clock. Callbacks are only values
//! (`C`) that it stores in order.
//!
//! A write goes through three stages; a large write may skip the first. *Queued*: accepted, and stored by
//! us. *In flight*: given to the driver as part of one batch; there is at most one batch. *Done*: the
//! kernel has accepted all of it, and its callback is due. Node's stream works in the same way, with one
//! chunk, or all corked chunks, instead of a batch.
//!
//! Writes are numbered from the beginning of the connection: a callback is due when the number of its write
//! is reached.

use std::collections::VecDeque;

use fyke_driver::{Batch, Chunk};

use crate::payload::Payload;
use crate::policy::Policy;

/// The sending side of a socket, see the module's documentation.
#[derive(Debug)]
pub struct WriteSide<C> {
    /// `None` if nothing is queued or in flight and no callback is due.
    queue: Option<Box<Queue<C>>>,
    accepted_bytes: u64,
    /// The number of accepted writes, which is the number of the last one.
    accepted_writes: u64,
    high_water_mark_bytes: u32,
    /// The batch in flight is new, or the kernel has accepted some of it, since this was last checked.
    progressed: bool,
    /// The socket is on the loop's list of sockets whose queues must be sent.
    pub dirty: bool,
    /// The corks of a closed socket, which has no queue to count them.
    corks_left: u8,
    /// The state of our side.
    pub side: Side,
}

/// The state of our side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Accepts writes.
    Open,
    /// `end` was called: no more writes are accepted.
    Ended,
    /// Everything is sent. Our side is being shut down, or waits until the connection is established.
    ShuttingDown,
    /// `finish` was emitted.
    Finished,
    /// The socket was made without a sending side. This counts as finished, without the event.
    // FD-04.
    Off,
}

impl<C> WriteSide<C> {
    /// Makes a sending side without writes.
    pub fn new(high_water_mark_bytes: u32) -> Self {
        Self {
            queue: None,
            accepted_bytes: 0,
            accepted_writes: 0,
            high_water_mark_bytes,
            progressed: false,
            dirty: false,
            corks_left: 0,
            side: Side::Open,
        }
    }

    fn queue(&mut self) -> &mut Queue<C> {
        self.queue_of(&mut NoSpares)
    }

    fn queue_of(&mut self, spares: &mut impl Spares<C>) -> &mut Queue<C> {
        let number = self.accepted_writes;
        self.queue.get_or_insert_with(|| {
            let mut queue = spares.queue();
            // All writes before this one are done.
            (queue.in_flight_number, queue.done) = (number, number);
            queue
        })
    }

    /// Whether anything is queued or in flight, or writes are held back.
    #[inline]
    pub fn has_queue(&self) -> bool {
        self.queue.is_some()
    }

    /// Takes the queue if it is empty.
    #[inline]
    pub fn reclaim(&mut self) -> Option<Box<Queue<C>>> {
        if self.queue.as_ref()?.is_empty() { self.queue.take() } else { None }
    }

    /// The sending side for the next connection of the socket.
    // CON-16.
    pub fn renewed(&mut self, policy: &Policy) -> Self {
        let mut renewed = Self { dirty: self.dirty, ..Self::new(self.high_water_mark_bytes) };
        if policy.connects_before_close {
            // Completions of old writes may still arrive; they must not count for new ones.
            renewed.accepted_writes = self.accepted_writes;
        }
        if policy.cork_survives_reconnect && self.corked() > 0 {
            renewed.queue().corked = self.corked();
        }
        // A callback that was never called (DST-18) is called with those of the next connection.
        for callback in self.take_end_callbacks() {
            renewed.push_end_callback(callback);
        }
        if self.side == Side::Off {
            renewed.disable();
        }
        renewed
    }

    /// Makes the socket never write.
    // FD-04.
    pub fn disable(&mut self) {
        self.side = Side::Off;
    }

    /// Whether `end` was called, or there is no sending side.
    pub fn is_ended(&self) -> bool {
        self.side != Side::Open
    }

    /// Whether `finish` was emitted, or there is no sending side.
    pub fn is_finished(&self) -> bool {
        matches!(self.side, Side::Finished | Side::Off)
    }

    /// The number of accepted bytes whose batch is not done. A batch counts as a whole until the kernel has
    /// accepted its last byte, as a chunk does in Node.
    pub fn queued_bytes(&self) -> usize {
        self.queue
            .as_ref()
            .map_or(0, |queue| queue.queued_bytes + queue.in_flight_bytes - queue.excess.sum())
    }

    /// The number of bytes of the batch in flight.
    pub fn in_flight_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.in_flight_bytes)
    }

    /// The number of these bytes that the kernel has not accepted yet.
    pub fn unsent_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.unsent_bytes)
    }

    /// Whether a batch is in flight and the kernel has accepted some of it since this was last checked. The
    /// first check of a batch returns true in any case, as in Node.
    // TMO-09.
    pub fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progressed) && self.unsent_bytes() > 0
    }

    /// The number of bytes that the kernel has accepted on this connection. It grows with everything that
    /// is sent, whichever batch it belongs to.
    pub fn sent_bytes(&self) -> u64 {
        let queue = self.queue.as_ref();
        let waiting = queue.map_or(0, |queue| queue.queued_bytes + queue.unsent_bytes);
        self.accepted_bytes.saturating_sub(waiting as u64)
    }

    /// The number of bytes accepted on this connection, without those that never reached the kernel.
    pub fn accepted_bytes(&self) -> u64 {
        self.accepted_bytes
    }

    /// The number of queued bytes from which on there is no room.
    pub fn high_water_mark_bytes(&self) -> usize {
        self.high_water_mark_bytes as usize
    }

    /// Whether `drain` is pending.
    pub fn need_drain(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.need_drain)
    }

    /// The number of calls of `cork` without a call of `uncork`.
    pub fn corked(&self) -> u32 {
        self.queue.as_ref().map_or(0, |queue| queue.corked) + u32::from(self.corks_left)
    }

    /// Appends a copy of a write to the queue.
    #[inline(always)]
    pub fn push_copy(&mut self, bytes: &[u8], spares: &mut impl Spares<C>) {
        let queue = self.queue_of(spares);
        // The write is sent soon if nothing is before it and nothing holds it back. Otherwise it may wait,
        // and an oversized buffer must not wait with it.
        if queue.tail.capacity() == 0 {
            let soon = queue.chunks.is_empty() && queue.in_flight_bytes == 0 && queue.corked == 0;
            if soon {
                queue.tail = spares.buffer();
            }
        }
        queue.tail.extend_from_slice(bytes);
        queue.queued_bytes += bytes.len();
        queue.empty_write |= bytes.is_empty();
        self.accepted_bytes += bytes.len() as u64;
        self.accepted_writes += 1;
    }

    /// Whether a write may be offered to the kernel directly, because nothing is before it.
    pub fn is_clear(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.is_empty())
    }

    /// Records a write that was never in the queue: the kernel has accepted `taken` of its bytes, and the
    /// others are in flight now. Returns whether that was all of it.
    pub fn sent_directly(&mut self, bytes: usize, taken: usize) -> bool {
        debug_assert!(self.is_clear(), "it would overtake another");
        self.accepted_bytes += bytes as u64;
        self.accepted_writes += 1;
        self.progressed = true;
        if taken < bytes {
            let number = self.accepted_writes;
            let queue = self.queue();
            queue.in_flight_number = number;
            queue.in_flight_bytes = bytes;
            queue.unsent_bytes = bytes - taken;
        }
        taken >= bytes
    }

    /// Appends any write to the queue; large payloads are moved. Returns a payload that was copied, to be
    /// dropped while nothing is borrowed, because dropping it may run user code.
    #[must_use]
    pub fn push<'a>(
        &mut self,
        payload: Payload<'a>,
        callback: Option<C>,
        spares: &mut impl Spares<C>,
    ) -> Option<Payload<'a>> {
        let copied = if let Some(bytes) = payload.to_copy() {
            self.push_copy(bytes, spares);
            Some(payload)
        } else {
            let bytes = payload.as_slice().len();
            let queue = self.queue_of(spares);
            queue.close_tail();
            queue.queued_bytes += bytes;
            queue.chunks.push_back(payload.into_chunk());
            self.accepted_bytes += bytes as u64;
            self.accepted_writes += 1;
            None
        };
        if let Some(callback) = callback {
            self.push_callback(callback);
        }
        copied
    }

    /// Adds the callback of the last write.
    pub(crate) fn push_callback(&mut self, callback: C) {
        let (number, end) = (self.accepted_writes, self.accepted_bytes);
        self.queue().callbacks.push_back(WriteCallback { number, end, callback });
    }

    /// The result of `write`: whether there is room for more. If not, `drain` becomes pending.
    // WR-01.
    pub fn has_room(&mut self) -> bool {
        let room = self.queued_bytes() < self.high_water_mark_bytes() || self.queued_bytes() == 0;
        if !room {
            self.queue().need_drain = true;
        }
        room
    }

    /// Whether the queue has reached the mark. It must then be sent before the end of the batch of
    /// callbacks, because the result of `write` depends on it.
    pub fn is_full(&self) -> bool {
        self.queued_bytes() >= self.high_water_mark_bytes().max(1)
    }

    /// Whether something is queued that may be sent now.
    pub fn can_submit(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| {
            let may_leave = queue.corked == 0 || queue.before_cork.is_some();
            queue.has_queued() && may_leave && queue.in_flight_bytes == 0 && queue.parked.is_none()
        })
    }

    /// Takes the queue, or the part of it that is not corked, as one batch, which is in flight from then
    /// on. `None` if only empty writes were queued, which are done at once.
    pub fn submit(&mut self) -> Option<Batch> {
        self.progressed = true;
        let number = self.accepted_writes;
        let queue = self.queue();
        let before_cork = queue.before_cork.take();
        if let (Some(prefix), true) = (before_cork, queue.corked > 0) {
            return Some(queue.submit_prefix(&prefix));
        }
        queue.empty_write = false;
        queue.excess.submit(usize::MAX);
        queue.in_flight_number = number;
        queue.in_flight_bytes = std::mem::take(&mut queue.queued_bytes);
        queue.unsent_bytes = queue.in_flight_bytes;
        if queue.in_flight_bytes == 0 {
            return None;
        }
        let tail = std::mem::take(&mut queue.tail);
        match queue.chunks.len() {
            0 => Some(Batch::one(Chunk::Buffer(tail))),
            // The list itself is kept for the next batch.
            1 if tail.is_empty() => queue.chunks.pop_front().map(Batch::one),
            _ => {
                let mut chunks = std::mem::take(&mut queue.chunks);
                if !tail.is_empty() {
                    chunks.push_back(Chunk::Buffer(tail));
                }
                Some(Batch::many(chunks))
            }
        }
    }

    /// Whether only small writes that were copied together are queued, and no callback waits for them.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.is_plain())
    }

    /// The small writes at the end of the queue, copied together.
    #[inline]
    pub(crate) fn tail(&self) -> Option<&[u8]> {
        self.queue.as_ref().map(|queue| queue.tail.as_slice())
    }

    /// The kernel has accepted all of [`tail`](Self::tail), which was everything that was queued. Takes the
    /// queue with its buffer, unless callbacks are due.
    #[inline]
    pub(crate) fn tail_is_sent(&mut self) -> Option<Box<Queue<C>>> {
        self.progressed = true;
        let queue = self.queue.as_mut()?;
        queue.empty_write = false;
        queue.queued_bytes = 0;
        queue.tail.clear();
        (queue.in_flight_number, queue.done) = (self.accepted_writes, self.accepted_writes);
        if queue.callbacks.is_empty() {
            debug_assert!(queue.is_empty());
            self.queue.take()
        } else {
            None
        }
    }

    /// The kernel has accepted bytes of the batch in flight. Returns whether that was all of it.
    pub fn sent(&mut self, bytes: usize) -> bool {
        self.progressed = true;
        let Some(queue) = &mut self.queue else { return true };
        queue.unsent_bytes -= bytes.min(queue.unsent_bytes);
        let all = queue.unsent_bytes == 0;
        if all {
            queue.in_flight_bytes = 0;
            queue.stall = None;
            queue.excess.forget_flight();
            queue.done = queue.in_flight_number;
        }
        all
    }

    /// The number of the last write that the kernel has accepted completely, if a callback up to this write
    /// is still to be called.
    pub fn done_and_unreported(&self) -> Option<u64> {
        let queue = self.queue.as_ref()?;
        let due = queue.callbacks.front().is_some_and(|waiting| waiting.number <= queue.done);
        due.then_some(queue.done)
    }

    /// Whether any write callback is still to be called.
    pub fn owes_callbacks(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| !queue.callbacks.is_empty())
    }

    /// The number of the last write that is in flight.
    pub fn in_flight_number(&self) -> u64 {
        self.queue.as_ref().map_or(self.accepted_writes, |queue| queue.in_flight_number)
    }

    /// Whether `drain` is due: it is pending, everything is sent, and more may be written.
    // WR-05.
    pub fn take_drain(&mut self) -> bool {
        let due = self.need_drain() && self.queued_bytes() == 0 && !self.is_ended();
        if due {
            self.queue().need_drain = false;
        }
        due
    }

    /// Whether a callback or `drain` is due when the bytes up to here are done.
    pub fn has_news(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.need_drain || !queue.callbacks.is_empty())
    }

    /// The number of pending callbacks of writes up to this number.
    pub fn callbacks_up_to(&self, number: u64) -> usize {
        self.queue.as_ref().map_or(0, |queue| {
            queue.callbacks.iter().take_while(|waiting| waiting.number <= number).count()
        })
    }

    /// The next callback of a write up to this number.
    pub fn next_callback(&mut self, number: u64) -> Option<C> {
        let callbacks = &mut self.queue.as_mut()?.callbacks;
        let due = callbacks.front().is_some_and(|waiting| waiting.number <= number);
        let callback = if due { callbacks.pop_front() } else { None };
        callback.map(|waiting| waiting.callback)
    }

    /// Stores a callback of `end`.
    pub fn push_end_callback(&mut self, callback: C) {
        self.queue().end_callbacks.push(callback);
    }

    /// Whether any callback of `end` is pending.
    pub fn has_end_callbacks(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| !queue.end_callbacks.is_empty())
    }

    /// Takes the callbacks of `end`.
    pub fn take_end_callbacks(&mut self) -> Vec<C> {
        let queue = self.queue.as_mut();
        queue.map(|queue| std::mem::take(&mut queue.end_callbacks)).unwrap_or_default()
    }

    /// Whether our side can be ended now: `end` was called and everything is sent.
    pub fn can_finish(&self) -> bool {
        let empty = self.queue.as_ref().is_some_and(|queue| queue.empty_write);
        self.is_ended() && !self.is_finished() && self.queued_bytes() == 0 && !empty
    }

    /// Whether bytes are in flight or will be sent without another call. Corked bytes do not count.
    pub fn is_sending(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| {
            let may_leave = queue.corked == 0 || queue.before_cork.is_some();
            queue.in_flight_bytes > 0 || (queue.queued_bytes > 0 && may_leave)
        })
    }

    /// Whether writes are queued.
    pub fn has_queued(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.has_queued())
    }

    /// Whether nothing is queued and no callback is pending.
    pub fn nothing_waits(&self) -> bool {
        !self.has_queued() && !self.owes_callbacks() && !self.has_end_callbacks()
    }

    /// Abandons the queued bytes; they do not count as written. Returns the bytes, to be dropped while
    /// nothing is borrowed, because dropping them may run user code.
    // PROP-05.
    #[must_use]
    pub fn give_up_queue(&mut self) -> VecDeque<Chunk> {
        let Some(queue) = &mut self.queue else { return VecDeque::new() };
        // While a queue is abandoned one write at a time, the bytes that still count as queued were already
        // subtracted.
        if !(queue.chunks.is_empty() && queue.tail.is_empty()) {
            self.accepted_bytes -= queue.queued_bytes as u64;
        }
        queue.queued_bytes = 0;
        queue.empty_write = false;
        queue.tail = Vec::new();
        queue.before_cork = None;
        queue.parked = None;
        queue.excess.queued = 0;
        std::mem::take(&mut queue.chunks)
    }

    /// The kernel refused the whole batch: it does not count as written.
    // PROP-05.
    pub fn refused(&mut self) {
        self.accepted_bytes -= self.in_flight_bytes() as u64;
        self.give_up_flight();
    }

    /// Abandons the batch in flight.
    pub fn give_up_flight(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.in_flight_bytes = 0;
            queue.unsent_bytes = 0;
            queue.stall = None;
            queue.excess.forget_flight();
        }
    }
}

mod corking;
mod excess;
mod failing;
mod parking;
mod queue;
mod stall;

pub use parking::Parked;
pub use queue::{NoSpares, Queue, SMALL_BYTES_MAX, Spares};
use queue::{Prefix, WriteCallback};

#[cfg(test)]
mod tests;
