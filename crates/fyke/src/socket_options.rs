//! Options of a socket that is made before it is connected.

use std::time::Duration;

use fyke_driver::KeepAliveProbes;

use crate::wishes::{KeepAliveWish, Wishes};
use crate::{AbortSignal, BlockList};

/// Bytes that are stored for a reader, or queued for a peer, before the sender is told to wait:
/// Node's default for sockets.
pub(crate) const HIGH_WATER_MARK_BYTES: u32 = 64 * 1024;

/// The default limit of the write queue. It has room for any message that a program builds in
/// memory, and limits the memory that a peer that does not read can cost.
// Contract C7.
pub(crate) const WRITE_QUEUE_BYTES_MAX: u32 = 64 << 20;

/// Options of a [`Socket`](crate::Socket) that is made before it is connected; [`build`](Self::build) makes
/// it.
///
/// ```
/// use fyke::SocketOptions;
///
/// let socket = SocketOptions::new().allow_half_open(true).no_delay(true).build();
/// assert!(socket.allow_half_open());
/// ```
#[derive(Clone, Debug)]
pub struct SocketOptions {
    pub(crate) block_list: Option<BlockList>,
    pub(crate) signal: Option<AbortSignal>,
    pub(crate) write_queue_bytes_max: u32,
    pub(crate) write_stall_timeout: Option<Duration>,
    pub(crate) allow_half_open: bool,
    pub(crate) no_delay: bool,
    pub(crate) wishes: Wishes,
    pub(crate) high_water_mark_bytes: u32,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) pause_on_create: bool,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            block_list: None,
            signal: None,
            write_queue_bytes_max: WRITE_QUEUE_BYTES_MAX,
            write_stall_timeout: None,
            allow_half_open: false,
            no_delay: false,
            wishes: Wishes::default(),
            high_water_mark_bytes: HIGH_WATER_MARK_BYTES,
            readable: true,
            writable: true,
            pause_on_create: false,
        }
    }
}

impl SocketOptions {
    /// Returns the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the socket writable after the peer has ended its side. Default: false, so the socket
    /// ends its own side automatically. Node: `allowHalfOpen`.
    ///
    /// ```
    /// let socket = fyke::SocketOptions::new().allow_half_open(true).build();
    /// assert!(socket.allow_half_open());
    /// assert!(!fyke::Socket::new().allow_half_open());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    // END-06
    #[must_use]
    pub fn allow_half_open(mut self, allow: bool) -> Self {
        self.allow_half_open = allow;
        self
    }

    /// Sends small writes immediately (TCP_NODELAY). Default: false, so the kernel may delay small
    /// writes to combine them (Nagle's algorithm). Node: `noDelay`.
    ///
    /// ```
    /// let socket = fyke::SocketOptions::new().no_delay(true).build();
    /// assert!(socket.no_delay());
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[must_use]
    pub fn no_delay(mut self, no_delay: bool) -> Self {
        self.no_delay = no_delay;
        self
    }

    /// Enables keep-alive probes on an idle connection, the first one after `initial_delay`, rounded
    /// down to whole seconds. Below one second the system's default is used (two hours on Linux).
    /// More than 32,767 seconds are not valid: the call that uses the options (`connect`, `listen`,
    /// `build_from_fd`) returns `ERR_OUT_OF_RANGE`, as
    /// [`Socket::set_keep_alive`](crate::Socket::set_keep_alive) does. Default: off. Node:
    /// `keepAlive` and `keepAliveInitialDelay`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     use std::time::Duration;
    ///
    ///     let options = |seconds| fyke::SocketOptions::new().keep_alive(Duration::from_secs(seconds));
    ///     let socket = options(60).build();
    ///     assert_eq!(socket.keep_alive().unwrap().initial_delay, Duration::from_secs(60));
    ///     let error = options(40_000).build().connect(("127.0.0.1", 1)).unwrap_err();
    ///     assert_eq!(error.code(), fyke::ErrorCode::ERR_OUT_OF_RANGE);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn keep_alive(mut self, initial_delay: Duration) -> Self {
        self.wishes.keep_alive =
            Some(KeepAliveWish::new(true, KeepAliveProbes::new(initial_delay)));
        self
    }

    /// Sets the type of service (IPv4) or traffic class (IPv6) of sent packets, see
    /// [`Socket::set_type_of_service`](crate::Socket::set_type_of_service). Default: 0. Node:
    /// `typeOfService`.
    ///
    /// ```
    /// let socket = fyke::SocketOptions::new().type_of_service(0x10).build();
    /// assert_eq!(socket.type_of_service(), 0x10);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[must_use]
    #[doc(alias = "typeOfService")]
    pub fn type_of_service(mut self, value: u8) -> Self {
        self.wishes.type_of_service = Some(value);
        self
    }

    /// Sets the size of the kernel's send buffer, which holds the bytes that are not yet
    /// acknowledged (SO_SNDBUF). fyke sets it before it does anything else with the socket. The
    /// system rounds the size and limits it (Linux doubles it, and limits it to
    /// `net.core.wmem_max`). A buffer with a set size does not grow automatically with the
    /// connection's needs. Default: the system's. Node has no counterpart.
    ///
    /// ```
    /// let socket = fyke::SocketOptions::new().send_buffer_size_bytes(32_768).build();
    /// assert_eq!(socket.send_buffer_size_bytes(), Some(32_768));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[must_use]
    pub fn send_buffer_size_bytes(mut self, bytes: usize) -> Self {
        self.wishes.send_buffer_bytes = Some(bytes);
        self
    }

    /// Sets the size of the kernel's receive buffer, which holds the bytes that were received and
    /// not yet read (SO_RCVBUF). fyke sets it before it connects, because the handshake fixes the
    /// largest window that can be announced later. The system rounds and limits it as described at
    /// [`send_buffer_size_bytes`](Self::send_buffer_size_bytes). Default: the system's. Node has no
    /// counterpart.
    ///
    /// ```
    /// let socket = fyke::SocketOptions::new().receive_buffer_size_bytes(32_768).build();
    /// assert_eq!(socket.receive_buffer_size_bytes(), Some(32_768));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[must_use]
    pub fn receive_buffer_size_bytes(mut self, bytes: usize) -> Self {
        self.wishes.receive_buffer_bytes = Some(bytes);
        self
    }

    /// Sets the number of bytes that may be queued in each direction before `write` returns false,
    /// and before a socket whose reader is paused stops reading. Default: 65,536. At most 4 GiB -
    /// 1; larger values are reduced to that. Node: `highWaterMark`.
    ///
    /// ```
    /// let socket = fyke::SocketOptions::new().high_water_mark(1024).build();
    /// assert_eq!(socket.high_water_mark(), 1024);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[must_use]
    pub fn high_water_mark(mut self, bytes: usize) -> Self {
        self.high_water_mark_bytes = within_u32(bytes);
        self
    }

    /// Limits the write queue, in bytes. A write on a queue that exceeds the limit fails with
    /// `ERR_WRITE_QUEUE_FULL`; the socket is destroyed with this error, and the connection is
    /// reset. This bounds the memory that a peer that does not read can cost a program that ignores
    /// the result of `write`.
    ///
    /// Each pending write callback counts as 64 bytes, so empty writes are limited too. Callbacks
    /// of `end` are counted separately, against the same limit. On a loop made with
    /// [`node_exact`](crate::EventLoopBuilder::node_exact) callbacks do not count.
    ///
    /// Default: 64 MiB. 4 GiB - 1 or more means no limit. Node has no counterpart.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let client = fyke::SocketOptions::new().write_queue_bytes_max(1024).build();
    ///     client.connect(("127.0.0.1", 1))?;
    ///     client.on_error(|_, error| assert_eq!(error.code(), fyke::ErrorCode::ERR_WRITE_QUEUE_FULL));
    ///     let _ = client.write(vec![0; 2048]); // accepted, but from now on the queue is too long
    ///     let _ = client.write("more");
    ///     assert!(client.is_destroyed());
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn write_queue_bytes_max(mut self, bytes: usize) -> Self {
        self.write_queue_bytes_max = within_u32(bytes);
        self
    }

    /// Destroys the socket with `ERR_WRITE_STALLED`, and resets the connection, if bytes are queued
    /// and the peer accepts none of them for `timeout`. Default: no limit. Node has no counterpart.
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    /// use std::time::Duration;
    ///
    /// use fyke::{DriverKind, ErrorCode, EventLoop, ServerOptions, SocketOptions, sim::SimOptions};
    ///
    /// // A server that never reads, in the simulated network: a minute passes at once.
    /// let event_loop = EventLoop::builder().driver(DriverKind::Sim(SimOptions::default())).build()?;
    /// let code = Rc::new(Cell::new(None));
    /// let result = Rc::clone(&code);
    /// event_loop.enter(move || {
    ///     let server = ServerOptions::new().pause_on_connect(true).create_server(|socket| {
    ///         socket.on_error(|_, _| {});
    ///         socket.server().unwrap().close();
    ///     });
    ///     server.listen_then(("127.0.0.1", 80), move |server| {
    ///         let client = SocketOptions::new().write_stall_timeout(Duration::from_secs(60)).build();
    ///         client.on_error(move |_, error| result.set(Some(error.code())));
    ///         let _ = client.connect(server.endpoint().unwrap());
    ///         let _ = client.write(vec![0; 1_000_000]);
    ///     })
    /// })?;
    /// event_loop.run()?;
    /// assert_eq!(code.get(), Some(ErrorCode::ERR_WRITE_STALLED));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[must_use]
    pub fn write_stall_timeout(mut self, timeout: Duration) -> Self {
        self.write_stall_timeout = Some(timeout);
        self
    }

    /// Sets addresses that must not be connected to: an attempt to connect to one fails with
    /// `ERR_IP_BLOCKED` before anything is sent. The list is checked for every attempt, so later
    /// changes apply. Default: none. Node: `blockList`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let list = fyke::BlockList::new();
    ///     list.add_address("127.0.0.1")?;
    ///     let client = fyke::SocketOptions::new().block_list(&list).build();
    ///     client.on_error(|_, error| assert_eq!(error.code(), fyke::ErrorCode::ERR_IP_BLOCKED));
    ///     client.connect(("127.0.0.1", 1))
    /// })
    /// # }
    /// ```
    #[must_use]
    #[doc(alias = "blockList")]
    pub fn block_list(mut self, list: &BlockList) -> Self {
        self.block_list = Some(list.clone());
        self
    }

    /// Sets whether the socket reads at all. If not, `data` and `end` are never emitted, and ending
    /// our own side closes the socket. Default: true, whatever access the descriptor allows. Node:
    /// `readable`.
    #[must_use]
    pub fn readable(mut self, readable: bool) -> Self {
        self.readable = readable;
        self
    }

    /// Sets whether the socket can be written to. If not, a write fails with
    /// `ERR_STREAM_WRITE_AFTER_END`, and the socket closes when the peer ends its side. Default:
    /// true, whatever access the descriptor allows. Node: `writable`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     use std::os::unix::net::UnixStream;
    ///
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let socket = fyke::SocketOptions::new().writable(false).build_from_fd(ours.into())?;
    ///     assert!(!socket.is_writable() && socket.is_readable());
    ///     drop(theirs);
    ///     socket.resume();
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn writable(mut self, writable: bool) -> Self {
        self.writable = writable;
        self
    }

    /// Makes a socket that is created from an existing connection start paused: it receives nothing
    /// before `resume`. Default: false. Node: `pauseOnCreate`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     use std::os::unix::net::UnixStream;
    ///
    ///     let (ours, theirs) = UnixStream::pair()?;
    ///     let options = fyke::SocketOptions::new().pause_on_create(true);
    ///     let socket = options.build_from_fd(ours.into())?;
    ///     assert!(socket.is_paused());
    ///     drop(theirs);
    ///     socket.resume(); // sees the end
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    #[doc(alias = "pauseOnCreate")]
    pub fn pause_on_create(mut self, pause: bool) -> Self {
        self.pause_on_create = pause;
        self
    }

    /// Destroys the socket with `ABORT_ERR` when the signal is aborted, or at once if it is already
    /// aborted. Node: `signal`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let controller = fyke::AbortController::new();
    ///     let socket = fyke::SocketOptions::new().signal(&controller.signal()).build();
    ///     socket.on_error(|_, error| assert_eq!(error.code(), fyke::ErrorCode::ABORT_ERR));
    ///     controller.abort();
    ///     assert!(socket.is_destroyed());
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

impl SocketOptions {
    /// Whether these options contain nothing that the sockets of a server would share.
    pub(crate) fn is_plain(&self) -> bool {
        self.wishes == Wishes::default() && self.write_stall_timeout.is_none()
    }
}

/// Reduces a size to `u32`. Every socket stores such numbers, so they take only four bytes.
fn within_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
