//! The `Server` type: it listens, accepts and counts connections, and closes.

mod accepting;
mod actor;
#[cfg(unix)]
mod adopting;
mod bound;
mod drain;
mod events;
#[cfg(unix)]
mod handing_over;
mod incoming;
mod listener;
mod listening;
mod options;
mod remote;
mod shutdown;
mod waiting;

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::{Rc, Weak};

use fyke_driver::{Address, SocketId};
use fyke_machine::acceptor::Acceptor;

use drain::Drain;
pub use drain::ShutdownOutcome;
pub use incoming::Incoming;
pub use listener::RefusedConnection;
use listener::{Event, Listener};
pub use options::{ListenOptions, ServerOptions, StaleFile};
pub use remote::ServerRef;
use waiting::MaybeWaiting;

use crate::listeners::Listeners;
use crate::lookup::Ticket;
use crate::socket::{Origin, Socket};
use crate::wiring::{Core, current_or_none};
use crate::{AbortSignal, BlockList, Endpoint, Error, ErrorCode};

/// A TCP or Unix-socket server: Node's `net.Server`.
///
/// [`create_server`] makes one. Clones are cheap handles to the same server. The loop keeps a listening
/// server alive, so dropping every handle does not close it. Its port is free when [`close`](Server::close)
/// returns, or when the loop ends. Use [`close_then`](Server::close_then) to wait until its connections are
/// gone too. A server is not `Send`, because it belongs to its loop's thread.
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let server = fyke::create_server(|socket| {
///         println!("{:?} is here", socket.remote_address());
///         socket.end_with("bye\n");
///     });
///     server.on_close(|_| println!("closed"));
///     server.listen_then(("127.0.0.1", 0), |server| {
///         println!("listening on {}", server.address().unwrap());
///         server.close();
///     })
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct Server {
    inner: Rc<Inner>,
}

pub(crate) struct Inner {
    core: OnceCell<Rc<Core>>,
    state: RefCell<State>,
    listeners: Listeners<Event, Listener<Server>>,
    /// Connections that wait for tasks.
    waiting: MaybeWaiting,
}

/// The server's data. Its [`Acceptor`] decides what may happen to it.
struct State {
    acceptor: Acceptor,
    options: ServerOptions,
    listener: Option<SocketId>,
    /// Accepted connections inherit the options that were set on the listener.
    inherits: bool,
    address: Option<Address>,
    /// The path on which the server listens, or listened last.
    last_path: Option<Address>,
    /// The host lookup that the last `listen` waits for.
    lookup: Option<Ticket>,
    /// The data that the connections share: set by the first one, cleared when the server stops listening.
    origin: Option<Rc<Origin>>,
    /// The signal that was passed to the last `listen`.
    signal: Option<AbortSignal>,
    referred: bool,
    holding: bool,
    /// The shutdown in progress, if any.
    drain: Option<Box<Drain<Server>>>,
}

/// Makes a server that calls `f` for each accepted connection. Call [`listen`](Server::listen) next. Node:
/// `net.createServer(listener)`.
///
/// `examples/server.rs`:
///
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let server = fyke::create_server(|socket| {
///         socket.server().unwrap().close(); // only one client
///         socket.end_with("hello client");
///     });
///     server.listen_then(("127.0.0.1", 0), |server| {
///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
///         client.on_text(|_, text| assert_eq!(text, "hello client"));
///     })
/// })
/// # }
/// ```
#[doc = concat!("```no_run\n", include_str!("../../examples/server.rs"), "```")]
#[doc(alias = "createServer")]
pub fn create_server(f: impl FnMut(&Socket) + 'static) -> Server {
    ServerOptions::new().create_server(f)
}

/// # Making
impl ServerOptions {
    /// Makes a server with these options and no listener: add one, or [`accept`](Server::accept) its
    /// connections. Node: `net.createServer(options)`.
    pub fn create(self) -> Server {
        Server::with_options(self)
    }

    /// Makes a server with these options that calls `f` for each accepted connection. Node:
    /// `net.createServer(options, listener)`.
    pub fn create_server(self, mut f: impl FnMut(&Socket) + 'static) -> Server {
        let server = Server::with_options(self);
        server.on_connection(move |_, socket| f(socket));
        server
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// Makes a server without listeners. Node: `new net.Server()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::Server::new();
    ///     server.on_connection(|server, socket| {
    ///         server.close();
    ///         socket.end_with("hello");
    ///     });
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         fyke::connect(server.endpoint().unwrap()).unwrap().resume();
    ///     })
    /// })
    /// # }
    /// ```
    pub fn new() -> Self {
        Self::with_options(ServerOptions::new())
    }

    fn with_options(options: ServerOptions) -> Self {
        let state = State {
            acceptor: Acceptor::new(options.limits),
            options,
            listener: None,
            inherits: false,
            address: None,
            last_path: None,
            lookup: None,
            origin: None,
            signal: None,
            referred: true,
            holding: false,
            drain: None,
        };
        let server = Self {
            inner: Rc::new(Inner {
                core: OnceCell::new(),
                state: RefCell::new(state),
                listeners: Listeners::default(),
                waiting: MaybeWaiting::default(),
            }),
        };
        if let Some(core) = current_or_none() {
            server.join(core);
        }
        server
    }

    fn join(&self, core: Rc<Core>) {
        core.remember(self.downgrade());
        // `core` is still empty here, so `set` cannot fail.
        let _ = self.inner.core.set(core);
    }

    /// The address of the server's memory, which identifies it in the lists of other modules.
    fn place(&self) -> *const () {
        Rc::as_ptr(&self.inner).cast()
    }

    fn downgrade(&self) -> Weak<Inner> {
        Rc::downgrade(&self.inner)
    }

    fn core(&self) -> Option<&Rc<Core>> {
        self.inner.core.get().filter(|core| !core.is_closed())
    }

    /// Updates whether this server keeps the loop alive.
    // PROC-01
    fn sync_hold(&self) {
        let Some(core) = self.core() else { return };
        let mut state = self.inner.state.borrow_mut();
        let holds = state.referred && state.acceptor.is_listening();
        if std::mem::replace(&mut state.holding, holds) != holds {
            match holds {
                true => core.hold(),
                false => core.release(),
            }
        }
    }
}

/// # State
impl Server {
    /// Returns whether the server is listening. Node: `listening`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| {});
    ///     assert!(!server.is_listening());
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         assert!(server.is_listening());
    ///         assert!(!server.close().is_listening());
    ///     })
    /// })
    /// # }
    /// ```
    pub fn is_listening(&self) -> bool {
        self.inner.state.borrow().acceptor.is_listening()
    }

    /// Returns the address on which the server listens. It contains the port that the system chose if port
    /// 0 was requested. `None` if the server is not listening. Node: `server.address()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| {});
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         assert_eq!(server.address().unwrap().ip().unwrap().ip().to_string(), "127.0.0.1");
    ///         server.close();
    ///         assert_eq!(server.address(), None);
    ///     })
    /// })
    /// # }
    /// ```
    pub fn address(&self) -> Option<Address> {
        let keeps = self.inner.core.get().is_some_and(|core| core.policy.keeps_server_path);
        let state = self.inner.state.borrow();
        let path = state.last_path.clone().filter(|_| keeps);
        state.address.clone().or(path)
    }

    /// Returns the TCP port on which the server listens: the one that the system chose if port 0 was
    /// requested. `None` on a Unix socket, and if the server is not listening. Node:
    /// `server.address().port`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| {});
    ///     assert_eq!(server.port(), None);
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         assert_ne!(server.port(), Some(0));
    ///         server.close();
    ///     })
    /// })
    /// # }
    /// ```
    pub fn port(&self) -> Option<u16> {
        self.address()?.port()
    }

    /// Returns the endpoint at which a client on this machine reaches the server: its address, with the
    /// loopback address in place of a wildcard. `None` if the server is not listening. No counterpart in
    /// Node.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| {});
    ///     // On all addresses of the machine; a client uses the loopback address.
    ///     server.listen_then(0, |server| {
    ///         let endpoint = server.endpoint().unwrap().to_string();
    ///         assert!(endpoint.starts_with("[::1]:") || endpoint.starts_with("127.0.0.1:"));
    ///         server.close();
    ///     })
    /// })
    /// # }
    /// ```
    pub fn endpoint(&self) -> Option<Endpoint> {
        let mut address = self.address()?;
        if let Address::Ip(ip) = &mut address {
            if ip.ip().is_unspecified() {
                ip.set_ip(match ip.is_ipv4() {
                    true => IpAddr::V4(Ipv4Addr::LOCALHOST),
                    false => IpAddr::V6(Ipv6Addr::LOCALHOST),
                });
            }
        }
        address.try_into().ok()
    }

    /// Returns the number of accepted connections that are not destroyed yet. Node: `getConnections`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         assert_eq!(socket.server().unwrap().connections(), 1);
    ///         socket.end();
    ///     });
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         assert_eq!(server.connections(), 0, "it is not accepted yet");
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "getConnections")]
    pub fn connections(&self) -> usize {
        self.inner.state.borrow().acceptor.connections()
    }

    /// Returns how many connections were accepted and closed at once because the process had run out of
    /// file descriptors or memory. Their clients see a connection that ends immediately. No event is
    /// emitted, as in Node; only this counter and the log (`tracing`, level WARN) report them.
    // SRV-23
    pub fn shed_connections(&self) -> u64 {
        self.inner.state.borrow().acceptor.shed_connections()
    }

    /// Returns the maximum number of open connections, or `None` if there is no limit. Node:
    /// `maxConnections`.
    #[doc(alias = "maxConnections")]
    pub fn max_connections(&self) -> Option<usize> {
        self.inner.state.borrow().acceptor.limits().max_connections
    }

    /// Sets the maximum number of open connections. It applies from the next connection on. `Some(0)`
    /// refuses all connections, `None` removes the limit. A refused connection emits
    /// [`on_drop`](Self::on_drop). Node: `maxConnections`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| unreachable!("all are refused"));
    ///     server.set_max_connections(Some(0));
    ///     server.on_drop(|server, refused| {
    ///         assert!(refused.is_some());
    ///         server.close();
    ///     });
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         assert_eq!(server.max_connections(), Some(0));
    ///         fyke::connect(server.endpoint().unwrap()).unwrap().resume();
    ///     })
    /// })
    /// # }
    /// ```
    pub fn set_max_connections(&self, max: Option<usize>) {
        self.inner.state.borrow_mut().acceptor.set_max_connections(max);
    }

    /// Returns the list that connections are checked against, if one was set. Node: `server.blockList`.
    #[doc(alias = "blockList")]
    pub fn block_list(&self) -> Option<BlockList> {
        self.inner.state.borrow().options.block_list.clone()
    }

    /// Makes this server keep the loop alive while it listens (the default). Node: `server.ref()`.
    #[doc(alias = "ref")]
    pub fn ref_loop(&self) -> &Self {
        self.set_referred(true)
    }

    /// Allows the loop to end while this server is listening. Node: `server.unref()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| {});
    ///     server.unref_loop();
    ///     server.listen(("127.0.0.1", 0)) // `run` returns, because nothing else is open
    /// })
    /// # }
    /// ```
    #[doc(alias = "unref")]
    pub fn unref_loop(&self) -> &Self {
        self.set_referred(false)
    }

    fn set_referred(&self, referred: bool) -> &Self {
        self.inner.state.borrow_mut().referred = referred;
        self.sync_hold();
        self
    }

    fn not_running() -> Error {
        Error::new(ErrorCode::ERR_SERVER_NOT_RUNNING, "the server is not listening")
    }
}

/// # Server
impl Socket {
    /// Returns the server that accepted this socket. `None` for outgoing sockets, and if the server no
    /// longer exists.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         let server = socket.server().unwrap();
    ///         assert_eq!(server.connections(), 1);
    ///         socket.end();
    ///     });
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         assert!(client.server().is_none(), "no server accepted it");
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    pub fn server(&self) -> Option<Server> {
        let inner = self.accepted_by()?.as_any().downcast().ok()?;
        Some(Server { inner })
    }
}

/// Two handles are equal if they refer to the same server.
impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Server {}

/// Hashes the server's identity, so that servers can be the keys of a map.
impl std::hash::Hash for Server {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Rc::as_ptr(&self.inner).hash(state);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address())
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}
