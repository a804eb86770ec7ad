//! What all sockets of a script share: the events, whose code is running, and how much memory is used.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use super::life::Life;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    /// Nothing of the script.
    Nothing,
    Callback,
    /// A call on a socket, in which no callback may run.
    Call,
    /// `connect` on an exact loop, in which some may.
    Connect,
}

pub(crate) struct Stage {
    pub(super) exact: bool,
    events: RefCell<Vec<String>>,
    running: Cell<Running>,
    /// Both ends of each connection.
    pub(super) connections: RefCell<Vec<[Rc<Life>; 2]>>,
    /// Memory that the events take.
    event_bytes: Cell<usize>,
}

/// Sets back what was running before.
pub(crate) struct Flag<'a>(&'a Cell<Running>, Running);

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

impl Stage {
    pub(super) fn new(exact: bool) -> Self {
        Self {
            exact,
            events: RefCell::default(),
            running: Cell::new(Running::Nothing),
            connections: RefCell::default(),
            event_bytes: Cell::new(0),
        }
    }

    fn begin(&self, what: Running) -> Flag<'_> {
        Flag(&self.running, self.running.replace(what))
    }

    /// A callback begins: the only one, and not inside a call (contract C1), but inside `connect` of an
    /// exact loop.
    pub(super) fn callback(&self) -> Flag<'_> {
        let outer = self.running.get();
        let allowed = matches!(outer, Running::Nothing | Running::Connect);
        assert!(allowed, "a callback inside a {outer:?}: {:?}", self.latest_events());
        self.begin(Running::Callback)
    }

    pub(super) fn call(&self) -> Flag<'_> {
        self.begin(Running::Call)
    }

    pub(super) fn connect_call(&self) -> Flag<'_> {
        self.begin(if self.exact { Running::Connect } else { Running::Call })
    }

    pub(super) fn log(&self, name: &str, what: fmt::Arguments<'_>) {
        let event = format!("{name} {what}");
        self.event_bytes.set(self.event_bytes.get() + event.capacity());
        self.events.borrow_mut().push(event);
    }

    /// Without the data, which is too much to read.
    pub(super) fn latest_events(&self) -> Vec<String> {
        let events = self.events.borrow();
        let kept = events.iter().rev().filter(|event| !event.contains("Data")).take(60);
        let mut latest: Vec<String> = kept.cloned().collect();
        latest.reverse();
        latest
    }

    pub(super) fn take_events(&self) -> Vec<String> {
        self.events.take()
    }

    /// What the model itself holds, near enough.
    pub(super) fn own_bytes(&self) -> usize {
        let list = self.events.borrow().capacity() * size_of::<String>();
        let streams = self.connections.borrow();
        let streams = streams.iter().flatten().map(|life| life.own_bytes());
        self.event_bytes.get() + list + streams.sum::<usize>()
    }
}
