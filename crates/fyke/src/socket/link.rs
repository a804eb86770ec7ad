//! What the objects of a stream share: their socket, and the wakers of the tasks that wait for it.

use std::cell::{Cell, OnceCell};
use std::task::Waker;

use fyke_machine::connection::Event;

/// The link between a stream and its socket `S`, with the wakers of the tasks that wait for it: at most one
/// for each direction.
pub(crate) struct Link<S> {
    /// Here, so that each half of a stream in a waiting task is one pointer.
    pub(super) socket: S,
    reader: Slot,
    /// Allocated when a task waits to write for the first time, because most tasks only wait to read.
    writer: OnceCell<Box<Slot>>,
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

impl<S> Link<S> {
    pub(super) fn new(socket: S) -> Self {
        Self { socket, reader: Slot::default(), writer: OnceCell::new() }
    }

    pub(super) fn set_reader(&self, waker: &Waker) {
        self.reader.set(waker);
    }

    pub(super) fn set_writer(&self, waker: &Waker) {
        self.writer.get_or_init(Box::default).set(waker);
    }

    pub(super) fn wake_reader(&self) {
        self.reader.wake();
    }

    pub(super) fn wake_writer(&self) {
        if let Some(writer) = self.writer.get() {
            writer.wake();
        }
    }

    /// Wakes the tasks for which an event may change the result of a poll.
    pub(super) fn wake_for(&self, event: Event) {
        if !matches!(event, Event::Drain | Event::Finish) {
            self.wake_reader();
        }
        self.wake_writer();
    }
}
