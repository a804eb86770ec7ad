//! A listener's code: one form for all events, so that a listener takes as little room
//! as it can.

use std::net::IpAddr;

use fyke_driver::Address;
use fyke_machine::connection::Event;

use crate::listeners::EventNumber;
use crate::{Error, Result};

impl EventNumber for Event {
    fn number(self) -> u32 {
        self as u32
    }
}

/// An answer to the question for a host's addresses: what [`Socket::on_lookup`](crate::Socket::on_lookup) is told, once for
/// every address.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Lookup {
    /// The host as it was given.
    pub host: String,
    /// One of its addresses, or why there are none.
    pub address: Result<IpAddr>,
}

/// What a listener of a socket `S` is given beside the socket.
#[derive(Debug)]
pub(crate) enum News<'a, S> {
    Nothing,
    Data(&'a [u8]),
    Text(&'a str),
    Error(&'a Error),
    /// Whether it ended by an error.
    Close(bool),
    Lookup(&'a Lookup),
    Attempt(&'a Address),
    AttemptFailed(&'a Address, &'a Error),
    /// The other end of the pipe.
    Pipe(&'a S),
}

// Whatever `S` is: there are only references to it.
impl<S> Clone for News<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for News<'_, S> {}

pub(crate) type Listener<S> = Box<dyn FnMut(&S, News<'_, S>)>;

pub(super) fn plain<S>(mut f: impl FnMut(&S) + 'static) -> Listener<S> {
    Box::new(move |socket, _| f(socket))
}

/// Makes the callback of events that bring something.
macro_rules! listener_of {
    ($name:ident, $($argument:ident: $type:ty),+ => $news:pat) => {
        pub(super) fn $name<S>(mut f: impl FnMut(&S, $($type),+) + 'static) -> Listener<S> {
            Box::new(move |socket, news| {
                if let $news = news {
                    f(socket, $($argument),+);
                }
            })
        }
    };
}

listener_of!(data, bytes: &[u8] => News::Data(bytes));
listener_of!(text, text: &str => News::Text(text));
listener_of!(error, error: &Error => News::Error(error));
listener_of!(close, had_error: bool => News::Close(had_error));
listener_of!(lookup, lookup: &Lookup => News::Lookup(lookup));
listener_of!(attempt, address: &Address => News::Attempt(address));
listener_of!(attempt_failed, address: &Address, error: &Error => News::AttemptFailed(address, error));

pub(super) fn pipe<S>(mut f: impl FnMut(&S, &S) + 'static) -> Listener<S> {
    Box::new(move |socket, news| {
        if let News::Pipe(other) = news {
            f(socket, other);
        }
    })
}
