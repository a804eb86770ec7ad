//! A listener's code: one form for all events, so that a listener takes as little room
//! as it can.

use std::net::IpAddr;

use fyke_driver::Address;
use fyke_machine::connection::Event;

use super::Socket;
use crate::listeners::EventNumber;
use crate::{Error, Result};

impl EventNumber for Event {
    fn number(self) -> u32 {
        self as u32
    }
}

/// An answer to the question for a host's addresses: what [`Socket::on_lookup`] is told, once for
/// every address.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LookupEvent {
    /// The host as it was given.
    pub host: String,
    /// One of its addresses, or why there are none.
    pub address: Result<IpAddr>,
}

/// What a listener is told beside the socket.
#[derive(Clone, Copy, Debug)]
pub(crate) enum News<'a> {
    Nothing,
    Data(&'a [u8]),
    Text(&'a str),
    Error(&'a Error),
    /// Whether it ended by an error.
    Close(bool),
    Lookup(&'a LookupEvent),
    Attempt(&'a Address),
    AttemptFailed(&'a Address, &'a Error),
    /// The other end of the pipe.
    Pipe(&'a Socket),
}

pub(crate) type Callback = Box<dyn FnMut(&Socket, News<'_>)>;

pub(super) fn plain(mut f: impl FnMut(&Socket) + 'static) -> Callback {
    Box::new(move |socket, _| f(socket))
}

/// Makes the callback of events that bring something.
macro_rules! callback_of {
    ($name:ident, $($argument:ident: $type:ty),+ => $news:pat) => {
        pub(super) fn $name(mut f: impl FnMut(&Socket, $($type),+) + 'static) -> Callback {
            Box::new(move |socket, news| {
                if let $news = news {
                    f(socket, $($argument),+);
                }
            })
        }
    };
}

callback_of!(data, bytes: &[u8] => News::Data(bytes));
callback_of!(text, text: &str => News::Text(text));
callback_of!(error, error: &Error => News::Error(error));
callback_of!(close, had_error: bool => News::Close(had_error));
callback_of!(lookup, lookup: &LookupEvent => News::Lookup(lookup));
callback_of!(attempt, address: &Address => News::Attempt(address));
callback_of!(attempt_failed, address: &Address, error: &Error => News::AttemptFailed(address, error));
callback_of!(pipe, other: &Socket => News::Pipe(other));
