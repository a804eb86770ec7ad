//! The queue of sockets that have work left over, for which the kernel reports no further event.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::SocketId;
use crate::limits::{EVENTS_PER_SLICE, SLICES_IN_A_ROW_MAX};

/// Contains each socket at most once. [`Reading::in_backlog`](super::Reading) is true for the sockets in it.
#[derive(Default)]
pub(crate) struct Backlog {
    /// Each of these sockets gets one step per turn.
    sockets: RefCell<VecDeque<SocketId>>,
    /// Sockets that used up their budget of reads. A turn usually reads only from the first one, so that
    /// flooding peers, however many there are, delay new events by one slice.
    readers: RefCell<VecDeque<SocketId>>,
    /// The number of consecutive slices that the first reader has had.
    slices: Cell<usize>,
}

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.sockets.borrow().is_empty() && self.readers.borrow().is_empty()
    }

    /// Returns the number of sockets that wait for a step.
    pub(crate) fn steps(&self) -> usize {
        self.sockets.borrow().len()
    }

    pub(crate) fn push(&self, socket: SocketId) {
        self.sockets.borrow_mut().push_back(socket);
    }

    pub(crate) fn pop(&self) -> Option<SocketId> {
        self.sockets.borrow_mut().pop_front()
    }

    /// Returns the number of sockets that wait to continue reading.
    pub(crate) fn readers(&self) -> usize {
        self.readers.borrow().len()
    }

    pub(crate) fn push_reader(&self, socket: SocketId) {
        self.readers.borrow_mut().push_back(socket);
    }

    /// Lets the first of the `readers` sockets that waited when the turn began continue reading. A turn with
    /// few events has one slice. A turn with many events has more slices in proportion, at most one per
    /// reader, so that the readers do not starve.
    pub(crate) fn read_on(&self, readers: usize, events: usize, slice: impl FnMut(SocketId)) {
        let slices = readers.min(1.max(events / EVENTS_PER_SLICE));
        let mut slice = slice;
        for _ in 0..slices {
            self.read_on_once(&mut slice);
        }
    }

    /// Gives the first reader one slice. It stays first until the kernel has no more bytes for it, or until
    /// it has had [`SLICES_IN_A_ROW_MAX`] slices.
    ///
    /// Switching readers earlier is expensive. The kernel takes a receiver that leaves bytes unread for a
    /// slow one, and keeps its window small (`tcp_rcv_space_adjust`, Linux 6.16). If the window limits the
    /// peer, each read opens it, and the kernel does the peer's sending inside our system call. Receiving
    /// then costs twice as much.
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
    fn next_reader_continues_only_after_the_first_is_drained() {
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
    fn reader_that_is_never_drained_yields_after_its_maximum_of_slices() {
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
    fn turn_with_many_events_has_more_slices_but_at_most_one_per_reader() {
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
    fn reader_added_during_a_turn_waits_for_the_next_turn() {
        let (backlog, _) = three();
        backlog.read_on(0, 1000, |_| panic!("no reader was waiting when the turn began"));
    }
}
