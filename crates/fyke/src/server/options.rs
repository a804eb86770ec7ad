//! Options of servers and of `listen`.

use std::time::Duration;

use fyke_machine::acceptor::Limits;

use crate::socket_options::{HIGH_WATER_MARK_BYTES, SocketOptions};
use crate::{AbortSignal, BlockList, Endpoint, Error, Result};

/// The default backlog: the maximum number of connections that wait to be accepted. Node uses the same
/// number.
pub(super) const BACKLOG: u32 = 511;

/// Options of a server. Most of them apply to the sockets that it accepts. Finish with
/// [`create_server`](Self::create_server).
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
    /// Returns the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether accepted sockets stay writable after their peer has ended, see
    /// [`SocketOptions::allow_half_open`]. Default false. Node: `allowHalfOpen`.
    ///
    /// `examples/half_open.rs`:
    ///
    #[doc = concat!("```no_run\n", include_str!("../../examples/half_open.rs"), "```")]
    #[must_use]
    pub fn allow_half_open(mut self, allow: bool) -> Self {
        self.socket = self.socket.allow_half_open(allow);
        self
    }

    /// Sets whether accepted sockets start paused: they receive nothing until `resume` is called. Default
    /// false. Node: `pauseOnConnect`.
    ///
    /// ```
    /// use fyke::ServerOptions;
    ///
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = ServerOptions::new().pause_on_connect(true).create_server(|socket| {
    ///         assert!(socket.is_paused());
    ///         socket.on_text(|_, text| assert_eq!(text, "hello"));
    ///         socket.resume();
    ///     });
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.end_with("hello").resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn pause_on_connect(mut self, pause: bool) -> Self {
        self.pause_on_connect = pause;
        self
    }

    /// Sets whether accepted sockets send small writes at once, see [`SocketOptions::no_delay`]. Default
    /// false. Node: `noDelay`.
    ///
    /// ```
    /// use fyke::ServerOptions;
    ///
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = ServerOptions::new().no_delay(true).create_server(|socket| {
    ///         assert!(socket.no_delay());
    ///         socket.end();
    ///     });
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn no_delay(mut self, no_delay: bool) -> Self {
        self.socket = self.socket.no_delay(no_delay);
        self
    }

    /// Turns on keep-alive probes for accepted sockets, see [`SocketOptions::keep_alive`]. Default off.
    /// Node: `keepAlive`, `keepAliveInitialDelay`.
    ///
    /// ```
    /// use fyke::ServerOptions;
    ///
    /// const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);
    ///
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = ServerOptions::new().keep_alive(MINUTE).create_server(|socket| {
    ///         assert_eq!(socket.keep_alive().unwrap().initial_delay, MINUTE);
    ///         socket.end();
    ///     });
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn keep_alive(mut self, initial_delay: Duration) -> Self {
        self.socket = self.socket.keep_alive(initial_delay);
        self
    }

    /// Sets the size of the send buffer of accepted sockets in bytes, see
    /// [`SocketOptions::send_buffer_size_bytes`]. It is set on the listener, and accepted sockets inherit
    /// it. Default: the system's. No counterpart in Node.
    #[must_use]
    pub fn send_buffer_size_bytes(mut self, bytes: usize) -> Self {
        self.socket = self.socket.send_buffer_size_bytes(bytes);
        self
    }

    /// Sets the size of the receive buffer of accepted sockets in bytes, see
    /// [`SocketOptions::receive_buffer_size_bytes`]. It is set on the listener before it listens, and
    /// accepted sockets inherit it. Default: the system's. No counterpart in Node.
    #[must_use]
    pub fn receive_buffer_size_bytes(mut self, bytes: usize) -> Self {
        self.socket = self.socket.receive_buffer_size_bytes(bytes);
        self
    }

    /// Sets the high-water mark of accepted sockets in bytes, see [`SocketOptions::high_water_mark`].
    /// Default 65,536. Node: `highWaterMark`.
    #[must_use]
    pub fn high_water_mark(mut self, bytes: usize) -> Self {
        self.socket = self.socket.high_water_mark(bytes);
        self
    }

    /// Limits the write queue of each accepted socket, in bytes, see
    /// [`SocketOptions::write_queue_bytes_max`]. Default 64 MiB. No counterpart in Node.
    #[must_use]
    pub fn write_queue_bytes_max(mut self, bytes: usize) -> Self {
        self.socket = self.socket.write_queue_bytes_max(bytes);
        self
    }

    /// Destroys an accepted socket whose peer accepts none of the queued bytes for `timeout`, see
    /// [`SocketOptions::write_stall_timeout`]. Default: no limit. No counterpart in Node.
    #[must_use]
    pub fn write_stall_timeout(mut self, timeout: Duration) -> Self {
        self.socket = self.socket.write_stall_timeout(timeout);
        self
    }

    /// Accepts at most `max` connections at a time, see
    /// [`Server::set_max_connections`](crate::Server::set_max_connections). Default: no limit. Node:
    /// `maxConnections`.
    #[must_use]
    pub fn max_connections(mut self, max: usize) -> Self {
        self.limits.max_connections = Some(max);
        self
    }

    /// Accepts at most `max` connections at a time from one IPv4 address or from one IPv6 network of
    /// [`per_ip_prefix_v6`](Self::per_ip_prefix_v6) bits. Further ones are refused as by
    /// [`max_connections`](Self::max_connections). An IPv4-mapped IPv6 address counts as its IPv4 address.
    /// Connections to a Unix socket are not limited. Default: no limit. No counterpart in Node.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::ServerOptions::new().max_connections_per_ip(0).create_server(|_| {});
    ///     server.on_drop(|server, _| _ = server.close());
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let refused = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         refused.on_close(|client, _| assert_eq!(client.bytes_read(), 0));
    ///         refused.resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn max_connections_per_ip(mut self, max: usize) -> Self {
        self.limits.max_per_group = Some(max);
        self
    }

    /// Sets how many leading bits of an IPv6 address
    /// [`max_connections_per_ip`](Self::max_connections_per_ip) compares: 1 to 128; other values are
    /// clamped to that range. Default 64, because one customer usually has a whole /64 network and with it
    /// 2^64 addresses. With 128, each address counts separately; 56 or 48 groups customers with larger
    /// networks. No counterpart in Node.
    #[must_use]
    pub fn per_ip_prefix_v6(mut self, bits: u8) -> Self {
        self.limits.set_prefix_v6(bits);
        self
    }

    /// Closes connections from the addresses of this list at once, without an event. The list is checked
    /// for each connection, so its rules may change at any time. Connections to a Unix socket are not
    /// checked. Node: `blockList`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let list = fyke::BlockList::new();
    ///     list.add_cidr("127.0.0.0/8")?;
    ///     let options = fyke::ServerOptions::new().block_list(&list);
    ///     let server = options.create_server(|_| unreachable!("closed at once"));
    ///     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_error(|_, _| {}); // the end may be a reset
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    #[must_use]
    #[doc(alias = "blockList")]
    pub fn block_list(mut self, list: &BlockList) -> Self {
        self.block_list = Some(list.clone());
        self
    }
}

/// Options of `listen`. Finish with [`listen`](Self::listen) or [`listen_then`](Self::listen_then).
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
    /// The error of the first value that is not valid.
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

/// Whether `listen` removes a stale file at the path of a Unix socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StaleFile {
    /// The file is never removed: `listen` fails with `EADDRINUSE`, as in Node.
    #[default]
    Never,
    /// If the file is a socket on which no process listens, such as one left by a killed server, `listen`
    /// removes it and tries again. Do not use this for servers that may start at the same moment: one could
    /// remove the other's file.
    IfStale,
}

impl ListenOptions {
    /// Returns the default options for `endpoint`.
    ///
    /// This function never fails. If `endpoint` cannot be parsed, or another option has a value that is not
    /// valid, the call that uses the options returns the error. Text that cannot be parsed gives
    /// `ERR_SOCKET_BAD_PORT` or `ERR_INVALID_ARG_VALUE`. A host name with a NUL byte, an empty path and an
    /// empty abstract name give `ERR_INVALID_ARG_VALUE`.
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

    /// Returns the error of the first value that is not valid.
    pub(super) fn check(&self) -> Result<()> {
        self.wrong.clone().map_or(Ok(()), Err)
    }

    /// Sets the maximum number of connections that wait to be accepted. The system reduces it to its own
    /// limit (Linux: `net.core.somaxconn`). Default 511; 0 also means the default. Node: `backlog`.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = if connections == 0 { BACKLOG } else { connections };
        self
    }

    /// Sets whether a listener on the IPv6 wildcard address refuses IPv4 connections. Default false. Node:
    /// `ipv6Only`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|_| {});
    ///     fyke::ListenOptions::new(("::1", 0)).ipv6_only(true).listen_then(&server, |server| {
    ///         assert!(server.address().unwrap().ip().unwrap().is_ipv6());
    ///         server.close();
    ///     })
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn ipv6_only(mut self, only: bool) -> Self {
        self.ipv6_only = only;
        self
    }

    /// Sets the size of the send buffer, in bytes, of the connections that this `listen` accepts. It
    /// replaces [`ServerOptions::send_buffer_size_bytes`]. Default: the value of that option. No
    /// counterpart in Node.
    #[must_use]
    pub fn send_buffer_size_bytes(mut self, bytes: usize) -> Self {
        self.send_buffer_bytes = Some(bytes);
        self
    }

    /// Sets the size of the receive buffer, in bytes, of the connections that this `listen` accepts. It
    /// replaces [`ServerOptions::receive_buffer_size_bytes`]. Default: the value of that option. No
    /// counterpart in Node.
    #[must_use]
    pub fn receive_buffer_size_bytes(mut self, bytes: usize) -> Self {
        self.receive_buffer_bytes = Some(bytes);
        self
    }

    /// Shares the port with other listeners that set this option too (SO_REUSEPORT). The kernel distributes
    /// the connections among them. Default false. Node: `reusePort`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let [first, second] = [(); 2].map(|()| fyke::create_server(|_| {}));
    ///     let options = |port| fyke::ListenOptions::new(("127.0.0.1", port)).reuse_port(true);
    ///     options(0).listen_then(&first, move |first| {
    ///         let port = first.port().unwrap();
    ///         let first = first.clone();
    ///         let both = move |second: &fyke::Server| {
    ///             assert_eq!(second.port(), first.port());
    ///             (first.close(), second.close());
    ///         };
    ///         options(port).listen_then(&second, both).unwrap();
    ///     })
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// Gives all users of the machine read permission on the Unix socket's file. If this or
    /// [`writable_all`](Self::writable_all) is set, the mode of the file is exactly 0444, 0222 or 0666.
    /// Default false: the umask determines the mode. Node: `readableAll`.
    #[must_use]
    #[doc(alias = "readableAll")]
    pub fn readable_all(mut self, all: bool) -> Self {
        self.readable_all = all;
        self
    }

    /// Gives all users of the machine write permission on the Unix socket's file, which they need to
    /// connect. Default false: the umask determines the mode. Node: `writableAll`.
    #[must_use]
    #[doc(alias = "writableAll")]
    pub fn writable_all(mut self, all: bool) -> Self {
        self.writable_all = all;
        self
    }

    /// Sets the exact mode of the Unix socket's file, for example 0o660 for a group. It is applied before a
    /// client can connect, and overrides [`readable_all`](Self::readable_all) and
    /// [`writable_all`](Self::writable_all). Default: those two options and the umask determine the mode.
    /// No counterpart in Node.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     use std::os::unix::fs::PermissionsExt;
    ///
    ///     let path = std::env::temp_dir().join(format!("fyke-mode-{}.sock", std::process::id()));
    ///     let server = fyke::create_server(|_| {});
    ///     fyke::ListenOptions::new(path.as_path()).mode(0o660).listen(&server)?;
    ///     let mode = std::fs::metadata(&path)?.permissions().mode();
    ///     assert_eq!(mode & 0o777, 0o660);
    ///     server.close(); // removes the file
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode & 0o777);
        self
    }

    /// Sets what to do if a file already exists at the path of the Unix socket. Default:
    /// [`StaleFile::Never`]. No counterpart in Node.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let path = std::env::temp_dir().join(format!("fyke-stale-{}.sock", std::process::id()));
    ///     // The standard library leaves the file behind.
    ///     drop(std::os::unix::net::UnixListener::bind(&path)?);
    ///     let server = fyke::create_server(|_| {});
    ///     fyke::ListenOptions::new(path).stale_file(fyke::StaleFile::IfStale).listen(&server)?;
    ///     server.close();
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn stale_file(mut self, policy: StaleFile) -> Self {
        self.stale_file = policy;
        self
    }

    /// Returns the requested mode of the file, or `None` if no option sets it.
    pub(super) fn file_mode(&self) -> Option<u32> {
        match (self.readable_all, self.writable_all) {
            _ if self.mode.is_some() => self.mode,
            (false, false) => None,
            (true, false) => Some(0o444),
            (false, true) => Some(0o222),
            (true, true) => Some(0o666),
        }
    }

    /// Closes the server when the signal is aborted. If the signal is already aborted, the server closes on
    /// the next tick. Its connections stay open. Node: `signal`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let controller = fyke::AbortController::new();
    ///     let server = fyke::create_server(|_| {});
    ///     let options = fyke::ListenOptions::new(("127.0.0.1", 0)).signal(&controller.signal());
    ///     options.listen_then(&server, move |server| {
    ///         controller.abort();
    ///         assert!(!server.is_listening());
    ///     })
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn signal(mut self, signal: &AbortSignal) -> Self {
        self.signal = Some(signal.clone());
        self
    }
}

const _: () = assert!(HIGH_WATER_MARK_BYTES == 65_536, "the documents say so");
