//! Connecting: the options, and the choice of addresses to try.

pub mod family_selection;
mod lookup_hook;

use std::net::IpAddr;
use std::time::Duration;

pub use family_selection::FamilySelection;
use fyke_driver::{Address, Family};
use fyke_machine::connection::Target;
pub(crate) use lookup_hook::LookupHook;
pub use lookup_hook::{LookupReply, LookupRequest};

use crate::socket_options::SocketOptions;
use crate::{AbortSignal, BlockList, Endpoint, Error, LookupHints, Result};

/// Options of a connection. The last call, [`connect`](Self::connect) or
/// [`connect_then`](Self::connect_then), makes it.
///
/// ```no_run
/// use std::time::Duration;
/// use fyke::ConnectOptions;
///
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let client = ConnectOptions::new(("example.org", 80))
///         .no_delay(true)
///         .idle_timeout(Duration::from_secs(10))
///         .connect_then(|client| _ = client.write("hello"))?;
///     client.on_idle_timeout(|client| { client.destroy(); });
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    pub(crate) endpoint: Endpoint,
    /// The error of the first option whose value is not valid.
    wrong: Option<Error>,
    pub(crate) local_address: Option<IpAddr>,
    pub(crate) local_port: u16,
    pub(crate) family: Option<Family>,
    hints: Option<LookupHints>,
    pub(crate) lookup: Option<LookupHook>,
    pub(crate) lookup_timeout: Option<Duration>,
    attempt_timeout: Option<Duration>,
    selection: Option<FamilySelection>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) refuses_itself: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) socket: SocketOptions,
}

impl ConnectOptions {
    /// Options for a connection to `endpoint`, with the defaults.
    ///
    /// Never fails. If the endpoint cannot be parsed or another option is not valid, the method that uses
    /// the options returns the error. For the endpoint, the codes are `ERR_SOCKET_BAD_PORT` and
    /// `ERR_INVALID_ARG_VALUE`; the latter is also the code for a host name with a NUL byte, and for an
    /// empty path or abstract name.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     // The error is reported where the options are used.
    ///     let options = fyke::ConnectOptions::new("127.0.0.1:99999");
    ///     assert_eq!(options.connect().unwrap_err().code(), fyke::ErrorCode::ERR_SOCKET_BAD_PORT);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn new<E>(endpoint: E) -> Self
    where
        E: TryInto<Endpoint>,
        Error: From<E::Error>,
    {
        let (endpoint, wrong) = Endpoint::checked_from(endpoint);
        Self {
            endpoint,
            wrong,
            local_address: None,
            local_port: 0,
            family: None,
            hints: None,
            lookup: None,
            lookup_timeout: None,
            attempt_timeout: None,
            selection: None,
            connect_timeout: None,
            refuses_itself: false,
            timeout: None,
            socket: SocketOptions::new(),
        }
    }

    /// Sets the local IP address. Default: chosen by the system. Node: `localAddress`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let options = fyke::ConnectOptions::new(("127.0.0.1", 1)).local_address([127, 0, 0, 1].into());
    ///     let client = options.connect()?;
    ///     client.on_error(|_, error| assert!(error.port().is_some()));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn local_address(mut self, address: IpAddr) -> Self {
        self.local_address = Some(address);
        self
    }

    /// Sets the local port. Default: 0, so the system chooses it. Node: `localPort`.
    #[must_use]
    pub fn local_port(mut self, port: u16) -> Self {
        self.local_port = port;
        self
    }

    /// Uses only addresses of this family when a host name is resolved. No effect on an IP address.
    /// Default: both families. Node: `family`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     use fyke::{ConnectOptions, Family};
    ///
    ///     let options = ConnectOptions::new(("my.test", 1)).family(Family::V4).lookup(|request, reply| {
    ///         assert_eq!(request.family, Some(Family::V4));
    ///         reply.answer(Ok(vec!["127.0.0.1".parse().unwrap()]));
    ///     });
    ///     options.connect()?.on_error(|_, error| println!("{error}"));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    // CON-22
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.family = Some(family);
        self
    }

    /// Selects which addresses of the family, or of both families, a lookup returns. Default:
    /// [`LookupHints::ADDRCONFIG`] if no [`family`](Self::family) is set, otherwise [`LookupHints::NONE`].
    /// Node: `hints`, where 0 means the default.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     use fyke::{ConnectOptions, LookupHints};
    ///
    ///     let options = ConnectOptions::new(("my.test", 1)).hints(LookupHints::NONE).lookup(|request, reply| {
    ///         assert_eq!(request.hints, LookupHints::NONE);
    ///         reply.answer(Ok(vec!["127.0.0.1".parse().unwrap()]));
    ///     });
    ///     options.connect()?.on_error(|_, error| println!("{error}"));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn hints(mut self, hints: LookupHints) -> Self {
        self.hints = Some(hints);
        self
    }

    /// Selects how several addresses of a host are tried. Default: the process's default, see
    /// [`family_selection`](crate::family_selection), initially [`FamilySelection::Race`]. No effect if the
    /// family or the local address is set: then only the first address is tried. Node: `autoSelectFamily`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     use fyke::{ConnectOptions, FamilySelection};
    ///
    ///     let client = ConnectOptions::new(("my.test", 1))
    ///         .family_selection(FamilySelection::Off)
    ///         .lookup(|request, reply| {
    ///             assert!(!request.all, "only the first address is tried");
    ///             reply.answer(Ok(vec!["127.0.0.1".parse().unwrap()]));
    ///         })
    ///         .connect()?;
    ///     client.on_error(|_, error| assert!(error.attempts().is_empty()));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    // HE-07
    #[must_use]
    pub fn family_selection(mut self, selection: FamilySelection) -> Self {
        self.selection = Some(selection);
        self
    }

    /// Sets how long [`FamilySelection::Sequential`] tries one address before it tries the next one. The
    /// last address has no limit. Default: the process's default, initially 500 ms. 1 ms to 10 ms is
    /// raised to 10 ms. Less than 1 ms and more than 2,147,483,647 ms are not valid: the connect fails with
    /// `ERR_OUT_OF_RANGE`. Node: `autoSelectFamilyAttemptTimeout`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let options = fyke::ConnectOptions::new(("example.org", 80));
    ///     let error = options.attempt_timeout(std::time::Duration::ZERO).connect().unwrap_err();
    ///     assert_eq!(error.code(), fyke::ErrorCode::ERR_OUT_OF_RANGE);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    #[doc(alias = "autoSelectFamilyAttemptTimeout")]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        match family_selection::checked(timeout) {
            Ok(timeout) => self.attempt_timeout = Some(timeout),
            Err(error) => self.wrong = self.wrong.or(Some(error)),
        }
        self
    }

    /// Calls `f`, instead of the system's resolver, for the addresses of a host name. `f` runs once, on the
    /// tick after the call to connect, and may answer at once or later; [`LookupReply`] describes what
    /// happens if it never answers. It is not called for an IP address. Node: `lookup`.
    ///
    /// ```
    /// use fyke::ConnectOptions;
    ///
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let options = ConnectOptions::new(("my.test", 1)).lookup(|request, reply| {
    ///         assert_eq!(request.host, "my.test");
    ///         reply.answer(Ok(vec!["127.0.0.1".parse().unwrap()]));
    ///     });
    ///     let client = options.connect()?;
    ///     client.on_error(|_, error| assert_eq!(error.port(), Some(1)));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn lookup(mut self, f: impl Fn(LookupRequest, LookupReply) + 'static) -> Self {
        self.lookup = Some(LookupHook::new(f));
        self
    }

    /// Fails the connect with `ETIMEDOUT` if name resolution, by the system or by a
    /// [`lookup`](Self::lookup) hook, takes longer than `timeout`. The `lookup` and `error` events have
    /// that code, the syscall `getaddrinfo` and the host; `close` follows. A later answer is ignored.
    ///
    /// Default: no limit. The system's resolver then decides when to give up; glibc takes 10 seconds for
    /// each name server (resolv.conf(5)). An IP address needs no lookup and is not affected. Node has no
    /// such option; [`connect_timeout`](Self::connect_timeout) limits the whole connect.
    ///
    /// The system's resolver cannot be interrupted. A loop has at most four threads for it. A lookup that
    /// has started keeps its thread busy until the system answers; a lookup that is still waiting for a
    /// thread leaves the queue when the connect ends. At most 4,096 different names can wait: further ones
    /// fail at once with `EAI_AGAIN`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     use std::time::Duration;
    ///
    ///     let options = fyke::ConnectOptions::new(("my.test", 1)).lookup_timeout(Duration::from_millis(5));
    ///     // A resolver that never answers keeps the reply.
    ///     let waiting = std::cell::RefCell::new(Vec::new());
    ///     let client = options.lookup(move |_, reply| waiting.borrow_mut().push(reply)).connect()?;
    ///     client.on_error(|_, error| assert_eq!(error.to_string(), "getaddrinfo ETIMEDOUT my.test"));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn lookup_timeout(mut self, timeout: Duration) -> Self {
        self.lookup_timeout = Some(timeout);
        self
    }

    /// Sets an idle timeout before the connect, so that it also covers the time of connecting. The timeout
    /// only emits `timeout`, see [`Socket::set_idle_timeout`](crate::Socket::set_idle_timeout). Default:
    /// none. Node: `timeout`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     use std::time::Duration;
    ///
    ///     let options = fyke::ConnectOptions::new(("127.0.0.1", 1)).idle_timeout(Duration::from_secs(10));
    ///     let client = options.connect()?;
    ///     assert_eq!(client.idle_timeout(), Some(Duration::from_secs(10)));
    ///     client.on_error(|_, _| println!("no server listens there"));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Keeps the socket writable after the peer has ended its side. Default: false. See
    /// [`SocketOptions::allow_half_open`].
    #[must_use]
    pub fn allow_half_open(mut self, allow: bool) -> Self {
        self.socket = self.socket.allow_half_open(allow);
        self
    }

    /// Sends small writes immediately (TCP_NODELAY). Default: false. See [`SocketOptions::no_delay`].
    #[must_use]
    pub fn no_delay(mut self, no_delay: bool) -> Self {
        self.socket = self.socket.no_delay(no_delay);
        self
    }

    /// Enables keep-alive probes, the first one after `initial_delay`. Default: off. See
    /// [`SocketOptions::keep_alive`].
    #[must_use]
    pub fn keep_alive(mut self, initial_delay: Duration) -> Self {
        self.socket = self.socket.keep_alive(initial_delay);
        self
    }

    /// Sets the type of service (IPv4) or traffic class (IPv6). Default: 0. See
    /// [`SocketOptions::type_of_service`].
    #[must_use]
    pub fn type_of_service(mut self, value: u8) -> Self {
        self.socket = self.socket.type_of_service(value);
        self
    }

    /// Sets the size of the kernel's send buffer. Default: the system's. See
    /// [`SocketOptions::send_buffer_size_bytes`].
    #[must_use]
    pub fn send_buffer_size_bytes(mut self, bytes: usize) -> Self {
        self.socket = self.socket.send_buffer_size_bytes(bytes);
        self
    }

    /// Sets the size of the kernel's receive buffer. Default: the system's. See
    /// [`SocketOptions::receive_buffer_size_bytes`].
    #[must_use]
    pub fn receive_buffer_size_bytes(mut self, bytes: usize) -> Self {
        self.socket = self.socket.receive_buffer_size_bytes(bytes);
        self
    }

    /// Sets the number of bytes that may be queued in each direction. Default: 65,536. See
    /// [`SocketOptions::high_water_mark`].
    #[must_use]
    pub fn high_water_mark(mut self, bytes: usize) -> Self {
        self.socket = self.socket.high_water_mark(bytes);
        self
    }

    /// Limits the write queue, in bytes. Default: 64 MiB. See [`SocketOptions::write_queue_bytes_max`].
    #[must_use]
    pub fn write_queue_bytes_max(mut self, bytes: usize) -> Self {
        self.socket = self.socket.write_queue_bytes_max(bytes);
        self
    }

    /// Limits how long queued bytes may wait without progress. Default: no limit. See
    /// [`SocketOptions::write_stall_timeout`].
    #[must_use]
    pub fn write_stall_timeout(mut self, timeout: Duration) -> Self {
        self.socket = self.socket.write_stall_timeout(timeout);
        self
    }

    /// Sets addresses that must not be connected to. Default: none. See [`SocketOptions::block_list`].
    #[must_use]
    pub fn block_list(mut self, list: &BlockList) -> Self {
        self.socket = self.socket.block_list(list);
        self
    }

    /// Destroys the socket with `ABORT_ERR` when the signal is aborted. See [`SocketOptions::signal`].
    #[must_use]
    pub fn signal(mut self, signal: &AbortSignal) -> Self {
        self.socket = self.socket.signal(signal);
        self
    }

    /// Destroys the socket with `ETIMEDOUT` if the connection is not established within `timeout`. The time
    /// includes the lookup, all attempts, and waiting for a place in the queue of a Unix server. The error
    /// contains the endpoint: its address and port, or the host name. Default: no limit. Node has no
    /// counterpart; [`idle_timeout`](Self::idle_timeout) only notifies.
    ///
    /// If the queue of a Unix server is full, the system returns `EAGAIN` (Linux). fyke then retries, after
    /// 1 ms at first and later at most every 100 ms, until there is room or `timeout` is over. Node, and a
    /// loop made with [`node_exact`](crate::EventLoopBuilder::node_exact), report `EAGAIN`.
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    /// use std::time::Duration;
    ///
    /// use fyke::{ConnectOptions, DriverKind, ErrorCode, EventLoop, sim::SimOptions};
    ///
    /// // An address that never answers, in the simulated network: ten seconds pass at once.
    /// let silent = "192.0.2.1".parse().unwrap();
    /// let network = SimOptions { silent: [silent].into(), ..SimOptions::default() };
    /// let event_loop = EventLoop::builder().driver(DriverKind::Sim(network)).build()?;
    /// let code = Rc::new(Cell::new(None));
    /// let result = Rc::clone(&code);
    /// event_loop.enter(|| -> fyke::Result<()> {
    ///     let options = ConnectOptions::new((silent, 80)).connect_timeout(Duration::from_secs(10));
    ///     options.connect()?.on_error(move |_, error| result.set(Some(error.code())));
    ///     Ok(())
    /// })?;
    /// event_loop.run()?;
    /// assert_eq!(code.get(), Some(ErrorCode::ETIMEDOUT));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Treats a connection of the socket to itself as refused. Default: false.
    ///
    /// If a TCP client connects to a port of its own machine on which no server listens, the system may by
    /// chance choose the same number as its local port. The socket is then connected to itself and receives
    /// what it sends. A program that retries repeatedly eventually meets this. With `true` such a
    /// connection is reset, and the attempt fails with `ECONNREFUSED`; other addresses of the host are
    /// still tried. No effect on Unix sockets. Node has no counterpart.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let client = fyke::ConnectOptions::new(("127.0.0.1", 1)).refuse_self_connection(true).connect()?;
    ///     client.on_error(|_, error| assert_eq!(error.code(), fyke::ErrorCode::ECONNREFUSED));
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn refuse_self_connection(mut self, refuse: bool) -> Self {
        self.refuses_itself = refuse;
        self
    }

    /// Returns the error of the first option that is not valid.
    pub(crate) fn check(&self) -> Result<()> {
        self.wrong.clone().map_or(Ok(()), Err)?;
        self.socket.wishes.check()
    }

    /// The target of the connect. Without a host it is this machine.
    // CON-21
    pub(crate) fn target(&self) -> Target {
        if let Some(address) = self.endpoint.ip_address() {
            return Target::Ip(address);
        }
        match &self.endpoint {
            Endpoint::Host(host, port) => Target::Host(host.clone(), *port),
            Endpoint::Port(port) => Target::Host(String::from("localhost"), *port),
            Endpoint::Ip(address) => Target::Ip(*address),
            Endpoint::Path(path) => Target::Unix(Address::Path(path.clone())),
            Endpoint::Abstract(name) => Target::Unix(Address::Abstract(name.clone())),
        }
    }

    pub(crate) fn selection(&self) -> FamilySelection {
        self.selection.unwrap_or_else(family_selection::default)
    }

    pub(crate) fn hints_or_default(&self) -> LookupHints {
        self.hints.unwrap_or_else(|| LookupHints::default_for(self.family))
    }

    pub(crate) fn attempt_timeout_or_default(&self) -> Duration {
        self.attempt_timeout.unwrap_or_else(family_selection::attempt_timeout)
    }
}
