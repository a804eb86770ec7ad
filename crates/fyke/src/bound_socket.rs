//! `BoundSocket`: a name that is taken before anybody knows what for (BND-01 … BND-12).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use fyke_driver::{Address, Open, SocketId, Transport};

use crate::wiring::{Core, current};
use crate::{AbortSignal, Endpoint, Error, ErrorCode, Result};
use fyke_machine::error::MakeError;

/// A socket that is bound, and neither listens nor is connected: Node's `net.BoundSocket`.
///
/// The bind is done when the constructor returns, so [`address`](Self::address) knows the port at
/// once, and an address in use is an `Err` there and then. After that it becomes a server's
/// ([`Server::listen_bound`](crate::Server::listen_bound)) or a client's
/// ([`Socket::from_bound`](crate::Socket::from_bound)), or it is dropped, which frees the
/// address and removes the file of a Unix socket. It does not keep the loop alive.
///
/// Whoever adopts it takes it by value, so nothing can be used up twice; where Node throws
/// `ERR_SOCKET_HANDLE_ADOPTED`, this does not compile:
///
/// ```compile_fail
/// let bound = fyke::BoundSocket::bind(("127.0.0.1", 0))?;
/// let socket = fyke::Socket::from_bound(bound);
/// println!("{}", bound.address());
/// # Ok::<(), fyke::Error>(())
/// ```
///
/// A server whose port is known before it listens, and a client with a port of its own:
///
/// ```
/// use fyke::{BoundSocket, Socket};
///
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let bound = BoundSocket::bind(("127.0.0.1", 0))?;
///     let endpoint: fyke::Endpoint = bound.address().clone().try_into()?;
///     println!("will listen on {endpoint}");
///     let server = fyke::create_server(|socket| {
///         println!("{:?} is here", socket.remote_address());
///         socket.end();
///         socket.server().unwrap().close();
///     });
///     server.listen_bound(bound)?;
///
///     let client = Socket::from_bound(BoundSocket::bind(("127.0.0.1", 0))?);
///     println!("will come from {:?}", client.local_address());
///     client.connect_then(endpoint, |client| { client.resume(); })
/// })
/// # }
/// ```
pub struct BoundSocket {
    core: Rc<Core>,
    /// None when somebody has taken it.
    id: Option<SocketId>,
    address: Address,
    pub(crate) backlog: u32,
    pub(crate) signal: Option<AbortSignal>,
}

/// # Making
impl BoundSocket {
    /// Binds `endpoint`: an IP address and a port, a port alone (on 0.0.0.0), or the name of a Unix
    /// socket, whose file exists from here on. Port 0 lets the system choose, and so does an empty
    /// path: then it is an abstract name (Linux).
    ///
    /// TCP sockets set SO_REUSEADDR, so two may be bound to one port; then the first to listen
    /// wins (BND-04). Node: `new net.BoundSocket(options)`.
    ///
    /// # Errors
    /// With the syscall `bind` and the address what the system says: `EADDRINUSE`,
    /// `EADDRNOTAVAIL`; `EACCES` also for a missing directory, `EINVAL` for a path too long or
    /// with a NUL byte. `ERR_INVALID_ARG_VALUE` for a host name, which would need a lookup;
    /// `ERR_SOCKET_BAD_PORT` and `ERR_INVALID_ARG_VALUE` for an endpoint that is none;
    /// `ERR_NO_EVENT_LOOP` outside of a loop.
    pub fn bind<E>(endpoint: E) -> Result<Self>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        BindOptions::new(endpoint).bind()
    }

    /// Takes a descriptor over that is bound, and neither listens nor is connected: the other half
    /// of [`into_fd`](Self::into_fd). The file of a Unix socket is not its own and stays. The
    /// descriptor is closed also when this fails.
    ///
    /// # Errors
    /// `ERR_INVALID_FD_TYPE` for anything else; what the system says, with the syscall `open`, if it
    /// cannot take the descriptor over; `ERR_NO_EVENT_LOOP` outside of a loop.
    #[cfg(unix)]
    pub fn from_fd(fd: std::os::fd::OwnedFd) -> Result<Self> {
        let core = current()?;
        let refused = || {
            let message = "the descriptor is not a bound stream socket";
            Error::new(ErrorCode::ERR_INVALID_FD_TYPE, message)
        };
        let adopted = core.driver.adopt(fd);
        let (id, adopted) = adopted.map_err(|source| adopt_error(source, refused))?;
        let bound = Self::own(core, id);
        let named = match bound.address() {
            Address::Ip(address) => address.port() != 0,
            address => *address != Address::Unnamed,
        };
        match adopted {
            fyke_driver::Adopted::Unconnected if named => Ok(bound),
            _ => Err(refused()),
        }
    }

    /// A socket that was opened or adopted, and belongs to nobody yet.
    pub(crate) fn own(core: Rc<Core>, id: SocketId) -> Self {
        let address = core.driver.local_address(id).unwrap_or(Address::Unnamed);
        Self { core, id: Some(id), address, backlog: 0, signal: None }
    }
}

/// # Options of listening
impl BoundSocket {
    /// How many connections may wait to be accepted, when a server adopts it; as
    /// [`ListenOptions::backlog`](crate::ListenOptions::backlog). Default 511.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Closes the server that adopts it when the signal is aborted; as
    /// [`ListenOptions::signal`](crate::ListenOptions::signal).
    #[must_use]
    pub fn signal(mut self, signal: &AbortSignal) -> Self {
        self.signal = Some(signal.clone());
        self
    }
}

/// # State
impl BoundSocket {
    /// Where it is bound, with the port that the system chose; the path as it was given.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether it is a Unix socket. Node: `isPipe`.
    #[doc(alias = "isPipe")]
    pub fn is_unix(&self) -> bool {
        self.address.is_unix()
    }

    /// The number of its descriptor, to look at; it still belongs to this. None in the simulated
    /// network. Node: `fd()`.
    #[cfg(unix)]
    #[doc(alias = "fd")]
    pub fn as_raw_fd(&self) -> Option<std::os::fd::RawFd> {
        self.core.driver.raw_fd(self.id?)
    }

    /// Closes it unused, as dropping it does.
    pub fn close(self) {}

    /// Gives the descriptor out, for [`from_fd`](Self::from_fd) in the loop of another thread or
    /// process. It stays bound, and non-blocking. TCP only (PROC-18).
    ///
    /// # Errors
    /// Hands it back: with `ERR_WORKER_HANDLE_NOT_TRANSFERABLE` a Unix socket, whose file nobody
    /// would remove; with `ENOTSUP` in the simulated network.
    #[cfg(unix)]
    pub fn into_fd(mut self) -> Result<std::os::fd::OwnedFd, NotAdopted> {
        if self.is_unix() {
            let message = "nobody would remove the file of the Unix socket";
            let code = ErrorCode::ERR_WORKER_HANDLE_NOT_TRANSFERABLE;
            return Err(NotAdopted::new(Error::new(code, message), self));
        }
        let Some(id) = self.id else { unreachable!("only taking it by value empties it") };
        match self.core.detach(id) {
            Ok(fd) => {
                self.id = None;
                Ok(fd)
            }
            Err(source) => Err(NotAdopted::new(Error::system("detach", source), self)),
        }
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// Empties it: its socket belongs to the caller from here on. None if it was empty.
    pub(crate) fn take(&mut self) -> Option<SocketId> {
        self.id.take()
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.core.close(id);
        }
    }
}

impl fmt::Debug for BoundSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundSocket").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Options of a [`BoundSocket`]. The last call binds it.
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let bound = fyke::BindOptions::new(0_u16).ipv6_only(true).bind()?;
///     assert!(bound.address().to_string().starts_with("[::]:"));
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BindOptions {
    endpoint: Result<Endpoint>,
    ipv6_only: bool,
    reuse_port: bool,
}

impl BindOptions {
    /// Options with the defaults. Never fails: an endpoint that cannot be parsed is the error of
    /// [`bind`](Self::bind).
    pub fn new<E>(endpoint: E) -> Self
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        let endpoint = endpoint.try_into().map_err(Error::from);
        Self { endpoint, ipv6_only: false, reuse_port: false }
    }

    /// On an IPv6 wildcard, takes no IPv4 connections; a port alone is then one of `::`. Without
    /// effect on an IPv4 address. Default false.
    #[must_use]
    pub fn ipv6_only(mut self, only: bool) -> Self {
        self.ipv6_only = only;
        self
    }

    /// Shares the port with others that ask for it too (SO_REUSEPORT). Default false.
    #[must_use]
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// Binds.
    ///
    /// # Errors
    /// As [`BoundSocket::bind`]; `ERR_INVALID_ARG_VALUE` also for a Unix socket with either of
    /// these options.
    pub fn bind(self) -> Result<BoundSocket> {
        let address = self.place()?;
        let core = current()?;
        core.check_open()?;
        let mut request = Open::new(Transport::of(&address));
        request.bind = Some(address.clone());
        request.reuse_address = !address.is_unix();
        request.reuse_port = self.reuse_port;
        request.ipv6_only = (!address.is_unix()).then_some(self.ipv6_only);
        let opened = core.driver.open(&request).map_err(|error| {
            let missing = address.is_unix() && error.source.kind() == std::io::ErrorKind::NotFound;
            let failed =
                Error::system("bind", error.source).at(address.clone(), core.policy.words_as_node);
            // As a server says it (IPC-06).
            if missing { failed.with_code(ErrorCode::EACCES) } else { failed }
        });
        let mut bound = BoundSocket::own(core, opened?);
        if let Address::Path(_) = address {
            // As it was given (BND-10).
            bound.address = address;
        }
        Ok(bound)
    }

    /// What to bind, if these options fit it (BND-02).
    fn place(&self) -> Result<Address> {
        let any: IpAddr = match self.ipv6_only {
            true => Ipv6Addr::UNSPECIFIED.into(),
            false => Ipv4Addr::UNSPECIFIED.into(),
        };
        let refused = |message: &str| Err(Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, message));
        let address = match self.endpoint.as_ref().map_err(Clone::clone)? {
            Endpoint::Port(port) => Address::Ip((any, *port).into()),
            Endpoint::Ip(address) => Address::Ip(*address),
            Endpoint::Host(..) => return refused("only an IP address can be bound, not a name"),
            Endpoint::Path(path) if path.as_os_str().is_empty() => Address::Unnamed,
            Endpoint::Path(path) => Address::Path(path.clone()),
            Endpoint::Abstract(name) => Address::Abstract(name.clone()),
        };
        let abstract_name = matches!(address, Address::Unnamed | Address::Abstract(_));
        if abstract_name && !cfg!(any(target_os = "linux", target_os = "android")) {
            return refused("abstract names are Linux's");
        }
        match address.is_unix() && (self.ipv6_only || self.reuse_port) {
            true => refused("options of TCP for a Unix socket"),
            false => Ok(address),
        }
    }
}

/// The error of a failed adoption: `refused` if the descriptor is of the wrong kind, otherwise what
/// the system says.
#[cfg(unix)]
pub(crate) fn adopt_error(source: std::io::Error, refused: fn() -> Error) -> Error {
    match fyke_driver::errno_name(&source) {
        "ENOTSOCK" | "EINVAL" | "EBADF" | "ENOTSUP" => refused(),
        _ => Error::system("open", source),
    }
}

/// A [`BoundSocket`] that was not adopted, and why. As an [`Error`], by `?`, it closes the socket.
#[non_exhaustive]
pub struct NotAdopted {
    /// Why.
    pub error: Error,
    /// The socket, as it was.
    pub bound: BoundSocket,
}

impl NotAdopted {
    pub(crate) fn new(error: Error, bound: BoundSocket) -> Self {
        Self { error, bound }
    }
}

impl From<NotAdopted> for Error {
    fn from(refused: NotAdopted) -> Self {
        refused.error
    }
}

impl fmt::Display for NotAdopted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for NotAdopted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl std::error::Error for NotAdopted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
