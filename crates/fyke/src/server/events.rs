//! Events of a server: the `on_*` methods, and how events are emitted.

use super::Server;
use super::listener::{Event, Listener, RefusedConnection};
use crate::Error;
use crate::listeners::{Lasts, ListenerId};
use crate::socket::Socket;

/// # Events
///
/// Each `on_…` method adds a listener. An event may have several listeners, which run in the order in which
/// they were added. Each listener gets the server as its first argument. The returned id removes the
/// listener, see [`off`](Self::off). Each method has a counterpart `once_…` whose listener runs for the
/// next event only.
impl Server {
    /// Emitted when the server starts to listen. Node: `listening`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| {});
    ///     server.on_listening(|server| {
    ///         println!("listening on {}", server.address().unwrap());
    ///         server.close();
    ///     });
    ///     server.listen(("127.0.0.1", 0))
    /// })
    /// # }
    /// ```
    #[doc(alias = "listening")]
    pub fn on_listening(&self, f: impl FnMut(&Server) + 'static) -> ListenerId {
        self.add(Event::Listening, Listener::Plain(Box::new(f)))
    }

    /// Emitted for each accepted connection. The socket is open, and starts to read when the listeners have
    /// returned. Node: `connection`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::Server::new();
    ///     server.on_connection(|server, socket| {
    ///         println!("{:?} is here", socket.remote_address());
    ///         assert_eq!(socket.server().as_ref(), Some(server));
    ///         socket.end();
    ///         server.close();
    ///     });
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         fyke::connect(server.endpoint().unwrap()).unwrap().resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "connection")]
    pub fn on_connection(&self, f: impl FnMut(&Server, &Socket) + 'static) -> ListenerId {
        self.add(Event::Connection, Listener::Connection(Box::new(f)))
    }

    /// Emitted when listening fails, for example with `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL` or
    /// `ENOTFOUND`. The server may listen again at once.
    ///
    /// Also emitted, once, when accepting fails permanently; [`Error::syscall`](crate::Error::syscall) is
    /// `accept` then. The code is `EINVAL` if another process or handle that shares the listener has shut
    /// it down. The server still counts as listening, but accepts nothing more; close it before it listens
    /// again. Temporary errors, such as a lack of descriptors, are not reported here.
    ///
    /// If no listener is registered, the error ends [`run`](crate::run). Node: `error`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let first = fyke::create_server(|_| {});
    ///     first.listen_then(("127.0.0.1", 0), |first| {
    ///         let second = fyke::create_server(|_| {});
    ///         let first_again = first.clone();
    ///         second.on_error(move |_, error| {
    ///             assert_eq!(error.code(), fyke::ErrorCode::EADDRINUSE);
    ///             first_again.close();
    ///         });
    ///         second.listen(first.endpoint().unwrap()).unwrap();
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "error")]
    pub fn on_error(&self, f: impl FnMut(&Server, &Error) + 'static) -> ListenerId {
        self.add(Event::Error, Listener::Error(Box::new(f)))
    }

    /// Emitted when the server is closed and its last connection is gone. Node: `close`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| {});
    ///     server.on_close(|server| assert!(!server.is_listening()));
    ///     server.listen_then(("127.0.0.1", 0), |server| _ = server.close())
    /// })
    /// # }
    /// ```
    #[doc(alias = "close")]
    pub fn on_close(&self, f: impl FnMut(&Server) + 'static) -> ListenerId {
        self.add(Event::Close, Listener::Plain(Box::new(f)))
    }

    /// Emitted when a connection is refused by a limit, such as
    /// [`max_connections`](Server::set_max_connections). The client sees a connection that ends at once.
    /// The second argument is `None` for a Unix socket, whose clients have no address. Node: `drop`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::ServerOptions::new().max_connections(0).create_server(|_| {});
    ///     server.on_drop(|server, refused| {
    ///         println!("refused: {:?}", refused.unwrap());
    ///         server.close();
    ///     });
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         fyke::connect(server.endpoint().unwrap()).unwrap().resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "drop")]
    pub fn on_drop(
        &self,
        f: impl FnMut(&Server, Option<&RefusedConnection>) + 'static,
    ) -> ListenerId {
        self.add(Event::Drop, Listener::Drop(Box::new(f)))
    }

    /// Runs `f` the next time the server starts to listen, see [`on_listening`](Self::on_listening). Every
    /// `once_…` listener is removed before it runs. Node: `once('listening')`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| {});
    ///     server.once_listening(|server| _ = server.close());
    ///     server.listen(("127.0.0.1", 0))
    /// })
    /// # }
    /// ```
    pub fn once_listening(&self, f: impl FnOnce(&Server) + 'static) -> ListenerId {
        self.once(Event::Listening, f)
    }

    /// Runs `f` for the next connection only, see [`on_connection`](Self::on_connection). Node:
    /// `once('connection')`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::Server::new();
    ///     server.once_connection(|server, socket| {
    ///         server.close();
    ///         socket.end_with("you are the only one");
    ///     });
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_text(|_, text| assert_eq!(text, "you are the only one"));
    ///     })
    /// })
    /// # }
    /// ```
    pub fn once_connection(&self, f: impl FnOnce(&Server, &Socket) + 'static) -> ListenerId {
        let mut f = Some(f);
        let once = move |server: &Server, socket: &Socket| {
            if let Some(f) = f.take() {
                f(server, socket);
            }
        };
        self.add_once(Event::Connection, Listener::Connection(Box::new(once)))
    }

    /// Runs `f` for the next error only, see [`on_error`](Self::on_error). Node: `once('error')`.
    pub fn once_error(&self, f: impl FnOnce(&Server, &Error) + 'static) -> ListenerId {
        let mut f = Some(f);
        let once = move |server: &Server, error: &Error| {
            if let Some(f) = f.take() {
                f(server, error);
            }
        };
        self.add_once(Event::Error, Listener::Error(Box::new(once)))
    }

    /// Runs `f` for the next `close` only, see [`on_close`](Self::on_close). Node: `once('close')`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| {});
    ///     // Listens a second time when it has closed for the first time.
    ///     server.once_close(|server| {
    ///         server.listen_then(("127.0.0.1", 0), |server| _ = server.close()).unwrap();
    ///     });
    ///     server.listen_then(("127.0.0.1", 0), |server| _ = server.close())
    /// })
    /// # }
    /// ```
    pub fn once_close(&self, f: impl FnOnce(&Server) + 'static) -> ListenerId {
        self.once(Event::Close, f)
    }

    /// Runs `f` for the next refused connection only, see [`on_drop`](Self::on_drop). Node: `once('drop')`.
    pub fn once_drop(
        &self,
        f: impl FnOnce(&Server, Option<&RefusedConnection>) + 'static,
    ) -> ListenerId {
        let mut f = Some(f);
        let once = move |server: &Server, info: Option<&RefusedConnection>| {
            if let Some(f) = f.take() {
                f(server, info);
            }
        };
        self.add_once(Event::Drop, Listener::Drop(Box::new(once)))
    }

    /// Sets how many listeners one event of this server may have before a warning is logged (`tracing`,
    /// level WARN). Default 10; 0 means no limit. A server logs the warning once, and still adds the
    /// listeners. Node: `setMaxListeners`.
    #[doc(alias = "setMaxListeners")]
    pub fn set_max_listeners(&self, count: u32) -> &Self {
        self.inner.listeners.expect(count);
        self
    }

    /// Removes a listener. Does nothing if this server has no listener with that id: it was removed, it was
    /// a `once_…` listener that has run, or it belongs to another object. Node: `off`, `removeListener`.
    ///
    /// ```
    /// let server = fyke::Server::new();
    /// let id = server.on_listening(|_| unreachable!("removed below"));
    /// server.off(id);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[doc(alias = "removeListener")]
    pub fn off(&self, id: ListenerId) {
        drop(self.inner.listeners.remove(id));
    }

    fn add(&self, event: Event, listener: Listener<Self>) -> ListenerId {
        self.inner.listeners.add(event, Lasts::Always, listener)
    }

    fn add_once(&self, event: Event, callback: Listener<Self>) -> ListenerId {
        self.inner.listeners.add(event, Lasts::Once, callback)
    }

    pub(super) fn once(&self, event: Event, f: impl FnOnce(&Server) + 'static) -> ListenerId {
        let mut f = Some(f);
        let callback = move |server: &Server| f.take().map_or((), |f| f(server));
        self.add_once(event, Listener::Plain(Box::new(callback)))
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

    /// Emits `error`. Without a listener, the error ends `run`.
    // Contract C5.
    pub(super) fn emit_error(&self, error: &Error) {
        let taken = self.offer_error(error);
        if !self.inner.listeners.has(Event::Error) {
            if taken {
                return;
            }
            if let Some(core) = self.core() {
                core.unhandled(error.clone());
            }
            return;
        }
        self.inner.listeners.emit(Event::Error, |listener| {
            if let Listener::Error(f) = listener {
                f(self, error);
            }
        });
    }

    pub(super) fn emit_drop(&self, info: Option<&RefusedConnection>) {
        self.inner.listeners.emit(Event::Drop, |listener| {
            if let Listener::Drop(f) = listener {
                f(self, info);
            }
        });
    }
}
