//! One end of one connection in the naive model. A client that connects again begins another.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::{Rc, Weak};

use super::{Place, Side};

pub(crate) struct Life {
    pub(crate) place: Place,
    /// The number of the connection in the pair.
    pub(crate) number: usize,
    pub(crate) model: RefCell<Model>,
    /// The bytes that `write` has queued, in order.
    pub(crate) stream: RefCell<Vec<u8>>,
    peer: RefCell<Weak<Self>>,
}

/// The events that must have happened before an end.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// The positions in the stream where the writes with pending callbacks end, in order.
    pub(crate) waiting: VecDeque<u64>,
    /// Callbacks have reported that the kernel has accepted the stream up to here.
    pub(crate) acknowledged: u64,
    /// A callback has reported that the kernel will not accept the rest.
    pub(crate) given_up: bool,
    /// Pending callbacks of refused writes.
    pub(crate) refused: usize,
    /// Pending callbacks of ends.
    pub(crate) ends_to_tell: usize,
    pub(crate) delivered: u64,
    /// Bytes that `read_exact` returned, and that are not yet delivered to the listeners.
    pub(crate) in_hand: u64,
    pub(crate) owes_drain: bool,
    /// Calls of `connect` whose callback has not run yet.
    pub(crate) connects_to_tell: usize,
    pub(crate) connect_calls: u32,
    /// The number of each event.
    pub(crate) connects: u32,
    pub(crate) readies: u32,
    pub(crate) ends: u32,
    pub(crate) finishes: u32,
    pub(crate) errors: u32,
    pub(crate) closes: u32,
    /// A call was made that may lose bytes.
    pub(crate) abrupt: bool,
    /// Bytes were read after `destroy`: bytes delivered later follow them.
    pub(crate) took_after_destroy: bool,
    /// It began before the `close` of the previous connection.
    pub(crate) began_early: bool,
    /// A socket was piped into it: a pipe may write after the end.
    pub(crate) piped: bool,
    /// `connect` was called while it was connecting, connected or closing. Only an exact loop does what
    /// Node does then.
    pub(crate) odd: bool,
    /// There was a socket for it: a connection that is never accepted has none.
    pub(crate) attached: bool,
    /// `bytes_written`, after it has ended.
    pub(crate) written: Option<u64>,
}

impl Model {
    /// Whether bytes may be lost.
    pub(crate) fn may_lose(&self) -> bool {
        self.abrupt || self.odd || self.piped && self.errors > 0
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life")
            .field("place", &self.place)
            .field("number", &self.number)
            .field("accepted", &self.accepted())
            .field("model", &self.model.try_borrow().ok())
            .finish()
    }
}

impl Life {
    /// Both ends of a connection.
    pub(crate) fn pair(pair: usize, number: usize) -> [Rc<Self>; 2] {
        let ends = Side::BOTH.map(|side| {
            Rc::new(Self {
                place: Place { pair, side },
                number,
                model: RefCell::default(),
                stream: RefCell::default(),
                peer: RefCell::default(),
            })
        });
        for side in Side::BOTH {
            *ends[side as usize].peer.borrow_mut() = Rc::downgrade(&ends[side.other() as usize]);
        }
        ends
    }

    pub(crate) fn peer(&self) -> Rc<Self> {
        self.peer.borrow().upgrade().expect("the stage has both")
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.stream.borrow().len() as u64
    }

    /// The next bytes that this end writes: no two ends write the same.
    pub(crate) fn next_bytes(&self, len: usize) -> Vec<u8> {
        let begin = self.stream.borrow().len();
        let seed = self.place.pair * 31 + self.place.side as usize * 17 + self.number * 101;
        (begin..begin + len).map(|at| (at * 7 + at / 256 * 13 + seed) as u8).collect()
    }

    /// Bytes were queued.
    pub(crate) fn accept(&self, bytes: &[u8]) {
        self.stream.borrow_mut().extend_from_slice(bytes);
    }

    /// The next bytes of the stream that the other end has written.
    pub(crate) fn deliver(&self, bytes: &[u8]) {
        let mut model = self.model.borrow_mut();
        if model.took_after_destroy {
            return;
        }
        let peer = self.peer();
        let stream = peer.stream.borrow();
        let begin = model.delivered as usize;
        let mut place = begin..begin + bytes.len();
        if peer.model.borrow().began_early && stream.get(place.clone()) != Some(bytes) {
            // Bytes dropped with the queue of the previous connection are missing.
            let lost = stream[begin..].windows(bytes.len()).position(|later| later == bytes);
            let lost = lost.unwrap_or_default();
            place = begin + lost..begin + lost + bytes.len();
        }
        assert!(stream.get(place.clone()) == Some(bytes), "wrong bytes at {begin} (contract C8)");
        model.delivered = place.end as u64;
    }

    pub(crate) fn own_bytes(&self) -> usize {
        self.stream.borrow().capacity() + self.model.borrow().waiting.capacity() * size_of::<u64>()
    }
}
