//! What all ends of a script share: the events, whose code is running, and how much memory is used.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use fyke_machine::Policy;

use super::{Life, Moment, Operation, Place};

/// Something that was called, or that happened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    place: Place,
    /// Which connection of the pair.
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
    /// The write that ends here in the stream of this connection was told this.
    Write(usize, u64, Option<&'static str>),
    End(Option<&'static str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    /// Nothing of the script.
    Nothing,
    Callback,
    /// A call on a socket, in which no callback may run.
    Call,
    /// `connect` with Node's manners, in which some may.
    Connect,
}

pub(crate) struct Stage {
    pub(crate) policy: Policy,
    events: RefCell<Vec<Event>>,
    running: Cell<Running>,
    /// Both ends of each connection.
    pub(crate) connections: RefCell<Vec<[Rc<Life>; 2]>>,
}

/// Sets back what was running before.
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

    /// A callback begins: the only one, and not inside a call (contract C1), but inside `connect` with
    /// Node's manners.
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
        let tells = self.policy.tells_inside_connect;
        self.begin(if tells { Running::Connect } else { Running::Call })
    }

    pub(crate) fn log(&self, life: &Life, what: What) {
        let event = Event { place: life.place, connection: life.number, what };
        self.events.borrow_mut().push(event);
    }

    /// Without the data, which is too much to read.
    pub(crate) fn latest_events(&self) -> Vec<Event> {
        let events = self.events.borrow();
        let is_data =
            |event: &&Event| !matches!(event.what, What::Bytes(_) | What::Happened(Moment::Data));
        let mut latest: Vec<Event> =
            events.iter().rev().filter(is_data).take(60).copied().collect();
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

    /// Both ends of a connection that there is.
    pub(crate) fn find(&self, pair: usize, number: usize) -> [Rc<Life>; 2] {
        let connections = self.connections.borrow();
        let mut ends = connections.iter();
        let found = ends.find(|[client, _]| client.place.pair == pair && client.number == number);
        found.expect("its client has connected").clone()
    }

    /// What the model itself holds, near enough.
    pub(crate) fn own_bytes(&self) -> usize {
        let list = self.events.borrow().capacity() * size_of::<Event>();
        let streams = self.connections.borrow();
        let streams = streams.iter().flatten().map(|life| life.own_bytes());
        list + streams.sum::<usize>()
    }
}
