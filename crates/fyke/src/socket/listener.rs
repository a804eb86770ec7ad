//! The listeners of a socket: which events they listen to and what they run. All events use one form, so
//! that a listener takes little memory. `S` is the socket, `W` a weak reference to one.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use fyke_driver::Address;
use fyke_machine::connection::{Event, LookupEvent};

use super::link::Link;
use crate::Error;
use crate::listeners::{EventSet, Handler};

/// The events that one listener listens to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hears {
    One(Event),
    /// The events of the source that a pipe needs.
    PipeSource,
    /// The events of the destination that a pipe needs.
    PipeDestination,
    /// The events that a pipe needs if the socket is piped into itself.
    PipeItself,
    /// The events that the tasks of a stream wait for.
    Stream,
}

const SOURCE: u32 = 1 << Event::Data as u32 | 1 << Event::End as u32;
const DESTINATION: u32 =
    1 << Event::Drain as u32 | 1 << Event::Finish as u32 | 1 << Event::Gone as u32;
const STREAM: u32 = 1 << Event::Connect as u32
    | 1 << Event::Drain as u32
    | 1 << Event::Finish as u32
    | 1 << Event::Error as u32
    | 1 << Event::Close as u32;

impl fmt::Debug for Hears {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(event) => event.fmt(f),
            Self::Stream => f.write_str("Stream"),
            _ => f.write_str("Pipe"),
        }
    }
}

impl EventSet for Hears {
    #[inline]
    fn bits(self) -> u32 {
        match self {
            Self::One(event) => 1 << event as u32,
            Self::PipeSource => SOURCE,
            Self::PipeDestination => DESTINATION,
            Self::PipeItself => SOURCE | DESTINATION,
            Self::Stream => STREAM,
        }
    }

    #[inline]
    fn contains(self, event: Self) -> bool {
        self == event || !matches!(self, Self::One(_)) && self.bits() & event.bits() != 0
    }
}

/// The closure of a listener of a socket.
pub(crate) enum Listener<S, W> {
    User(UserListener<S>),
    Own(Rc<Own<S, W>>),
}

impl<S, W> Handler for Listener<S, W> {
    fn placeholder() -> Self {
        Self::User(Box::new(|_, _| {}))
    }

    /// Leaves the library's own listeners in their place, so that they can be found while they run.
    #[inline]
    fn take(&mut self) -> Self {
        match self {
            Self::User(_) => std::mem::replace(self, Self::placeholder()),
            Self::Own(own) => Self::Own(Rc::clone(own)),
        }
    }

    #[inline]
    fn put_back(&mut self, running: Self) -> Option<Self> {
        if !matches!(self, Self::User(_)) {
            return Some(running);
        }
        // A placeholder owns no memory.
        std::mem::forget(std::mem::replace(self, running));
        None
    }
}

/// The arguments of a listener, apart from the socket.
#[derive(Debug)]
pub(crate) enum News<'a, S> {
    Nothing,
    Data(&'a [u8]),
    Text(&'a str),
    Error(&'a Error),
    /// Whether the connection ended because of an error.
    Close(bool),
    Lookup(&'a LookupEvent),
    Attempt(&'a Address),
    AttemptFailed(&'a Address, &'a Error),
    /// The other socket of the pipe.
    Pipe(&'a S),
}

// Implemented by hand, because `S` need not be `Clone`: there are only references to it.
impl<S> Clone for News<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for News<'_, S> {}

pub(crate) type UserListener<S> = Box<dyn FnMut(&S, News<'_, S>)>;

pub(super) fn plain<S, W>(mut f: impl FnMut(&S) + 'static) -> Listener<S, W> {
    Listener::User(Box::new(move |socket, _| f(socket)))
}

/// Makes the listener of an event that has arguments.
macro_rules! listener_of {
    ($name:ident, $($argument:ident: $type:ty),+ => $news:pat) => {
        pub(super) fn $name<S, W>(
            mut f: impl FnMut(&S, $($type),+) + 'static,
        ) -> Listener<S, W> {
            Listener::User(Box::new(move |socket, news| {
                if let $news = news {
                    f(socket, $($argument),+);
                }
            }))
        }
    };
}

listener_of!(data, bytes: &[u8] => News::Data(bytes));
listener_of!(text, text: &str => News::Text(text));
listener_of!(error, error: &Error => News::Error(error));
listener_of!(close, had_error: bool => News::Close(had_error));
listener_of!(lookup, lookup: &LookupEvent => News::Lookup(lookup));
listener_of!(attempt, address: &Address => News::Attempt(address));
listener_of!(attempt_failed, address: &Address, error: &Error => News::AttemptFailed(address, error));

pub(super) fn pipe<S, W>(mut f: impl FnMut(&S, &S) + 'static) -> Listener<S, W> {
    Listener::User(Box::new(move |socket, news| {
        if let News::Pipe(other) = news {
            f(socket, other);
        }
    }))
}

/// A listener of the library itself: one end of a pipe, with what the listener of one socket needs to know
/// about the other socket; or the tasks of a stream.
pub(crate) enum Own<S, W> {
    /// This socket is piped into another one.
    PipeTo(S, Cell<Flow>),
    /// Another socket is piped into this one.
    PipeFrom(W),
    /// This socket is piped into itself.
    PipeItself(Cell<Flow>),
    /// Tasks read and write this socket. In a box, so that a pipe does not cost more for it.
    Stream(Parts, Box<Link<S>>),
}

/// The state of a pipe that its source stores.
#[derive(Clone, Copy)]
pub(crate) struct Flow {
    /// Whether the destination is ended together with the source.
    pub(super) ends: bool,
    /// Whether the destination has no room, so that the source waits for its `drain`.
    pub(super) blocked: bool,
}

/// The number of stream objects that use a socket: 1 for a whole stream, 2 for both halves.
pub(crate) type Parts = Cell<u8>;

impl<S: Clone + PartialEq, W> Own<S, W> {
    /// Returns the destination of a pipe whose source is `source`.
    pub(super) fn destination(&self, source: &S) -> Option<S> {
        match self {
            Self::PipeTo(to, _) => Some(to.clone()),
            Self::PipeItself(_) => Some(source.clone()),
            Self::PipeFrom(_) | Self::Stream(..) => None,
        }
    }

    /// Returns whether the pipe leads from `source`, to which this listener belongs, to `destination`.
    pub(super) fn leads_to(&self, source: &S, destination: &S) -> bool {
        match self {
            Self::PipeTo(to, _) => to == destination,
            Self::PipeItself(_) => source == destination,
            Self::PipeFrom(_) | Self::Stream(..) => false,
        }
    }

    pub(super) fn flow(&self) -> Option<&Cell<Flow>> {
        match self {
            Self::PipeTo(_, flow) | Self::PipeItself(flow) => Some(flow),
            Self::PipeFrom(_) | Self::Stream(..) => None,
        }
    }

    /// Returns the link of a stream.
    #[inline]
    pub(super) fn link(&self) -> Option<&Link<S>> {
        match self {
            Self::Stream(_, link) => Some(link),
            Self::PipeTo(..) | Self::PipeFrom(_) | Self::PipeItself(_) => None,
        }
    }
}
