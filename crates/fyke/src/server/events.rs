//! Events of a server: the `on_*` methods, and how they are emitted.

use super::Server;
use super::listener::{DropInfo, Event, Listener};
use crate::Error;
use crate::listeners::ListenerId;
use crate::socket::Socket;

/// # Events
///
/// Each method adds a listener; there may be several, they run in order of registration. Each
/// gets the server first. The result names the listener for [`off`](Self::off).
impl Server {
    /// It listens now. Node: `listening`.
    pub fn on_listening(&self, f: impl FnMut(&Server) + 'static) -> ListenerId {
        self.add(Event::Listening, Listener::Plain(Box::new(f)))
    }

    /// A client connected. The socket is open, and reads as soon as the listeners have run. Node:
    /// `connection`.
    pub fn on_connection(&self, f: impl FnMut(&Server, &Socket) + 'static) -> ListenerId {
        self.add(Event::Connection, Listener::Connection(Box::new(f)))
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
        self.add(Event::Error, Listener::Error(Box::new(f)))
    }

    /// It was closed, and the last of its connections is gone. Node: `close`.
    pub fn on_close(&self, f: impl FnMut(&Server) + 'static) -> ListenerId {
        self.add(Event::Close, Listener::Plain(Box::new(f)))
    }

    /// A client was refused because there were
    /// [`max_connections`](Server::set_max_connections) already: it sees a connection that ends
    /// at once. On a Unix socket there is nothing to tell about it. Node: `drop`.
    pub fn on_drop(&self, f: impl FnMut(&Server, Option<&DropInfo>) + 'static) -> ListenerId {
        self.add(Event::Drop, Listener::Drop(Box::new(f)))
    }

    /// Removes a listener. Unknown ones are ignored.
    pub fn off(&self, id: ListenerId) {
        drop(self.inner.listeners.remove(id));
    }

    fn add(&self, event: Event, listener: Listener<Self>) -> ListenerId {
        self.inner.listeners.add(event, false, listener)
    }

    pub(super) fn once(&self, event: Event, f: impl FnOnce(&Server) + 'static) {
        let mut f = Some(f);
        let callback = move |server: &Server| f.take().map_or((), |f| f(server));
        self.inner.listeners.add(event, true, Listener::Plain(Box::new(callback)));
    }

    pub(super) fn emit(&self, event: Event) {
        self.inner.listeners.emit(event, |listener| {
            if let Listener::Plain(f) = listener {
                f(self);
            }
        });
    }

    pub(super) fn emit_connection(&self, socket: &Socket) {
        self.inner.listeners.emit(Event::Connection, |listener| {
            if let Listener::Connection(f) = listener {
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
        self.inner.listeners.emit(Event::Error, |listener| {
            if let Listener::Error(f) = listener {
                f(self, error);
            }
        });
    }

    pub(super) fn emit_drop(&self, info: Option<&DropInfo>) {
        self.inner.listeners.emit(Event::Drop, |listener| {
            if let Listener::Drop(f) = listener {
                f(self, info);
            }
        });
    }
}
