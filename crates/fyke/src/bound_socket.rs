//! `BoundSocket`: an address that is bound before it is known whether a server or a client will use it.
// BND-01 … BND-12

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use fyke_driver::{Address, Open, SocketId, Transport};

use crate::wiring::{Core, current};
use crate::{AbortSignal, Endpoint, Error, ErrorCode, Result};
use fyke_machine::error::MakeError;

/// A socket that is bound, but neither listening nor connected: Node's `net.BoundSocket`.
///
/// The socket is bound when the constructor returns, so [`address`](Self::address) returns the port at
/// once, and an address in use is an `Err` at once. Afterwards a server
/// ([`Server::listen_bound`](crate::Server::listen_bound)) or a client
/// ([`Socket::from_bound`](crate::Socket::from_bound)) adopts it, or it is dropped. Dropping it releases
/// the address and removes the file of a Unix socket. A `BoundSocket` does not keep the loop alive.
///
/// Adopting takes it by value, so it cannot be used twice. Where Node throws `ERR_SOCKET_HANDLE_ADOPTED`,
/// the following does not compile:
///
/// ```compile_fail
/// let bound = fyke::BoundSocket::bind(("127.0.0.1", 0))?;
/// let socket = fyke::Socket::from_bound(bound);
/// println!("{}", bound.address());
/// # Ok::<(), fyke::Error>(())
/// ```
///
/// A server whose port is known before it listens, and a client with a given local port:
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
    /// `None` after a server or client has adopted the socket.
    id: Option<SocketId>,
    address: Address,
    pub(crate) backlog: u32,
    pub(crate) signal: Option<AbortSignal>,
}

/// # Making
impl BoundSocket {
    /// Binds `endpoint`: an IP address and a port, a port alone (on 0.0.0.0), or the name of a Unix socket,
    /// whose file is created by this call. With port 0 the system chooses the port. With an empty path
    /// (`Path::new("")`) it chooses an abstract name, as in Node (Linux; unix(7), "Autobind");
    /// `listen` and `connect` refuse an empty path, because no peer could know the name.
    ///
    /// TCP sockets set SO_REUSEADDR, so two of them may be bound to one port; then only the first one that
    /// listens succeeds. Node: `new net.BoundSocket(options)`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let bound = fyke::BoundSocket::bind(("127.0.0.1", 0))?;
    ///     assert_ne!(bound.address().port(), Some(0), "the system has chosen it");
    ///     let error = fyke::BoundSocket::bind(("example.org", 80)).unwrap_err();
    ///     assert_eq!(error.code(), fyke::ErrorCode::ERR_INVALID_ARG_VALUE);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// - The system's code, with the syscall `bind` and the address: `EADDRINUSE`, `EADDRNOTAVAIL`;
    ///   `EACCES` also if the directory does not exist; `EINVAL` if the path is too long or contains a NUL
    ///   byte.
    /// - `ERR_INVALID_ARG_VALUE` for a host name, because it would need a lookup.
    /// - `ERR_SOCKET_BAD_PORT` or `ERR_INVALID_ARG_VALUE` if the endpoint is not valid; the latter also for
    ///   an empty abstract name.
    /// - `ERR_NO_EVENT_LOOP` outside of a loop.
    // BND-04
    pub fn bind<E>(endpoint: E) -> Result<Self>
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        BindOptions::new(endpoint).bind()
    }

    /// Takes over a descriptor that is bound, but neither listening nor connected, for example one from
    /// [`into_fd`](Self::into_fd). If it is a Unix socket, its file is not removed when the `BoundSocket`
    /// is dropped. The descriptor is closed even if this call fails.
    ///
    /// # Errors
    /// - `ERR_INVALID_FD_TYPE` if the descriptor is anything else.
    /// - The system's code, with the syscall `open`, if the descriptor cannot be taken over.
    /// - `ERR_NO_EVENT_LOOP` outside of a loop.
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

    /// Wraps a socket that was opened or adopted and does not belong to a server or client yet.
    pub(crate) fn own(core: Rc<Core>, id: SocketId) -> Self {
        let address = core.driver.local_address(id).unwrap_or(Address::Unnamed);
        Self { core, id: Some(id), address, backlog: 0, signal: None }
    }
}

/// # Options of listening
impl BoundSocket {
    /// Sets how many connections may wait to be accepted when a server adopts the socket; see
    /// [`ListenOptions::backlog`](crate::ListenOptions::backlog). Default: 511.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Sets a signal that closes the adopting server when it is aborted; see
    /// [`ListenOptions::signal`](crate::ListenOptions::signal).
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let controller = fyke::AbortController::new();
    ///     let bound = fyke::BoundSocket::bind(("127.0.0.1", 0))?.signal(&controller.signal());
    ///     let server = fyke::create_server(|_| {});
    ///     server.listen_bound(bound)?;
    ///     controller.abort();
    ///     assert!(!server.is_listening());
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn signal(mut self, signal: &AbortSignal) -> Self {
        self.signal = Some(signal.clone());
        self
    }
}

/// # State
impl BoundSocket {
    /// The address that the socket is bound to, with the port that the system chose. A path is returned as
    /// it was passed to `bind`. Node: `address()`.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns whether this is a Unix socket. Node: `isPipe`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     # if cfg!(target_os = "linux") {
    ///     assert!(fyke::BoundSocket::bind("abstract:fyke-is-unix")?.is_unix());
    ///     # }
    ///     assert!(!fyke::BoundSocket::bind(("127.0.0.1", 0))?.is_unix());
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[doc(alias = "isPipe")]
    pub fn is_unix(&self) -> bool {
        self.address.is_unix()
    }

    /// The number of the descriptor. The `BoundSocket` still owns the descriptor. `None` in the simulated
    /// network. Node: `fd()`.
    #[cfg(unix)]
    #[doc(alias = "fd")]
    pub fn as_raw_fd(&self) -> Option<std::os::fd::RawFd> {
        self.core.driver.raw_fd(self.id?)
    }

    /// Closes the unused socket, as dropping it does. Node: `close()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let bound = fyke::BoundSocket::bind(("127.0.0.1", 0))?;
    ///     let address = bound.address().ip().unwrap();
    ///     bound.close();
    ///     fyke::BoundSocket::bind(address)?; // it is free again
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn close(self) {}

    /// Releases the descriptor, so that [`from_fd`](Self::from_fd) can take it over in the loop of another
    /// thread or process. The descriptor stays bound and non-blocking. TCP only.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let bound = fyke::BoundSocket::bind(("127.0.0.1", 0))?;
    ///     let address = bound.address().clone();
    ///     let fd = bound.into_fd()?; // may be sent to another thread
    ///     assert_eq!(*fyke::BoundSocket::from_fd(fd)?.address(), address);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns the socket unchanged, in [`NotAdopted`], with the code:
    /// - `ERR_WORKER_HANDLE_NOT_TRANSFERABLE` for a Unix socket, because no object would remove its file
    ///   afterwards;
    /// - `ENOTSUP` in the simulated network.
    // PROC-18
    #[cfg(unix)]
    pub fn into_fd(mut self) -> Result<std::os::fd::OwnedFd, NotAdopted> {
        if self.is_unix() {
            let message =
                "a Unix socket cannot be passed on, because its file would never be removed";
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

    /// Takes the socket out; it belongs to the caller afterwards. `None` if it was taken before.
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

/// Options of a [`BoundSocket`]. The last call, [`bind`](Self::bind), binds it.
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
    /// Options for `endpoint`, with the defaults. Never fails: if the endpoint cannot be parsed,
    /// [`bind`](Self::bind) returns the error.
    pub fn new<E>(endpoint: E) -> Self
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        let endpoint = endpoint.try_into().map_err(Error::from);
        Self { endpoint, ipv6_only: false, reuse_port: false }
    }

    /// Refuses IPv4 connections on an IPv6 wildcard address; a port alone is then bound on `::`. No effect
    /// on an IPv4 address. Default: false. Node: `ipv6Only`.
    #[must_use]
    pub fn ipv6_only(mut self, only: bool) -> Self {
        self.ipv6_only = only;
        self
    }

    /// Shares the port with other sockets that set this option (SO_REUSEPORT). Default: false. Node:
    /// `reusePort`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let bind = |port| fyke::BindOptions::new(("127.0.0.1", port)).reuse_port(true).bind();
    ///     let first = bind(0)?;
    ///     let second = bind(first.address().port().unwrap())?;
    ///     assert_eq!(first.address(), second.address());
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// Binds the endpoint.
    ///
    /// # Errors
    /// The errors of [`BoundSocket::bind`]; `ERR_INVALID_ARG_VALUE` also for a Unix socket with one of
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
            // A server reports the same code (IPC-06).
            if missing { failed.with_code(ErrorCode::EACCES) } else { failed }
        });
        let mut bound = BoundSocket::own(core, opened?);
        if let Address::Path(_) = address {
            // Store the address as it was given (BND-10).
            bound.address = address;
        }
        Ok(bound)
    }

    /// The address to bind, or an error if these options do not fit the endpoint.
    // BND-02
    fn place(&self) -> Result<Address> {
        let any: IpAddr = match self.ipv6_only {
            true => Ipv6Addr::UNSPECIFIED.into(),
            false => Ipv4Addr::UNSPECIFIED.into(),
        };
        let refused = |message: &str| Err(Error::new(ErrorCode::ERR_INVALID_ARG_VALUE, message));
        let address = match self.endpoint.as_ref().map_err(Clone::clone)? {
            Endpoint::Port(port) => Address::Ip((any, *port).into()),
            Endpoint::Ip(address) => Address::Ip(*address),
            Endpoint::Host(..) => {
                return refused("a socket can be bound to an IP address only, not to a host name");
            }
            Endpoint::Path(path) if path.as_os_str().is_empty() => Address::Unnamed,
            Endpoint::Path(path) => Address::Path(path.clone()),
            Endpoint::Abstract(name) if name.is_empty() => {
                return refused("an empty abstract name");
            }
            Endpoint::Abstract(name) => Address::Abstract(name.clone()),
        };
        let abstract_name = matches!(address, Address::Unnamed | Address::Abstract(_));
        if abstract_name && !cfg!(any(target_os = "linux", target_os = "android")) {
            return refused("abstract names exist on Linux only");
        }
        match address.is_unix() && (self.ipv6_only || self.reuse_port) {
            true => refused("ipv6_only and reuse_port are not valid for a Unix socket"),
            false => Ok(address),
        }
    }
}

/// The error of a failed adoption: `refused` if the descriptor is of the wrong kind, otherwise the system's
/// error.
#[cfg(unix)]
pub(crate) fn adopt_error(source: std::io::Error, refused: fn() -> Error) -> Error {
    match fyke_driver::errno_name(&source) {
        "ENOTSOCK" | "EINVAL" | "EBADF" | "ENOTSUP" => refused(),
        _ => Error::system("open", source),
    }
}

/// A [`BoundSocket`] that was not adopted, and the reason. Converting it into an [`Error`], for example
/// with `?`, closes the socket.
#[non_exhaustive]
pub struct NotAdopted {
    /// The reason.
    pub error: Error,
    /// The unchanged socket.
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
