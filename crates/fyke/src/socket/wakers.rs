//! The wakers of the tasks that wait for a socket.

use std::cell::Cell;
use std::task::Waker;

use fyke_machine::connection::Event;

/// The wakers of the tasks that wait for a socket: at most one for each direction.
pub(crate) struct Wakers {
    /// The number of stream objects that use the socket: 1 for a whole stream, 2 for both halves.
    parts: Cell<u8>,
    reader: Slot,
    writer: Slot,
}

/// The waker of a waiting task. It stays here after a wake, because the task usually waits again.
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

    /// Wakes the task. Nothing is borrowed meanwhile.
    fn wake(&self) {
        let Some(waker) = self.0.take() else { return };
        waker.wake_by_ref();
        let meanwhile = self.0.take();
        self.0.set(Some(meanwhile.unwrap_or(waker)));
    }
}

impl Wakers {
    /// Creates the wakers of a stream that is not split.
    pub(super) fn new() -> Self {
        Self { parts: Cell::new(1), reader: Slot::default(), writer: Slot::default() }
    }

    /// Notes that the stream is split into two halves.
    pub(super) fn split(&self) {
        self.parts.set(2);
    }

    /// Notes that one part was dropped. Returns whether it was the last one.
    pub(super) fn leave(&self) -> bool {
        self.parts.set(self.parts.get().saturating_sub(1));
        self.parts.get() == 0
    }

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

    /// Wakes the tasks for which an event may change the result of a poll.
    pub(super) fn wake_for(&self, event: Event) {
        if !matches!(event, Event::Drain | Event::Finish) {
            self.reader.wake();
        }
        self.writer.wake();
    }
}
