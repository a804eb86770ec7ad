//! The server of an accepted socket, as the socket sees it.

use std::net::SocketAddr;
use std::rc::{Rc, Weak};

use fyke_driver::Address;
use fyke_machine::connection::Gone;

use crate::runtime::Actor;
use crate::socket_options::SocketOptions;
use crate::wiring::Tick;

/// A server, as its connections see it.
pub(crate) trait Accepts: Actor<Tick> {
    /// A connection was destroyed. `gone` is how, if it was part of a shutdown.
    fn connection_gone(self: Rc<Self>, peer: Option<SocketAddr>, gone: Option<Gone>);
}

/// Keeps a server alive until each of its sockets has emitted `close`, so that the server can emit its own.
pub(crate) struct Origin {
    server: Rc<dyn Accepts>,
    pub(super) shared: Rc<Shared>,
}

/// The data that the sockets of one server share. They keep it after the server is gone.
pub(super) struct Shared {
    server: Weak<dyn Accepts>,
    pub(super) options: SocketOptions,
    /// The local address of each connection, if the listener has only one, so that the system need not be
    /// asked for it.
    pub(super) local: Option<SocketAddr>,
}

impl Origin {
    pub(crate) fn new(
        server: Rc<dyn Accepts>,
        options: SocketOptions,
        listener: Option<&Address>,
    ) -> Rc<Self> {
        let local = listener.and_then(Address::ip);
        let local = local.filter(|address| !address.ip().is_unspecified());
        let shared = Shared { server: Rc::downgrade(&server), options, local };
        Rc::new(Self { server, shared: Rc::new(shared) })
    }

    /// Returns whether the server is the one at this address.
    pub(super) fn is(&self, server: *const ()) -> bool {
        Rc::as_ptr(&self.server).cast::<()>() == server
    }
}

impl Shared {
    pub(super) fn server(&self) -> Option<Rc<dyn Accepts>> {
        self.server.upgrade()
    }
}
