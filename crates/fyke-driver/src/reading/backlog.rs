//! Sockets with work that needs no event, in the order in which turns do it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::SocketId;
use crate::limits::{EVENTS_PER_SLICE, SLICES_IN_A_ROW_MAX};

/// Contains a socket at most once; [`Reading::in_backlog`](super::Reading) is true while it does.
#[derive(Default)]
pub(crate) struct Backlog {
    /// Every one of them gets one step per turn.
    sockets: RefCell<VecDeque<SocketId>>,
    /// Sockets that used up their reads. A turn goes on with the first of them only, so that new events
    /// wait for one slice, however many peers flood.
    readers: RefCell<VecDeque<SocketId>>,
    /// How many slices the first reader has had in a row.
    slices: Cell<usize>,
}

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.sockets.borrow().is_empty() && self.readers.borrow().is_empty()
    }

    /// How many sockets wait for a step.
    pub(crate) fn steps(&self) -> usize {
        self.sockets.borrow().len()
    }

    pub(crate) fn push(&self, socket: SocketId) {
        self.sockets.borrow_mut().push_back(socket);
    }

    pub(crate) fn pop(&self) -> Option<SocketId> {
        self.sockets.borrow_mut().pop_front()
    }

    /// How many sockets wait to read on.
    pub(crate) fn readers(&self) -> usize {
        self.readers.borrow().len()
    }

    pub(crate) fn push_reader(&self, socket: SocketId) {
        self.readers.borrow_mut().push_back(socket);
    }

    /// Lets the first of `readers` read on. One slice is enough in a turn with few events; a turn that
    /// spent much time on other sockets lasts longer in proportion, so that these do not starve.
    pub(crate) fn read_on(&self, readers: usize, events: usize, slice: impl FnMut(SocketId)) {
        let slices = readers.min(1.max(events / EVENTS_PER_SLICE));
        let mut slice = slice;
        for _ in 0..slices {
            self.read_on_once(&mut slice);
        }
    }

    /// The reader stays the first one until the kernel has nothing left for it. The kernel takes a
    /// receiver that leaves bytes unread for a slow one and keeps its window small (tcp_rcv_space_adjust,
    /// Linux 6.16). When the window is what limits the peer, each of our reads opens it, and the kernel
    /// sends for the peer inside our call: receiving costs twice as much then.
    fn read_on_once(&self, slice: &mut impl FnMut(SocketId)) {
        let Some(socket) = self.readers.borrow_mut().pop_front() else { return };
        slice(socket);
        let mut readers = self.readers.borrow_mut();
        let slices = self.slices.get() + 1;
        if readers.back() == Some(&socket) && slices < SLICES_IN_A_ROW_MAX {
            readers.rotate_right(1);
            self.slices.set(slices);
        } else {
            self.slices.set(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    fn three() -> (Backlog, Vec<SocketId>) {
        let (backlog, mut ids) = (Backlog::default(), SlotMap::with_key());
        let sockets: Vec<SocketId> = (0..3).map(|_| ids.insert(())).collect();
        sockets.iter().for_each(|socket| backlog.push_reader(*socket));
        (backlog, sockets)
    }

    #[test]
    fn a_reader_goes_on_until_it_is_drained_and_then_the_next_one() {
        let (backlog, sockets) = three();
        let mut order = Vec::new();
        for left in [true, true, false, true, false, false] {
            backlog.read_on(3, 0, |socket| {
                order.push(socket);
                if left {
                    backlog.push_reader(socket);
                }
            });
        }
        let [a, b, c] = sockets[..] else { unreachable!() };
        assert_eq!(order, [a, a, a, b, b, c]);
        assert!(backlog.is_empty());
    }

    #[test]
    fn a_reader_that_is_never_drained_lets_the_others_read_after_its_slices() {
        let (backlog, sockets) = three();
        let mut counts = [0; 3];
        for _ in 0..2 * 3 * SLICES_IN_A_ROW_MAX {
            backlog.read_on(3, 0, |socket| {
                counts[sockets.iter().position(|other| *other == socket).unwrap()] += 1;
                backlog.push_reader(socket);
            });
        }
        assert_eq!(counts, [2 * SLICES_IN_A_ROW_MAX; 3]);
    }

    #[test]
    fn a_turn_with_many_events_has_more_slices_but_at_most_one_per_reader() {
        for (events, slices) in [(0, 1), (2 * EVENTS_PER_SLICE, 2), (1000 * EVENTS_PER_SLICE, 3)] {
            let (backlog, _) = three();
            let mut count = 0;
            backlog.read_on(3, events, |socket| {
                count += 1;
                backlog.push_reader(socket);
            });
            assert_eq!(count, slices);
        }
    }

    #[test]
    fn a_reader_that_joined_in_this_turn_waits_for_the_next_one() {
        let (backlog, _) = three();
        backlog.read_on(0, 1000, |_| panic!("none was waiting when the turn began"));
    }
}
