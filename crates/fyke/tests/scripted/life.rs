//! One end of one connection, as the naive model has it. A client that connects again begins another.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::{Rc, Weak};

use super::{Place, Side};

pub(super) struct Life {
    pub(super) place: Place,
    /// Which connection of the pair it is.
    pub(super) number: usize,
    pub(super) model: RefCell<Model>,
    /// The bytes that `write` has queued, in order.
    pub(super) stream: RefCell<Vec<u8>>,
    peer: RefCell<Weak<Self>>,
}

/// What an end must have done by now.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// Where in the stream the writes end whose callbacks are still to come, in order.
    pub(super) waiting: VecDeque<u64>,
    /// Up to here callbacks have said that the kernel has the bytes.
    pub(super) acknowledged: u64,
    /// A callback has said that the kernel will not have them.
    pub(super) given_up: bool,
    /// Callbacks of refused writes that are still to come.
    pub(super) refused: usize,
    /// Callbacks of ends that are still to come.
    pub(super) ends_to_tell: usize,
    pub(super) delivered: u64,
    /// Bytes that `read_exact` took, and that are still to be delivered to the listeners.
    pub(super) in_hand: u64,
    pub(super) owes_drain: bool,
    /// Calls of `connect` whose callback is still to come.
    pub(super) connects_to_tell: usize,
    pub(super) connect_calls: u32,
    /// How often events came.
    pub(super) connects: u32,
    pub(super) readies: u32,
    pub(super) ends: u32,
    pub(super) finishes: u32,
    pub(super) errors: u32,
    pub(super) closes: u32,
    /// Something was called that may lose bytes.
    pub(super) abrupt: bool,
    /// Something was piped into it: a pipe may write after the end.
    pub(super) piped: bool,
    /// `connect` was called on it while it connected, was connected, or was being closed: what Node
    /// does then, only an exact loop does.
    pub(super) odd: bool,
    /// There was a socket for it: a connection that is never accepted has none.
    pub(super) attached: bool,
    /// `bytes_written`, once it is over.
    pub(super) written: Option<u64>,
}

impl Model {
    /// Whether bytes may be lost.
    pub(super) fn may_lose(&self) -> bool {
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
    pub(super) fn pair(pair: usize, number: usize) -> [Rc<Self>; 2] {
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

    pub(super) fn peer(&self) -> Rc<Self> {
        self.peer.borrow().upgrade().expect("the stage has both")
    }

    pub(super) fn accepted(&self) -> u64 {
        self.stream.borrow().len() as u64
    }

    /// The next bytes that this end writes by itself: no two ends write the same.
    pub(super) fn next_bytes(&self, len: usize) -> Vec<u8> {
        let begin = self.stream.borrow().len();
        let seed = self.place.pair * 31 + self.place.side as usize * 17 + self.number * 101;
        (begin..begin + len).map(|at| (at * 7 + at / 256 * 13 + seed) as u8).collect()
    }

    /// Bytes were queued.
    pub(super) fn accept(&self, bytes: &[u8]) {
        self.stream.borrow_mut().extend_from_slice(bytes);
    }

    /// These bytes come next of what the other end has written.
    pub(super) fn deliver(&self, bytes: &[u8]) {
        let begin = self.model.borrow().delivered as usize;
        let peer = self.peer();
        let stream = peer.stream.borrow();
        let expected = stream.get(begin..begin + bytes.len());
        assert!(expected == Some(bytes), "wrong bytes at {begin} (contract C8)");
        self.model.borrow_mut().delivered += bytes.len() as u64;
    }

    pub(super) fn own_bytes(&self) -> usize {
        self.stream.borrow().capacity() + self.model.borrow().waiting.capacity() * size_of::<u64>()
    }
}
