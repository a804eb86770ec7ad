//! Options of servers, and of listening.

use std::time::Duration;

use fyke_machine::acceptor::Limits;

use crate::socket_options::{HIGH_WATER_MARK_BYTES, SocketOptions};
use crate::{AbortSignal, BlockList, Endpoint, Error, Result};

/// Connections that wait to be accepted, when nothing else is asked for: Node's number.
pub(super) const BACKLOG: u32 = 511;

/// Options of a server, most of them for the sockets it accepts. The last call makes it.
///
/// ```
/// use fyke::ServerOptions;
///
/// let server = ServerOptions::new()
///     .allow_half_open(true)
///     .max_connections(1000)
///     .create_server(|socket| { socket.pipe(socket); });
/// assert_eq!(server.max_connections(), Some(1000));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    pub(super) socket: SocketOptions,
    pub(super) pause_on_connect: bool,
    pub(super) limits: Limits,
    pub(super) block_list: Option<BlockList>,
}

impl ServerOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepted sockets stay writable after their peer has ended, see
    /// [`SocketOptions::allow_half_open`]. Default false.
    ///
    /// `examples/half_open.rs`:
    ///
    #[doc = concat!("```no_run\n", include_str!("../../examples/half_open.rs"), "```")]
    #[must_use]
    pub fn allow_half_open(mut self, allow: bool) -> Self {
        self.socket = self.socket.allow_half_open(allow);
        self
    }

    /// Accepted sockets are paused, and nothing is received before `resume`. Default false.
    #[must_use]
    pub fn pause_on_connect(mut self, pause: bool) -> Self {
        self.pause_on_connect = pause;
        self
    }

    /// As [`SocketOptions::no_delay`], for accepted sockets.
    #[must_use]
    pub fn no_delay(mut self, no_delay: bool) -> Self {
        self.socket = self.socket.no_delay(no_delay);
        self
    }

    /// As [`SocketOptions::keep_alive`], for accepted sockets.
    #[must_use]
    pub fn keep_alive(mut self, initial_delay: Duration) -> Self {
        self.socket = self.socket.keep_alive(initial_delay);
        self
    }

    /// As [`SocketOptions::send_buffer_size_bytes`], for accepted sockets: set on the listener, from
    /// which they have it.
    #[must_use]
    pub fn send_buffer_size_bytes(mut self, bytes: usize) -> Self {
        self.socket = self.socket.send_buffer_size_bytes(bytes);
        self
    }

    /// As [`SocketOptions::receive_buffer_size_bytes`], for accepted sockets: set on the listener,
    /// from which they have it, before it listens.
    #[must_use]
    pub fn receive_buffer_size_bytes(mut self, bytes: usize) -> Self {
        self.socket = self.socket.receive_buffer_size_bytes(bytes);
        self
    }

    /// As [`SocketOptions::high_water_mark`], for accepted sockets. Default 65,536.
    #[must_use]
    pub fn high_water_mark(mut self, bytes: usize) -> Self {
        self.socket = self.socket.high_water_mark(bytes);
        self
    }

    /// As [`SocketOptions::write_queue_bytes_max`], for accepted sockets.
    #[must_use]
    pub fn write_queue_bytes_max(mut self, bytes: usize) -> Self {
        self.socket = self.socket.write_queue_bytes_max(bytes);
        self
    }

    /// As [`SocketOptions::write_stall_timeout`], for accepted sockets.
    #[must_use]
    pub fn write_stall_timeout(mut self, timeout: Duration) -> Self {
        self.socket = self.socket.write_stall_timeout(timeout);
        self
    }

    /// Accepts at most `max` connections at a time, see
    /// [`Server::set_max_connections`](crate::Server::set_max_connections). Default: no limit.
    #[must_use]
    pub fn max_connections(mut self, max: usize) -> Self {
        self.limits.max_connections = Some(max);
        self
    }

    /// The maximum number of connections from one IPv4 address or one IPv6 network of
    /// [`per_ip_prefix_v6`](Self::per_ip_prefix_v6) bits; further ones are dropped as with
    /// [`max_connections`](Self::max_connections). An IPv4-mapped IPv6 address counts as its IPv4
    /// address. Unix sockets are not limited. Default: no limit. fyke's own.
    #[must_use]
    pub fn max_connections_per_ip(mut self, max: usize) -> Self {
        self.limits.max_per_group = Some(max);
        self
    }

    /// How many leading bits of an IPv6 address
    /// [`max_connections_per_ip`](Self::max_connections_per_ip) compares: 1 to 128, other values are
    /// moved into that range. Default 64, because one customer usually has a whole /64 network, and
    /// with it 2^64 addresses; 128 counts each address by itself, 56 or 48 sees through larger
    /// assignments. fyke's own.
    #[must_use]
    pub fn per_ip_prefix_v6(mut self, bits: u8) -> Self {
        self.limits.set_prefix_v6(bits);
        self
    }

    /// Connections from the addresses of this list are closed at once, without an event. The list
    /// is asked for every connection, so rules may change at any time. Not for Unix sockets. Node:
    /// `blockList`.
    #[must_use]
    #[doc(alias = "blockList")]
    pub fn block_list(mut self, list: &BlockList) -> Self {
        self.block_list = Some(list.clone());
        self
    }
}

/// Options of listening. The last call listens.
///
/// ```
/// # fn main() -> fyke::Result<()> {
/// fyke::run(|| {
///     let server = fyke::create_server(|_| {});
///     fyke::ListenOptions::new(("::1", 0))
///         .backlog(64)
///         .listen_then(&server, |server| { server.close(); })
/// })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ListenOptions {
    pub(super) endpoint: Endpoint,
    /// The first value that is not valid.
    wrong: Option<Error>,
    pub(super) backlog: u32,
    pub(super) ipv6_only: bool,
    pub(super) reuse_port: bool,
    pub(super) readable_all: bool,
    pub(super) writable_all: bool,
    mode: Option<u32>,
    pub(super) stale_file: StaleFile,
    pub(super) signal: Option<AbortSignal>,
    pub(super) send_buffer_bytes: Option<usize>,
    pub(super) receive_buffer_bytes: Option<usize>,
}

/// Whether a file that is in the way of a Unix socket is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StaleFile {
    /// It stays: the error is `EADDRINUSE`, as in Node.
    #[default]
    Never,
    /// If it is a socket on which nobody listens, as a killed server leaves it, remove it and try
    /// again. Not for servers that may start at the same moment: one could remove the other's.
    IfStale,
}

impl ListenOptions {
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
            backlog: BACKLOG,
            ipv6_only: false,
            reuse_port: false,
            readable_all: false,
            writable_all: false,
            mode: None,
            stale_file: StaleFile::Never,
            signal: None,
            send_buffer_bytes: None,
            receive_buffer_bytes: None,
        }
    }

    /// An error if a value is not valid.
    pub(super) fn check(&self) -> Result<()> {
        self.wrong.clone().map_or(Ok(()), Err)
    }

    /// How many connections may wait to be accepted; the system cuts it to its own limit (Linux:
    /// `net.core.somaxconn`). 0 means the default, 511.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = if connections == 0 { BACKLOG } else { connections };
        self
    }

    /// On an IPv6 wildcard, takes no IPv4 connections. Default false.
    #[must_use]
    pub fn ipv6_only(mut self, only: bool) -> Self {
        self.ipv6_only = only;
        self
    }

    /// As [`ServerOptions::send_buffer_size_bytes`], and in place of it, for the connections that
    /// come from this `listen`.
    #[must_use]
    pub fn send_buffer_size_bytes(mut self, bytes: usize) -> Self {
        self.send_buffer_bytes = Some(bytes);
        self
    }

    /// As [`ServerOptions::receive_buffer_size_bytes`], and in place of it, for the connections
    /// that come from this `listen`.
    #[must_use]
    pub fn receive_buffer_size_bytes(mut self, bytes: usize) -> Self {
        self.receive_buffer_bytes = Some(bytes);
        self
    }

    /// Shares the port with other listeners that ask for it too; the kernel spreads the
    /// connections (SO_REUSEPORT). Default false.
    #[must_use]
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// Lets everybody on the machine read from the Unix socket's file. With either of the two, the
    /// file's mode is exactly 0444, 0222 or 0666. Default: the mask decides. Node: `readableAll`.
    #[must_use]
    #[doc(alias = "readableAll")]
    pub fn readable_all(mut self, all: bool) -> Self {
        self.readable_all = all;
        self
    }

    /// Lets everybody on the machine write to the Unix socket's file, which is what connecting
    /// needs. Node: `writableAll`.
    #[must_use]
    #[doc(alias = "writableAll")]
    pub fn writable_all(mut self, all: bool) -> Self {
        self.writable_all = all;
        self
    }

    /// Gives the Unix socket's file exactly this mode, before anybody can connect: 0o660 for a
    /// group. It beats the two above. Default: they and the mask decide. fyke's own.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode & 0o777);
        self
    }

    /// What to do when the path of the Unix socket is taken. Default: [`StaleFile::Never`]. fyke's
    /// own.
    #[must_use]
    pub fn stale_file(mut self, policy: StaleFile) -> Self {
        self.stale_file = policy;
        self
    }

    /// The mode that the file shall have, if any was asked for.
    pub(super) fn file_mode(&self) -> Option<u32> {
        match (self.readable_all, self.writable_all) {
            _ if self.mode.is_some() => self.mode,
            (false, false) => None,
            (true, false) => Some(0o444),
            (false, true) => Some(0o222),
            (true, true) => Some(0o666),
        }
    }

    /// Closes the server when the signal is aborted; one that is aborted already closes it on the
    /// tick. Connections stay. Node: `signal`.
    #[must_use]
    pub fn signal(mut self, signal: &AbortSignal) -> Self {
        self.signal = Some(signal.clone());
        self
    }
}

const _: () = assert!(HIGH_WATER_MARK_BYTES == 65_536, "the documents say so");
