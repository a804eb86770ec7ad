//! What waits to be sent, in a box that goes from one socket to the next.

use std::collections::VecDeque;

use fyke_driver::{Batch, Chunk};

use crate::Moment;

/// Up to this size the kernel takes all or nothing, but for rare cases; from here on a call more costs
/// less than a copy.
pub const SMALL_BYTES_MAX: usize = 4096;

/// A queue that is not used keeps a buffer of at most this size.
const KEPT_BYTES_MAX: usize = 2 * SMALL_BYTES_MAX;

/// What waits to be sent, and who waits for it. One that is empty goes back to a pool, so that a socket
/// with nothing to send has none.
#[derive(Debug)]
pub struct Queue<C> {
    /// Small writes, copied together: the end of the queue.
    pub(super) tail: Vec<u8>,
    /// What is before it.
    pub(super) chunks: VecDeque<Chunk>,
    pub(super) queued_bytes: usize,
    pub(super) in_flight_bytes: usize,
    /// Of those, the ones that the kernel does not have yet.
    pub(super) unsent_bytes: usize,
    /// The number of the last write that was handed over.
    pub(super) handed_over: u64,
    /// The number of the last write that the kernel has all of.
    pub(super) done: u64,
    pub(super) corked: u32,
    /// A write returned false: `drain` is owed.
    pub(super) need_drain: bool,
    /// An empty write waits for its turn to call back.
    pub(super) empty_write: bool,
    /// Callbacks of writes, each with the number of its write.
    pub(super) callbacks: VecDeque<Waiting<C>>,
    /// Callbacks of `end`.
    pub(super) end_callbacks: Vec<C>,
    /// What was queued when `cork` was called: it is not held back.
    pub(super) free: Option<Front>,
    /// The first write of a socket that connects: the others wait behind it (policy
    /// `parks_first_write`).
    pub(super) parked: Option<Box<Front>>,
    pub(super) excess: Excess,
    /// Watches that the batch in flight gets on, if that was asked for.
    pub(super) stall: Option<Stall>,
}

/// Lends what a queue is made of.
pub trait Spares<C> {
    /// An empty buffer.
    fn buffer(&mut self) -> Vec<u8>;

    /// An empty queue.
    fn queue(&mut self) -> Box<Queue<C>>;
}

/// Nothing is lent: all is made anew.
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
pub(super) struct Waiting<C> {
    pub(super) number: u64,
    /// How many bytes were accepted with it and before it.
    pub(super) end: u64,
    pub(super) callback: C,
}

/// A batch in flight that is watched.
#[derive(Debug)]
pub(super) struct Stall {
    pub(super) timeout: Moment,
    pub(super) deadline: Moment,
    /// What had been sent when the time began.
    pub(super) sent_bytes: u64,
}

/// The front of the queue.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) chunks: usize,
    pub(super) bytes: usize,
    pub(super) excess: usize,
    /// The number of its last write.
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
            handed_over: 0,
            done: 0,
            corked: 0,
            need_drain: false,
            empty_write: false,
            callbacks: VecDeque::new(),
            end_callbacks: Vec::new(),
            free: None,
            parked: None,
            excess: Excess::default(),
            stall: None,
        }
    }
}

impl<C> Queue<C> {
    /// Takes the buffer, if it is larger than what a queue shall keep.
    pub fn take_large_buffer(&mut self) -> Option<Vec<u8>> {
        (self.tail.capacity() > KEPT_BYTES_MAX).then(|| std::mem::take(&mut self.tail))
    }

    pub(super) fn is_empty(&self) -> bool {
        let bytes = self.queued_bytes + self.in_flight_bytes;
        let told = self.callbacks.is_empty() && self.end_callbacks.is_empty();
        bytes == 0 && told && self.corked == 0 && !self.need_drain && !self.empty_write
    }

    /// Nothing but small writes, and nobody to be told about one by one.
    pub(super) fn is_plain(&self) -> bool {
        let free = self.in_flight_bytes == 0 && self.corked == 0;
        free && self.chunks.is_empty() && self.callbacks.is_empty() && self.end_callbacks.is_empty()
    }
}

impl<C> Queue<C> {
    pub(super) fn has_queued(&self) -> bool {
        self.queued_bytes > 0 || self.empty_write
    }

    pub(super) fn hand_over_front(&mut self, front: &Front) -> Batch {
        self.handed_over = front.number;
        self.excess.hand_over(front.excess);
        self.queued_bytes -= front.bytes;
        self.in_flight_bytes = front.bytes;
        self.unsent_bytes = front.bytes;
        Batch::many(self.chunks.drain(..front.chunks).collect())
    }
}

/// By how much the queue is longer in bytes than in what Node counts (WR-04).
#[derive(Debug, Default)]
pub(super) struct Excess {
    pub(super) queued: usize,
    in_flight: usize,
}

impl Excess {
    pub(super) fn sum(&self) -> usize {
        self.queued + self.in_flight
    }

    pub(super) fn hand_over(&mut self, at_most: usize) {
        self.in_flight = self.queued.min(at_most);
        self.queued -= self.in_flight;
    }

    pub(super) fn forget_flight(&mut self) {
        self.in_flight = 0;
    }
}
