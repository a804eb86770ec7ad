//! Connecting: the options, and which address to try when.

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

/// Options of a connection. The last call makes it.
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
    /// The first value that is not valid.
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
    /// Options with the defaults.
    ///
    /// Never fails: an endpoint that cannot be parsed is the error of the verb that uses the options, as is the
    /// value of any other option that is not valid. `ERR_SOCKET_BAD_PORT` and `ERR_INVALID_ARG_VALUE` for
    /// text; the latter also for a host name with a NUL byte, and for an empty path or abstract name.
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

    /// The address of our end. Default: what the system chooses.
    #[must_use]
    pub fn local_address(mut self, address: IpAddr) -> Self {
        self.local_address = Some(address);
        self
    }

    /// The port of our end. Default 0: what the system chooses.
    #[must_use]
    pub fn local_port(mut self, port: u16) -> Self {
        self.local_port = port;
        self
    }

    /// Uses only addresses of this family when a host name is resolved. A numeric host is taken as
    /// it is (CON-22).
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.family = Some(family);
        self
    }

    /// Which addresses of the family, or of both, a lookup gives. Default:
    /// [`LookupHints::ADDRCONFIG`] without a [`family`](Self::family), and none with one. Node:
    /// `hints`, where 0 means the default.
    #[must_use]
    pub fn hints(mut self, hints: LookupHints) -> Self {
        self.hints = Some(hints);
        self
    }

    /// What to do when the host has several addresses. Default: the process's, see
    /// [`family_selection`](crate::family_selection), at first [`FamilySelection::Race`]. Without
    /// effect when the family or our own address is given: then only the first address is tried
    /// (HE-07).
    #[must_use]
    pub fn family_selection(mut self, selection: FamilySelection) -> Self {
        self.selection = Some(selection);
        self
    }

    /// How long [`FamilySelection::Sequential`] tries one address before it is given up for the
    /// next; the last has no limit. Default: the process's, at first 500 ms; less than 10 ms is
    /// raised to that. Zero and more than 2,147,483,647 ms are not valid: the connect fails with
    /// `ERR_OUT_OF_RANGE`. Node: `autoSelectFamilyAttemptTimeout`.
    #[must_use]
    #[doc(alias = "autoSelectFamilyAttemptTimeout")]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        match family_selection::checked(timeout) {
            Ok(timeout) => self.attempt_timeout = Some(timeout),
            Err(error) => self.wrong = self.wrong.or(Some(error)),
        }
        self
    }

    /// Asks `f` for the addresses of a host name, instead of the system. It runs once, on the tick
    /// after the call, and may answer at once or later; [`LookupReply`] tells what happens if it
    /// does not. It is not asked about numeric hosts. Node: `lookup`.
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
    /// [`lookup`](Self::lookup) hook, takes longer than `timeout`: `lookup` and `error` carry that
    /// code with the syscall `getaddrinfo` and the host, and `close` follows. A later answer is
    /// ignored.
    ///
    /// Default: none. The system's resolver then decides when to give up; glibc takes 10 seconds
    /// for each name server (resolv.conf(5)). A host that needs no lookup is not affected. Node
    /// has no such option; [`connect_timeout`](Self::connect_timeout) limits the whole connect.
    ///
    /// The system's resolver cannot be interrupted. A loop has at most four threads for it; a
    /// lookup that has begun keeps one of them busy until the system answers, while a lookup that
    /// is still waiting for a thread leaves the queue when the connect ends. At most 4,096
    /// different names wait: further ones fail at once with `EAI_AGAIN`.
    #[must_use]
    pub fn lookup_timeout(mut self, timeout: Duration) -> Self {
        self.lookup_timeout = Some(timeout);
        self
    }

    /// An idle timeout from the beginning, so also a limit for connecting: `timeout` is emitted
    /// and nothing else happens, see
    /// [`Socket::set_idle_timeout`](crate::Socket::set_idle_timeout). Default: none.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// As [`SocketOptions::allow_half_open`].
    #[must_use]
    pub fn allow_half_open(mut self, allow: bool) -> Self {
        self.socket = self.socket.allow_half_open(allow);
        self
    }

    /// As [`SocketOptions::no_delay`].
    #[must_use]
    pub fn no_delay(mut self, no_delay: bool) -> Self {
        self.socket = self.socket.no_delay(no_delay);
        self
    }

    /// As [`SocketOptions::keep_alive`].
    #[must_use]
    pub fn keep_alive(mut self, initial_delay: Duration) -> Self {
        self.socket = self.socket.keep_alive(initial_delay);
        self
    }

    /// As [`SocketOptions::type_of_service`].
    #[must_use]
    pub fn type_of_service(mut self, value: u8) -> Self {
        self.socket = self.socket.type_of_service(value);
        self
    }

    /// As [`SocketOptions::send_buffer_size_bytes`].
    #[must_use]
    pub fn send_buffer_size_bytes(mut self, bytes: usize) -> Self {
        self.socket = self.socket.send_buffer_size_bytes(bytes);
        self
    }

    /// As [`SocketOptions::receive_buffer_size_bytes`].
    #[must_use]
    pub fn receive_buffer_size_bytes(mut self, bytes: usize) -> Self {
        self.socket = self.socket.receive_buffer_size_bytes(bytes);
        self
    }

    /// As [`SocketOptions::high_water_mark`].
    #[must_use]
    pub fn high_water_mark(mut self, bytes: usize) -> Self {
        self.socket = self.socket.high_water_mark(bytes);
        self
    }

    /// As [`SocketOptions::write_queue_bytes_max`].
    #[must_use]
    pub fn write_queue_bytes_max(mut self, bytes: usize) -> Self {
        self.socket = self.socket.write_queue_bytes_max(bytes);
        self
    }

    /// As [`SocketOptions::write_stall_timeout`].
    #[must_use]
    pub fn write_stall_timeout(mut self, timeout: Duration) -> Self {
        self.socket = self.socket.write_stall_timeout(timeout);
        self
    }

    /// As [`SocketOptions::block_list`].
    #[must_use]
    pub fn block_list(mut self, list: &BlockList) -> Self {
        self.socket = self.socket.block_list(list);
        self
    }

    /// As [`SocketOptions::signal`].
    #[must_use]
    pub fn signal(mut self, signal: &AbortSignal) -> Self {
        self.socket = self.socket.signal(signal);
        self
    }

    /// Destroys the socket with `ETIMEDOUT` if the connection is not established within `timeout`,
    /// whatever it is waiting for: the lookup, one attempt or several, or a place in the queue of a Unix
    /// server. The error has the endpoint: its address and port, or the host name. Default: no limit.
    /// fyke's own; [`idle_timeout`](Self::idle_timeout) only notifies.
    ///
    /// A Unix server whose queue is full makes the system answer `EAGAIN` (Linux). fyke then tries
    /// again, after 1 ms at first and then at most every 100 ms, until there is room or this time is
    /// over. Node, and a loop with [`node_exact`](crate::EventLoopBuilder::node_exact), reports `EAGAIN`.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Treats a connection to itself as refused. Default false.
    ///
    /// A TCP client that connects to a port of its own machine on which no server listens may get the
    /// same number as its own port, by chance, and is then connected to itself: it receives what it
    /// sends. A program that tries again and again sooner or later meets this. With `true` such a
    /// connection is reset, and the attempt fails with `ECONNREFUSED`; other addresses of the host are
    /// still tried. Without effect on Unix sockets. Node has no counterpart.
    #[must_use]
    pub fn refuse_self_connection(mut self, refuse: bool) -> Self {
        self.refuses_itself = refuse;
        self
    }

    /// An error if a value is not valid.
    pub(crate) fn check(&self) -> Result<()> {
        self.wrong.clone().map_or(Ok(()), Err)
    }

    /// Where the connect goes. Without a host it is this machine (CON-21).
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
