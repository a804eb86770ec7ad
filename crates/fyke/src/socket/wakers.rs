//! The tasks that wait for a socket.

use std::cell::Cell;
use std::task::Waker;

use fyke_machine::connection::Event;

/// The tasks that wait for a socket: at most one for each direction.
#[derive(Default)]
pub(crate) struct Wakers {
    reader: Slot,
    writer: Slot,
}

/// A task that waits. Its waker stays here after it was woken, because it usually waits again.
#[derive(Default)]
struct Slot(Cell<Option<Waker>>);

impl Slot {
    fn set(&self, waker: &Waker) {
        let before = self.0.take();
        match before {
            Some(before) if before.will_wake(waker) => self.0.set(Some(before)),
            before => {
                self.0.set(Some(waker.clone()));
                drop(before);
            }
        }
    }

    /// Wakes the task, while nothing is borrowed.
    fn wake(&self) {
        let Some(waker) = self.0.take() else { return };
        waker.wake_by_ref();
        let meanwhile = self.0.take();
        self.0.set(Some(meanwhile.unwrap_or(waker)));
    }
}

impl Wakers {
    pub(super) fn set_reader(&self, waker: &Waker) {
        self.reader.set(waker);
    }

    pub(super) fn set_writer(&self, waker: &Waker) {
        self.writer.set(waker);
    }

    pub(super) fn wake_reader(&self) {
        self.reader.wake();
    }

    pub(super) fn wake_writer(&self) {
        self.writer.wake();
    }

    /// An event has changed what the socket's tasks may wait for.
    pub(super) fn tell(&self, event: Event) {
        if !matches!(event, Event::Drain | Event::Finish) {
            self.reader.wake();
        }
        self.writer.wake();
    }
}
