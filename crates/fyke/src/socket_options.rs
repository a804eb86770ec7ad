//! Options of a socket, before it exists and while it does.

use std::time::Duration;

use crate::wishes::{KeepAliveWish, Wishes};
use crate::{AbortSignal, BlockList};

/// Bytes kept for a reader, and queued for a peer, before the other side is told to wait: Node's
/// default for sockets.
pub(crate) const HIGH_WATER_MARK_BYTES: u32 = 64 * 1024;

/// Bytes that may be queued at most, unless the user says otherwise (contract C7): room for any
/// message that a program makes in memory, and an end to what a peer that does not read can cost.
pub(crate) const WRITE_QUEUE_BYTES_MAX: u32 = 64 << 20;

/// Options of a [`Socket`](crate::Socket) that is made before it is connected.
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
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the socket stays writable after the peer has ended. Default false: it then ends its
    /// own side by itself (END-06).
    #[must_use]
    pub fn allow_half_open(mut self, allow: bool) -> Self {
        self.allow_half_open = allow;
        self
    }

    /// Sends small writes at once (TCP_NODELAY). Default false: the kernel may wait a little to
    /// put them together (Nagle's algorithm).
    #[must_use]
    pub fn no_delay(mut self, no_delay: bool) -> Self {
        self.no_delay = no_delay;
        self
    }

    /// Probes an idle connection, for the first time after `initial_delay` (whole seconds; below
    /// one: the system's time, on Linux two hours; more than 32,767 are cut to that). Default off.
    #[must_use]
    pub fn keep_alive(mut self, initial_delay: Duration) -> Self {
        self.wishes.keep_alive = Some(KeepAliveWish::within_bounds(initial_delay));
        self
    }

    /// The type of service (IPv4) or traffic class (IPv6) of what is sent, see
    /// [`Socket::set_type_of_service`](crate::Socket::set_type_of_service). Default 0. Node: `typeOfService`.
    #[must_use]
    #[doc(alias = "typeOfService")]
    pub fn type_of_service(mut self, value: u8) -> Self {
        self.wishes.type_of_service = Some(value);
        self
    }

    /// The size of the system's buffer for what is sent and not yet acknowledged (SO_SNDBUF), set
    /// before anything else happens to the socket. The system rounds it and cuts it to its limits
    /// (Linux doubles it, and cuts at `net.core.wmem_max`); a size that is set stays as it is, where
    /// otherwise it grows with the connection's needs. Default: the system's. fyke's own.
    #[must_use]
    pub fn send_buffer_size_bytes(mut self, bytes: usize) -> Self {
        self.wishes.send_buffer_bytes = Some(bytes);
        self
    }

    /// The size of the system's buffer for what was received and not yet read (SO_RCVBUF), as
    /// [`send_buffer_size_bytes`](Self::send_buffer_size_bytes). Set before connecting, because the
    /// handshake fixes how large a window can be announced later. fyke's own.
    #[must_use]
    pub fn receive_buffer_size_bytes(mut self, bytes: usize) -> Self {
        self.wishes.receive_buffer_bytes = Some(bytes);
        self
    }

    /// How many bytes may wait in each direction before `write` returns false and before the
    /// socket stops reading for a reader that is paused. Default 65,536; at most 4 GiB - 1, more is cut
    /// to that.
    #[must_use]
    pub fn high_water_mark(mut self, bytes: usize) -> Self {
        self.high_water_mark_bytes = within_u32(bytes);
        self
    }

    /// Limits the write queue, in bytes. A write on a longer queue fails with `ERR_WRITE_QUEUE_FULL`;
    /// the socket is destroyed with that error, and the connection reset. This bounds what a peer that
    /// does not read can cost a program that ignores what `write` returns. Each callback of a write
    /// that waits counts as 64 bytes, so empty writes have a limit too; callbacks of `end` have the
    /// same limit of their own. On a loop made with [`node_exact`](crate::EventLoopBuilder::node_exact)
    /// callbacks count nothing. Default 64 MiB; 4 GiB - 1 or more means no limit. No counterpart in
    /// Node.
    #[must_use]
    pub fn write_queue_bytes_max(mut self, bytes: usize) -> Self {
        self.write_queue_bytes_max = within_u32(bytes);
        self
    }

    /// Destroys the socket with `ERR_WRITE_STALLED`, and resets the connection, when bytes wait to be
    /// sent and the peer accepts none of them for `timeout`. Default: never. No counterpart in Node.
    #[must_use]
    pub fn write_stall_timeout(mut self, timeout: Duration) -> Self {
        self.write_stall_timeout = Some(timeout);
        self
    }

    /// Addresses that are not connected to: an attempt at one fails with `ERR_IP_BLOCKED` before
    /// anything is sent. The list is asked for every attempt. Node: `blockList`.
    #[must_use]
    #[doc(alias = "blockList")]
    pub fn block_list(mut self, list: &BlockList) -> Self {
        self.block_list = Some(list.clone());
        self
    }

    /// Whether the socket reads at all. If not, `data` and `end` never come, and ending our own side
    /// closes it. Default true, whatever the descriptor allows. Node: `readable`.
    #[must_use]
    pub fn readable(mut self, readable: bool) -> Self {
        self.readable = readable;
        self
    }

    /// Whether the socket can be written to. If not, a write fails with
    /// `ERR_STREAM_WRITE_AFTER_END`, and the peer's end closes it. Default true, whatever the
    /// descriptor allows. Node: `writable`.
    #[must_use]
    pub fn writable(mut self, writable: bool) -> Self {
        self.writable = writable;
        self
    }

    /// A socket that is made of a connection is paused, and nothing is received before `resume`.
    /// Default false. Node: `pauseOnCreate`.
    #[must_use]
    #[doc(alias = "pauseOnCreate")]
    pub fn pause_on_create(mut self, pause: bool) -> Self {
        self.pause_on_create = pause;
        self
    }

    /// Destroys the socket with `ABORT_ERR` when the signal is aborted, also if it is aborted
    /// already. Node: `signal`.
    #[must_use]
    pub fn signal(mut self, signal: &AbortSignal) -> Self {
        self.signal = Some(signal.clone());
        self
    }
}

impl SocketOptions {
    /// Whether there is nothing that the sockets of a server share.
    pub(crate) fn is_plain(&self) -> bool {
        self.wishes == Wishes::default() && self.write_stall_timeout.is_none()
    }
}

/// Every socket keeps such numbers, so they have four bytes.
fn within_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
