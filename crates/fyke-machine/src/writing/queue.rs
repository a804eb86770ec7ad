//! The write queue of a socket. Its box is reused by other sockets.

use std::collections::VecDeque;

use fyke_driver::{Batch, Chunk};

use crate::Moment;

/// Up to this size the kernel accepts a write completely or not at all, except in rare cases. For larger
/// writes, one more system call costs less than a copy.
pub const SMALL_BYTES_MAX: usize = 4096;

/// An unused queue keeps a buffer of at most this size.
const KEPT_BYTES_MAX: usize = 2 * SMALL_BYTES_MAX;

/// The queued bytes and their callbacks. An empty queue is returned to a pool, so that a socket with
/// nothing to send has none.
#[derive(Debug)]
pub struct Queue<C> {
    /// Small writes, copied together: the end of the queue.
    pub(super) tail: Vec<u8>,
    /// The chunks before the tail.
    pub(super) chunks: VecDeque<Chunk>,
    pub(super) queued_bytes: usize,
    pub(super) in_flight_bytes: usize,
    /// The number of bytes in flight that the kernel has not accepted yet.
    pub(super) unsent_bytes: usize,
    /// The number of the last write that was put in flight.
    pub(super) in_flight_number: u64,
    /// The number of the last write that the kernel has accepted completely.
    pub(super) done: u64,
    pub(super) corked: u32,
    /// A write returned false, so `drain` is pending.
    pub(super) need_drain: bool,
    /// An empty write waits for its callback.
    pub(super) empty_write: bool,
    /// Callbacks of writes, each with the number of its write.
    pub(super) callbacks: VecDeque<WriteCallback<C>>,
    /// Callbacks of `end`.
    pub(super) end_callbacks: Vec<C>,
    /// The part that was queued when `cork` was called: it is not held back.
    pub(super) before_cork: Option<Prefix>,
    /// The first write of a socket that is connecting: the others wait behind it (policy
    /// `parks_first_write`).
    pub(super) parked: Option<Box<Prefix>>,
    pub(super) excess: Excess,
    /// Monitors the progress of the batch in flight, if a stall timeout is set.
    pub(super) stall: Option<Stall>,
}

/// Provides reusable parts of a queue.
pub trait Spares<C> {
    /// An empty buffer.
    fn buffer(&mut self) -> Vec<u8>;

    /// An empty queue.
    fn queue(&mut self) -> Box<Queue<C>>;
}

/// Provides no reusable parts: everything is allocated.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSpares;

impl<C> Spares<C> for NoSpares {
    fn buffer(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn queue(&mut self) -> Box<Queue<C>> {
        Box::default()
    }
}

/// The callback of a write.
#[derive(Debug)]
pub(super) struct WriteCallback<C> {
    pub(super) number: u64,
    /// The total number of bytes accepted up to and including this write.
    pub(super) end: u64,
    pub(super) callback: C,
}

/// The monitor of a batch in flight.
#[derive(Debug)]
pub(super) struct Stall {
    pub(super) timeout: Moment,
    pub(super) deadline: Moment,
    /// The total number of sent bytes when the period began.
    pub(super) sent_bytes: u64,
}

/// The front part of the queue.
#[derive(Debug)]
pub(super) struct Prefix {
    pub(super) chunks: usize,
    pub(super) bytes: usize,
    pub(super) excess: usize,
    /// The number of the last write in it.
    pub(super) number: u64,
}

impl<C> Default for Queue<C> {
    fn default() -> Self {
        Self {
            tail: Vec::new(),
            chunks: VecDeque::new(),
            queued_bytes: 0,
            in_flight_bytes: 0,
            unsent_bytes: 0,
            in_flight_number: 0,
            done: 0,
            corked: 0,
            need_drain: false,
            empty_write: false,
            callbacks: VecDeque::new(),
            end_callbacks: Vec::new(),
            before_cork: None,
            parked: None,
            excess: Excess::default(),
            stall: None,
        }
    }
}

impl<C> Queue<C> {
    /// Takes the buffer if it is larger than an unused queue may keep.
    pub fn take_large_buffer(&mut self) -> Option<Vec<u8>> {
        (self.tail.capacity() > KEPT_BYTES_MAX).then(|| std::mem::take(&mut self.tail))
    }

    pub(super) fn is_empty(&self) -> bool {
        let bytes = self.queued_bytes + self.in_flight_bytes;
        let silent = self.callbacks.is_empty() && self.end_callbacks.is_empty();
        bytes == 0 && silent && self.corked == 0 && !self.need_drain && !self.empty_write
    }

    /// Whether there are only small writes that are not corked, and callbacks of writes.
    pub(super) fn is_plain(&self) -> bool {
        let may_leave = self.in_flight_bytes == 0 && self.corked == 0 && self.parked.is_none();
        let silent = self.end_callbacks.is_empty() && !self.need_drain;
        may_leave && silent && self.chunks.is_empty()
    }
}

impl<C> Queue<C> {
    pub(super) fn has_queued(&self) -> bool {
        self.queued_bytes > 0 || self.empty_write
    }

    pub(super) fn submit_prefix(&mut self, prefix: &Prefix) -> Batch {
        self.in_flight_number = prefix.number;
        self.excess.submit(prefix.excess);
        self.queued_bytes -= prefix.bytes;
        self.in_flight_bytes = prefix.bytes;
        self.unsent_bytes = prefix.bytes;
        Batch::many(self.chunks.drain(..prefix.chunks).collect())
    }
}

/// By how much the queue is longer in bytes than in Node's count.
// WR-04.
#[derive(Debug, Default)]
pub(super) struct Excess {
    pub(super) queued: usize,
    in_flight: usize,
}

impl Excess {
    pub(super) fn sum(&self) -> usize {
        self.queued + self.in_flight
    }

    pub(super) fn submit(&mut self, at_most: usize) {
        self.in_flight = self.queued.min(at_most);
        self.queued -= self.in_flight;
    }

    pub(super) fn forget_flight(&mut self) {
        self.in_flight = 0;
    }
}
