//! Options of a socket, before it exists and while it does.

use std::time::Duration;

use fyke_driver::SocketOption;

use super::Socket;
use super::state::KeepAliveWish;
use crate::{AbortSignal, BlockList, Error, Result};

/// Bytes kept for a reader, and queued for a peer, before the other side is told to wait: Node's
/// default for sockets.
pub(crate) const HIGH_WATER_MARK_BYTES: usize = 64 * 1024;

/// Bytes that may be queued at most, unless the user says otherwise (contract C7): room for any
/// message that a program makes in memory, and an end to what a peer that does not read can cost.
pub(crate) const WRITE_QUEUE_BYTES_MAX: usize = 64 << 20;

/// Options of a [`Socket`] that is made before it is connected.
///
/// ```
/// use fyke::SocketOptions;
///
/// let socket = SocketOptions::new().allow_half_open(true).no_delay(true).build();
/// assert!(socket.allow_half_open());
/// ```
#[derive(Clone, Debug)]
pub struct SocketOptions {
    pub(super) block_list: Option<BlockList>,
    pub(super) signal: Option<AbortSignal>,
    pub(super) write_queue_bytes_max: usize,
    pub(super) write_stall_timeout: Option<Duration>,
    pub(super) allow_half_open: bool,
    pub(super) no_delay: bool,
    pub(super) keep_alive: Option<KeepAliveWish>,
    pub(super) high_water_mark_bytes: usize,
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
            keep_alive: None,
            high_water_mark_bytes: HIGH_WATER_MARK_BYTES,
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
    /// one: the system's time, on Linux two hours). Default off.
    #[must_use]
    pub fn keep_alive(mut self, initial_delay: Duration) -> Self {
        self.keep_alive = Some(KeepAliveWish { enable: true, initial_delay });
        self
    }

    /// How many bytes may wait in each direction before `write` returns false and before the
    /// socket stops reading for a reader that is paused. Default 65,536.
    #[must_use]
    pub fn high_water_mark(mut self, bytes: usize) -> Self {
        self.high_water_mark_bytes = bytes;
        self
    }

    /// A write on a queue that is longer than this fails with `ERR_WRITE_QUEUE_FULL`, and the
    /// socket is destroyed with that error: the end of a program that does not heed what `write`
    /// returns, and of a peer that does not read. Default 64 MiB. fyke's own.
    #[must_use]
    pub fn write_queue_bytes_max(mut self, bytes: usize) -> Self {
        self.write_queue_bytes_max = bytes;
        self
    }

    /// Destroys the socket with `ERR_WRITE_STALLED` when bytes wait to be sent and the peer takes
    /// none of them for so long. Default: never. fyke's own.
    #[must_use]
    pub fn write_stall_timeout(mut self, timeout: Duration) -> Self {
        self.write_stall_timeout = Some(timeout);
        self
    }

    /// Addresses that are not connected to: an attempt at one fails with `ERR_IP_BLOCKED` before
    /// anything is sent. The list is asked for every attempt. Node: `blockList`.
    #[must_use]
    pub fn block_list(mut self, list: &BlockList) -> Self {
        self.block_list = Some(list.clone());
        self
    }

    /// Destroys the socket with `ABORT_ERR` when the signal is aborted, also if it is aborted
    /// already. Node: `signal`.
    #[must_use]
    pub fn signal(mut self, signal: &AbortSignal) -> Self {
        self.signal = Some(signal.clone());
        self
    }

    /// Makes the socket. Node: `new net.Socket(options)`.
    pub fn build(self) -> Socket {
        Socket::with_options(&self)
    }
}

/// Option calls for the driver, in a form that can be compared with the ones made before.
fn keep_alive_option(wish: KeepAliveWish) -> SocketOption {
    if !wish.enable {
        return SocketOption::KeepAliveOff;
    }
    // Milliseconds are cut to seconds, and none leaves the system's times (TMO-13, TMO-15).
    let seconds = wish.initial_delay.as_secs();
    let delay = (seconds > 0).then(|| Duration::from_secs(seconds));
    SocketOption::KeepAlive { delay }
}

/// # Options
impl Socket {
    /// Sends small writes at once (TCP_NODELAY), or lets the kernel put them together.
    ///
    /// Before the connection it is remembered and applied just before `connect` is emitted; on a
    /// Unix socket it does nothing. Node: `socket.setNoDelay()`.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_no_delay(&self, no_delay: bool) -> Result<()> {
        let id = {
            let mut state = self.inner.state.borrow_mut();
            if state.no_delay == no_delay || state.destroyed() {
                return Ok(());
            }
            state.no_delay = no_delay;
            state.connected().filter(|_| !state.unix)
        };
        id.map_or(Ok(()), |id| self.set_driver_option(id, SocketOption::NoDelay(no_delay)))
    }

    /// Turns probing of an idle connection on or off. `initial_delay` is cut to whole seconds;
    /// below one second the system's time is used.
    ///
    /// With a delay, probes follow one second apart, and ten that are not answered end the
    /// connection (Node's values). Remembered before the connection; nothing on a Unix socket.
    /// Node: `socket.setKeepAlive(enable, initialDelay)`.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_keep_alive(&self, enable: bool, initial_delay: Duration) -> Result<()> {
        let wish = KeepAliveWish { enable, initial_delay };
        let id = {
            let mut state = self.inner.state.borrow_mut();
            let before = state.rare_if_any().and_then(|rare| rare.keep_alive);
            let unchanged = before == Some(wish) || (before.is_none() && !enable);
            if unchanged || state.destroyed() {
                return Ok(());
            }
            state.rare().keep_alive = Some(wish);
            state.connected().filter(|_| !state.unix)
        };
        id.map_or(Ok(()), |id| self.set_driver_option(id, keep_alive_option(wish)))
    }

    fn set_driver_option(&self, id: fyke_driver::SocketId, option: SocketOption) -> Result<()> {
        let Some(core) = self.core() else { return Ok(()) };
        core.driver.set_option(id, option).map_err(|source| Error::system("setsockopt", source))
    }

    /// Applies what was asked for before the connection stood.
    pub(super) fn apply_wishes(&self) {
        let (id, no_delay, keep_alive, type_of_service) = {
            let state = self.inner.state.borrow();
            let Some(id) = state.connected().filter(|_| !state.unix) else { return };
            let rare = state.rare_if_any();
            let keep_alive = rare.and_then(|rare| rare.keep_alive).filter(|wish| wish.enable);
            (id, state.no_delay, keep_alive, rare.and_then(|rare| rare.type_of_service))
        };
        if let Some(value) = type_of_service {
            let _ = self.set_driver_option(id, SocketOption::TypeOfService(value));
        }
        // A connection that is gone already says so by itself in a moment.
        if no_delay {
            let _ = self.set_driver_option(id, SocketOption::NoDelay(true));
        }
        if let Some(wish) = keep_alive {
            let _ = self.set_driver_option(id, keep_alive_option(wish));
        }
    }

    /// Sets the type of service (IPv4) or traffic class (IPv6) of what is sent. Remembered before
    /// the connection, and applied just before `connect`; only remembered on a Unix socket. Node:
    /// `socket.setTypeOfService()`.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_type_of_service(&self, value: u8) -> Result<()> {
        let id = {
            let mut state = self.inner.state.borrow_mut();
            state.rare().type_of_service = Some(value);
            state.connected().filter(|_| !state.unix)
        };
        id.map_or(Ok(()), |id| self.set_driver_option(id, SocketOption::TypeOfService(value)))
    }

    /// The type of service: the system's while connected (Linux masks two bits of it on TCP),
    /// otherwise as it was set last, 0 if it never was. Node: `socket.getTypeOfService()`.
    pub fn type_of_service(&self) -> u8 {
        let (id, remembered) = {
            let state = self.inner.state.borrow();
            let remembered = state.rare_if_any().and_then(|rare| rare.type_of_service);
            (state.connected().filter(|_| !state.unix), remembered.unwrap_or_default())
        };
        let asked = id.zip(self.core()).map(|(id, core)| core.driver.type_of_service(id));
        asked.and_then(std::io::Result::ok).unwrap_or(remembered)
    }

    /// Whether the socket stays writable after the peer has ended.
    pub fn allow_half_open(&self) -> bool {
        self.inner.state.borrow().allow_half_open
    }

    /// Decides whether the socket stays writable after the peer has ended. Counts until the
    /// `end` listeners have run (END-20).
    pub fn set_allow_half_open(&self, allow: bool) {
        self.inner.state.borrow_mut().allow_half_open = allow;
    }

    /// The loop stays alive while this socket reads (the default). Node: `socket.ref()`.
    pub fn refer(&self) -> &Self {
        self.set_referred(true)
    }

    /// The loop does not stay alive for this socket's sake, except to finish connecting or
    /// writing. Node: `socket.unref()`.
    pub fn unref(&self) -> &Self {
        self.set_referred(false)
    }

    fn set_referred(&self, referred: bool) -> &Self {
        self.inner.state.borrow_mut().referred = referred;
        self.sync_hold();
        self
    }
}
