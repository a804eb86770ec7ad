//! `Server`: listens, accepts, counts its connections, closes.

mod accepting;
mod actor;
#[cfg(unix)]
mod adopting;
mod bound;
mod drain;
mod events;
#[cfg(unix)]
mod handing_over;
mod listener;
mod listening;
mod options;
mod remote;
mod shutdown;

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::{Rc, Weak};

use fyke_driver::{Address, SocketId};
use fyke_machine::acceptor::Acceptor;

use drain::Drain;
pub use drain::ShutdownOutcome;
pub use listener::RefusedConnection;
use listener::{Event, Listener};
pub use options::{ListenOptions, ServerOptions, StaleFile};
pub use remote::ServerRef;

use crate::listeners::Listeners;
use crate::lookup::Ticket;
use crate::socket::{Origin, Socket};
use crate::wiring::{Core, current_or_none};
use crate::{AbortSignal, BlockList, Endpoint, Error, ErrorCode};

/// A TCP or Unix-socket server: Node's `net.Server`.
///
/// Made by [`create_server`]. A cheap clone of one object; the loop keeps a listening one alive, so
/// dropping your handle closes nothing: its port is free when [`close`](Server::close) returns, or
/// with the loop. To wait for the end of its connections too, [`close_then`](Server::close_then).
/// Not `Send`: it belongs to its loop's thread.
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
}

/// What may happen to a server is decided by its [`Acceptor`].
struct State {
    acceptor: Acceptor,
    options: ServerOptions,
    listener: Option<SocketId>,
    /// Connections have the options of the listener.
    inherits: bool,
    address: Option<Address>,
    /// The path where it listens, or listened last.
    last_path: Option<Address>,
    /// The lookup that the last `listen` waits for.
    lookup: Option<Ticket>,
    /// What its connections share, from the first one until the server listens no more.
    origin: Option<Rc<Origin>>,
    /// What the last `listen` was given.
    signal: Option<AbortSignal>,
    referred: bool,
    holding: bool,
    /// A shutdown that is under way.
    drain: Option<Box<Drain<Server>>>,
}

/// Makes a server; `f` runs for every connection. Call [`listen`](Server::listen) next. Node:
/// `net.createServer(listener)`.
///
/// `examples/server.rs`:
///
#[doc = concat!("```no_run\n", include_str!("../../examples/server.rs"), "```")]
#[doc(alias = "createServer")]
pub fn create_server(f: impl FnMut(&Socket) + 'static) -> Server {
    ServerOptions::new().create_server(f)
}

/// # Making
impl ServerOptions {
    /// Makes the server; `f` runs for every connection.
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
    /// A server without a listener. Node: `new net.Server()`.
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
            }),
        };
        if let Some(core) = current_or_none() {
            server.join(core);
        }
        server
    }

    fn join(&self, core: Rc<Core>) {
        core.remember(self.downgrade());
        // Only called when it is empty.
        let _ = self.inner.core.set(core);
    }

    /// Where it lies, by which it is found in lists of others.
    fn place(&self) -> *const () {
        Rc::as_ptr(&self.inner).cast()
    }

    fn downgrade(&self) -> Weak<Inner> {
        Rc::downgrade(&self.inner)
    }

    fn core(&self) -> Option<&Rc<Core>> {
        self.inner.core.get().filter(|core| !core.is_closed())
    }

    /// Tells the loop whether it must go on for this server (PROC-01).
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
    /// Whether it listens.
    pub fn is_listening(&self) -> bool {
        self.inner.state.borrow().acceptor.is_listening()
    }

    /// Where it listens: with the port that the system chose, if 0 was asked for. None when it
    /// does not listen.
    pub fn address(&self) -> Option<Address> {
        let keeps = self.inner.core.get().is_some_and(|core| core.policy.keeps_server_path);
        let state = self.inner.state.borrow();
        let path = state.last_path.clone().filter(|_| keeps);
        state.address.clone().or(path)
    }

    /// Where a client on this machine reaches it: the address, with the loopback address in the
    /// place of a wildcard. None when it does not listen.
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

    /// How many accepted connections are not destroyed. Node: `getConnections`.
    #[doc(alias = "getConnections")]
    pub fn connections(&self) -> usize {
        self.inner.state.borrow().acceptor.connections()
    }

    /// How many connections were accepted and closed at once because the process had no
    /// descriptors or memory left for them. Their clients see a connection that ends; there is no
    /// event, as in Node (SRV-23), so look here if you want to know.
    pub fn shed_connections(&self) -> u64 {
        self.inner.state.borrow().acceptor.shed_connections()
    }

    /// How many connections are kept at most. Node: `maxConnections`.
    #[doc(alias = "maxConnections")]
    pub fn max_connections(&self) -> Option<usize> {
        self.inner.state.borrow().acceptor.limits().max_connections
    }

    /// Sets how many connections are kept at most, from the next one on; 0 refuses all, none
    /// means no limit. See [`on_drop`](Self::on_drop).
    pub fn set_max_connections(&self, max: Option<usize>) {
        self.inner.state.borrow_mut().acceptor.set_max_connections(max);
    }

    /// The list that connections are checked against. Node: `server.blockList`.
    #[doc(alias = "blockList")]
    pub fn block_list(&self) -> Option<BlockList> {
        self.inner.state.borrow().options.block_list.clone()
    }

    /// Keeps the loop alive while this server listens (the default). Node: `server.ref()`.
    #[doc(alias = "ref")]
    pub fn ref_loop(&self) -> &Self {
        self.set_referred(true)
    }

    /// Lets the loop end though this server listens. Node: `server.unref()`.
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
        Error::new(ErrorCode::ERR_SERVER_NOT_RUNNING, "the server does not listen")
    }
}

/// # Server
impl Socket {
    /// The server that accepted it; none on clients, and when the server is gone.
    pub fn server(&self) -> Option<Server> {
        let inner = self.accepted_by()?.as_any().downcast().ok()?;
        Some(Server { inner })
    }
}

/// Two handles are equal when they are clones of one server.
impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Server {}

/// By identity, so that servers can be keys of a map.
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
