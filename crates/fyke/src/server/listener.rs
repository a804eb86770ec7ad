//! The events of a server, and the arguments of its listeners.

use std::net::SocketAddr;

use crate::Error;
use crate::listeners::{EventSet, Handler};
use crate::socket::Socket;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Listening,
    Connection,
    Error,
    Close,
    Drop,
}

impl EventSet for Event {
    fn bits(self) -> u32 {
        1 << self as u32
    }
}

/// The closure of a listener of a server `S`.
pub(crate) enum Listener<S> {
    Plain(Box<dyn FnMut(&S)>),
    Connection(Box<dyn FnMut(&S, &Socket)>),
    Error(Box<dyn FnMut(&S, &Error)>),
    Drop(Box<dyn FnMut(&S, Option<&RefusedConnection>)>),
}

impl<S> Handler for Listener<S> {
    fn placeholder() -> Self {
        Self::Plain(Box::new(|_| {}))
    }
}

/// A connection that was refused by a limit, see [`Server::on_drop`](crate::Server::on_drop).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RefusedConnection {
    /// The local address of the connection. `None` if the system did not report it.
    pub local_address: Option<SocketAddr>,
    /// The client's address.
    pub remote_address: SocketAddr,
}
