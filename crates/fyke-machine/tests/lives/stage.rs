//! Shared by all ends of a script: the events, whose code is running, and how much memory is used.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use fyke_machine::Policy;

use super::{Life, Moment, Operation, Place};

/// A call or an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    place: Place,
    /// The number of the connection in the pair.
    connection: usize,
    what: What,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place: Place { pair, side }, connection, what } = self;
        write!(f, "{side:?}{pair}.{connection} {what:?}")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Called(Operation),
    Happened(Moment),
    /// This many bytes were received.
    Bytes(usize),
    /// The code of an error.
    Error(&'static str),
    HadError(bool),
    /// The number of queued bytes: to be sent, and received.
    Queues(usize, usize),
    /// The write that ends here in the stream of this connection got this result.
    Write(usize, u64, Option<&'static str>),
    End(Option<&'static str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    /// No code of the script.
    Nothing,
    Callback,
    /// A call on a socket, in which no callback may run.
    Call,
    /// `connect` under `policy::NODE_EXACT`, in which some may.
    Connect,
}

pub(crate) struct Stage {
    pub(crate) policy: Policy,
    events: RefCell<Vec<Event>>,
    running: Cell<Running>,
    /// Both ends of each connection.
    pub(crate) connections: RefCell<Vec<[Rc<Life>; 2]>>,
}

/// Restores what was running before.
pub(crate) struct Flag<'a>(&'a Cell<Running>, Running);

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

impl Stage {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            events: RefCell::default(),
            running: Cell::new(Running::Nothing),
            connections: RefCell::default(),
        }
    }

    fn begin(&self, what: Running) -> Flag<'_> {
        Flag(&self.running, self.running.replace(what))
    }

    /// A callback begins. It must be the only one, and not inside a call (contract C1), except inside
    /// `connect` under `policy::NODE_EXACT`.
    pub(crate) fn callback(&self) -> Flag<'_> {
        let outer = self.running.get();
        let allowed = matches!(outer, Running::Nothing | Running::Connect);
        assert!(allowed, "a callback inside a {outer:?}: {:?}", self.latest_events());
        self.begin(Running::Callback)
    }

    pub(crate) fn call(&self) -> Flag<'_> {
        self.begin(Running::Call)
    }

    pub(crate) fn connect_call(&self) -> Flag<'_> {
        let emits = self.policy.emits_inside_connect;
        self.begin(if emits { Running::Connect } else { Running::Call })
    }

    pub(crate) fn log(&self, life: &Life, what: What) {
        let event = Event { place: life.place, connection: life.number, what };
        self.events.borrow_mut().push(event);
    }

    /// Without data and numbers, which are too long to read.
    pub(crate) fn latest_events(&self) -> Vec<Event> {
        let events = self.events.borrow();
        let is_shown = |event: &&Event| {
            let much = What::Happened(Moment::Data);
            event.what != much && !matches!(event.what, What::Bytes(_) | What::Queues(..))
        };
        let mut latest: Vec<Event> =
            events.iter().rev().filter(is_shown).take(60).copied().collect();
        latest.reverse();
        latest
    }

    pub(crate) fn take_events(&self) -> Vec<Event> {
        self.events.take()
    }

    /// Both ends of a new connection of a pair.
    pub(crate) fn connection(&self, pair: usize, number: usize) -> [Rc<Life>; 2] {
        let ends = Life::pair(pair, number);
        self.connections.borrow_mut().push(ends.clone());
        ends
    }

    /// Both ends of an existing connection.
    pub(crate) fn find(&self, pair: usize, number: usize) -> [Rc<Life>; 2] {
        let connections = self.connections.borrow();
        let mut ends = connections.iter();
        let found = ends.find(|[client, _]| client.place.pair == pair && client.number == number);
        found.expect("its client has connected").clone()
    }

    /// Approximately the memory of the model itself.
    pub(crate) fn own_bytes(&self) -> usize {
        let list = self.events.borrow().capacity() * size_of::<Event>();
        let streams = self.connections.borrow();
        let streams = streams.iter().flatten().map(|life| life.own_bytes());
        list + streams.sum::<usize>()
    }
}
