//! Events of a server: the `on_*` methods, and how they are emitted.

use std::net::SocketAddr;

use super::Server;
use crate::Error;
use crate::listeners::{EventSet, Handler, ListenerId};
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

pub(crate) enum Callback {
    Plain(Box<dyn FnMut(&Server)>),
    Connection(Box<dyn FnMut(&Server, &Socket)>),
    Error(Box<dyn FnMut(&Server, &Error)>),
    Drop(Box<dyn FnMut(&Server, Option<&DropInfo>)>),
}

impl Handler for Callback {
    fn placeholder() -> Self {
        Self::Plain(Box::new(|_| {}))
    }
}

/// Who was refused, see [`Server::on_drop`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DropInfo {
    /// The address that the client connected to.
    pub local_address: Option<SocketAddr>,
    /// The client.
    pub remote_address: SocketAddr,
}

/// # Events
///
/// Each method adds a listener; there may be several, they run in order of registration. Each
/// gets the server first. The result names the listener for [`off`](Self::off).
impl Server {
    /// It listens now. Node: `listening`.
    pub fn on_listening(&self, f: impl FnMut(&Server) + 'static) -> ListenerId {
        self.add(Event::Listening, Callback::Plain(Box::new(f)))
    }

    /// A client connected. The socket is open, and reads as soon as the listeners have run. Node:
    /// `connection`.
    pub fn on_connection(&self, f: impl FnMut(&Server, &Socket) + 'static) -> ListenerId {
        self.add(Event::Connection, Callback::Connection(Box::new(f)))
    }

    /// Called when listening fails: `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`, `ENOTFOUND` and so on. The
    /// server may listen again at once.
    ///
    /// Also called, once, when accepting fails for good; [`Error::syscall`](crate::Error::syscall) is
    /// `accept` then. The code is `EINVAL` if another holder of the listener has shut it down. The server
    /// counts as listening until it is closed, but accepts nothing more; close it, and it may listen again.
    /// Errors that pass by themselves, such as a lack of descriptors, are not reported here.
    ///
    /// Without a listener for it, the error ends [`run`](crate::run). Node: `error`.
    pub fn on_error(&self, f: impl FnMut(&Server, &Error) + 'static) -> ListenerId {
        self.add(Event::Error, Callback::Error(Box::new(f)))
    }

    /// It was closed, and the last of its connections is gone. Node: `close`.
    pub fn on_close(&self, f: impl FnMut(&Server) + 'static) -> ListenerId {
        self.add(Event::Close, Callback::Plain(Box::new(f)))
    }

    /// A client was refused because there were
    /// [`max_connections`](Server::set_max_connections) already: it sees a connection that ends
    /// at once. On a Unix socket there is nothing to tell about it. Node: `drop`.
    pub fn on_drop(&self, f: impl FnMut(&Server, Option<&DropInfo>) + 'static) -> ListenerId {
        self.add(Event::Drop, Callback::Drop(Box::new(f)))
    }

    /// Removes a listener. Unknown ones are ignored.
    pub fn off(&self, id: ListenerId) {
        drop(self.inner.listeners.remove(id));
    }

    fn add(&self, event: Event, callback: Callback) -> ListenerId {
        self.inner.listeners.add(event, false, callback)
    }

    pub(super) fn once(&self, event: Event, f: impl FnOnce(&Server) + 'static) {
        let mut f = Some(f);
        let callback = move |server: &Server| f.take().map_or((), |f| f(server));
        self.inner.listeners.add(event, true, Callback::Plain(Box::new(callback)));
    }

    pub(super) fn emit(&self, event: Event) {
        self.inner.listeners.emit(event, |callback| {
            if let Callback::Plain(f) = callback {
                f(self);
            }
        });
    }

    pub(super) fn emit_connection(&self, socket: &Socket) {
        self.inner.listeners.emit(Event::Connection, |callback| {
            if let Callback::Connection(f) = callback {
                f(self, socket);
            }
        });
    }

    /// Unheard, it ends `run` (contract C5).
    pub(super) fn emit_error(&self, error: &Error) {
        if !self.inner.listeners.has(Event::Error) {
            if let Some(core) = self.core() {
                core.unheard(error.clone());
            }
            return;
        }
        self.inner.listeners.emit(Event::Error, |callback| {
            if let Callback::Error(f) = callback {
                f(self, error);
            }
        });
    }

    pub(super) fn emit_drop(&self, info: Option<&DropInfo>) {
        self.inner.listeners.emit(Event::Drop, |callback| {
            if let Callback::Drop(f) = callback {
                f(self, info);
            }
        });
    }
}
