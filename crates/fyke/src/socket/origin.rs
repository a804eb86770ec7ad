//! The server of an accepted socket, as the socket knows it.

use std::net::SocketAddr;
use std::rc::Rc;

use crate::runtime::Actor;
use crate::wiring::Tick;

/// A server.
pub(crate) trait Accepts: Actor<Tick> {
    /// A connection was destroyed. `gone`: how, if it was part of a shutdown.
    fn connection_gone(self: Rc<Self>, peer: Option<SocketAddr>, gone: Option<Gone>);
}

/// How one connection of a shutdown went.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gone {
    Ended,
    Failed,
    Reset,
}

/// What the connections of one server share: one small pointer in each of them, where a pointer to a
/// trait object is twice as large.
pub(crate) struct Origin {
    server: Rc<dyn Accepts>,
}

impl Origin {
    pub(crate) fn new(server: Rc<dyn Accepts>) -> Rc<Self> {
        Rc::new(Self { server })
    }

    pub(super) fn server(&self) -> Rc<dyn Accepts> {
        Rc::clone(&self.server)
    }

    /// Whether the server is the one that lies there.
    pub(super) fn is(&self, server: *const ()) -> bool {
        Rc::as_ptr(&self.server).cast::<()>() == server
    }
}
