//! One end of one connection, as the naive model has it. A client that connects again begins another.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::{Rc, Weak};

use super::{Place, Side};

pub(crate) struct Life {
    pub(crate) place: Place,
    /// Which connection of the pair it is.
    pub(crate) number: usize,
    pub(crate) model: RefCell<Model>,
    /// The bytes that `write` has queued, in order.
    pub(crate) stream: RefCell<Vec<u8>>,
    peer: RefCell<Weak<Self>>,
}

/// What an end must have done by now.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Where in the stream the writes end whose callbacks are still to come, in order.
    pub(crate) waiting: VecDeque<u64>,
    /// Up to here callbacks have said that the kernel has the bytes.
    pub(crate) acknowledged: u64,
    /// A callback has said that the kernel will not have them.
    pub(crate) given_up: bool,
    /// Callbacks of refused writes that are still to come.
    pub(crate) refused: usize,
    /// Callbacks of ends that are still to come.
    pub(crate) ends_to_tell: usize,
    pub(crate) delivered: u64,
    /// Bytes that `read_exact` took, and that are still to be delivered to the listeners.
    pub(crate) in_hand: u64,
    pub(crate) owes_drain: bool,
    /// Calls of `connect` whose callback is still to come.
    pub(crate) connects_to_tell: usize,
    pub(crate) connect_calls: u32,
    /// How often events came.
    pub(crate) connects: u32,
    pub(crate) readies: u32,
    pub(crate) ends: u32,
    pub(crate) finishes: u32,
    pub(crate) errors: u32,
    pub(crate) closes: u32,
    /// Something was called that may lose bytes.
    pub(crate) abrupt: bool,
    /// Bytes were taken after `destroy`: what is delivered then is behind them.
    pub(crate) took_after_destroy: bool,
    /// It began before the `close` of the connection before it.
    pub(crate) began_early: bool,
    /// Something was piped into it: a pipe may write after the end.
    pub(crate) piped: bool,
    /// `connect` was called on it while it connected, was connected, or was being closed: what Node
    /// does then, only an exact loop does.
    pub(crate) odd: bool,
    /// There was a socket for it: a connection that is never accepted has none.
    pub(crate) attached: bool,
    /// `bytes_written`, once it is over.
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

    /// The next bytes that this end writes by itself: no two ends write the same.
    pub(crate) fn next_bytes(&self, len: usize) -> Vec<u8> {
        let begin = self.stream.borrow().len();
        let seed = self.place.pair * 31 + self.place.side as usize * 17 + self.number * 101;
        (begin..begin + len).map(|at| (at * 7 + at / 256 * 13 + seed) as u8).collect()
    }

    /// Bytes were queued.
    pub(crate) fn accept(&self, bytes: &[u8]) {
        self.stream.borrow_mut().extend_from_slice(bytes);
    }

    /// These bytes come next of what the other end has written.
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
            // What was given up with the queue of the connection before is missing.
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
