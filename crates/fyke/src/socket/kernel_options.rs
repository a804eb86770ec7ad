//! Options that the system keeps for a socket. Before there is a connection they are wishes; the
//! getters ask the system while there is one.

use std::io;
use std::time::Duration;

use fyke_driver::{Driver, KeepAliveProbes, SocketId, SocketOption};

use super::Socket;
use crate::wishes::{KeepAliveWish, Wishes};
use crate::{Error, ErrorCode, Result};
use fyke_machine::error::MakeError;

/// TCP_USER_TIMEOUT is milliseconds in a C `int` (tcp(7)).
const USER_TIMEOUT_MAX: Duration = Duration::from_millis(0x7fff_ffff);

/// # Options that the system keeps
///
/// Each can be set at any time. Before the connection stands it is remembered, and applied just
/// before `connect` is emitted, also when the socket connects again. A value that did not change
/// costs no system call. The getters tell what the system says while there is a connection, and
/// what was asked for otherwise. On a Unix socket they are only remembered, but for the sizes of
/// the buffers.
impl Socket {
    /// Sends small writes at once (TCP_NODELAY), or lets the kernel put them together. Node:
    /// `socket.setNoDelay()`.
    ///
    /// # Errors
    /// What the system says. Nothing has changed then.
    #[doc(alias = "setNoDelay")]
    pub fn set_no_delay(&self, no_delay: bool) -> Result<()> {
        if self.inner.state.borrow().no_delay == no_delay || self.is_destroyed() {
            return Ok(());
        }
        self.set_on_tcp(SocketOption::NoDelay(no_delay))?;
        self.inner.state.borrow_mut().no_delay = no_delay;
        Ok(())
    }

    /// Whether small writes are sent at once.
    pub fn no_delay(&self) -> bool {
        self.ask_tcp(Driver::no_delay).unwrap_or_else(|| self.inner.state.borrow().no_delay)
    }

    /// Turns probing of an idle connection on or off. `initial_delay` is cut to whole seconds;
    /// below one second the system's times are used, or those that were set before.
    ///
    /// With a delay, probes follow one second apart, and ten that are not answered end the
    /// connection (Node's values); [`set_keep_alive_probes`](Self::set_keep_alive_probes) takes
    /// others. Node: `socket.setKeepAlive(enable, initialDelay)`.
    ///
    /// # Errors
    /// `ERR_OUT_OF_RANGE` for more than 32,767 seconds, what Linux takes; or what the system says.
    /// Nothing has changed then.
    #[doc(alias = "setKeepAlive")]
    pub fn set_keep_alive(&self, enable: bool, initial_delay: Duration) -> Result<()> {
        self.wish_keep_alive(KeepAliveWish::new(enable, KeepAliveProbes::new(initial_delay)))
    }

    /// Turns probing of an idle connection on, with other times than Node's. Node:
    /// `socket.setKeepAlive({ enable: true, initialDelay, interval, count })`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use fyke::{KeepAliveProbes, Socket};
    ///
    /// // After a minute without a word: every five seconds, and four that are lost are too many.
    /// let probes = KeepAliveProbes::new(Duration::from_secs(60));
    /// let socket = Socket::new();
    /// socket.set_keep_alive_probes(probes.interval(Duration::from_secs(5)).count(4))?;
    /// assert_eq!(socket.keep_alive().unwrap().count, 4);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    /// `ERR_OUT_OF_RANGE` for what Linux does not take: an initial delay of more than 32,767
    /// seconds, an interval outside of 1 to 32,767 seconds, a count outside of 1 to 127; or what the
    /// system says. Nothing has changed then (Node ignores the refusal, and part of it may stay).
    #[doc(alias = "setKeepAlive")]
    pub fn set_keep_alive_probes(&self, probes: KeepAliveProbes) -> Result<()> {
        self.wish_keep_alive(KeepAliveWish::new(true, probes))
    }

    fn wish_keep_alive(&self, wish: KeepAliveWish) -> Result<()> {
        wish.check()?;
        let before = self.wishes().keep_alive;
        let off = |wish: Option<KeepAliveWish>| wish.is_none_or(|wish| !wish.enable);
        let unchanged = before == Some(wish) || (off(before) && off(Some(wish)));
        if unchanged || self.is_destroyed() {
            return Ok(());
        }
        self.set_on_tcp(wish.option())?;
        self.inner.state.borrow_mut().wishes_mut().keep_alive = Some(wish);
        Ok(())
    }

    /// How an idle connection is probed; none if it is not.
    pub fn keep_alive(&self) -> Option<KeepAliveProbes> {
        self.ask_tcp(Driver::keep_alive).unwrap_or_else(|| {
            let wish = self.wishes().keep_alive.filter(|wish| wish.enable);
            wish.map(|wish| wish.probes)
        })
    }

    /// How long what was sent may stay unacknowledged before the connection fails with `ETIMEDOUT`
    /// (TCP_USER_TIMEOUT, RFC 5482), in whole milliseconds; also how long probes of
    /// [keep-alive](Self::set_keep_alive) may stay unanswered. `None`, and zero, is the system's
    /// own time: on Linux about a quarter of an hour. fyke's own.
    ///
    /// # Errors
    /// `ERR_OUT_OF_RANGE` for more than 2,147,483,647 ms. `ENOTSUP` on a connection of a system
    /// other than Linux, where it has no effect.
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        let timeout = timeout.filter(|timeout| !timeout.is_zero());
        if timeout.is_some_and(|timeout| timeout > USER_TIMEOUT_MAX) {
            let message = "a user timeout is at most 2147483647 ms";
            return Err(Error::new(ErrorCode::ERR_OUT_OF_RANGE, message));
        }
        if self.wishes().user_timeout == timeout || self.is_destroyed() {
            return Ok(());
        }
        self.set_on_tcp(SocketOption::UserTimeout(timeout))?;
        self.inner.state.borrow_mut().wishes_mut().user_timeout = timeout;
        Ok(())
    }

    /// How long what was sent may stay unacknowledged; none if that is the system's own time.
    pub fn user_timeout(&self) -> Option<Duration> {
        self.ask_tcp(Driver::user_timeout).unwrap_or_else(|| self.wishes().user_timeout)
    }

    /// Sets the type of service (IPv4) or traffic class (IPv6) of what is sent: its upper six bits
    /// are the code point of RFC 2474. Node: `socket.setTypeOfService()`.
    ///
    /// # Errors
    /// What the system says.
    #[doc(alias = "setTypeOfService")]
    pub fn set_type_of_service(&self, value: u8) -> Result<()> {
        if self.wishes().type_of_service == Some(value) {
            return Ok(());
        }
        self.set_on_tcp(SocketOption::TypeOfService(value))?;
        self.inner.state.borrow_mut().wishes_mut().type_of_service = Some(value);
        Ok(())
    }

    /// The type of service: the system's while connected (Linux masks two bits of it on TCP),
    /// otherwise as it was set last, 0 if it never was. Node: `socket.getTypeOfService()`.
    #[doc(alias = "getTypeOfService")]
    pub fn type_of_service(&self) -> u8 {
        let remembered = || self.wishes().type_of_service.unwrap_or_default();
        self.ask_tcp(Driver::type_of_service).unwrap_or_else(remembered)
    }

    /// Sets the size of the system's buffer for what is sent, see
    /// [`SocketOptions::send_buffer_size_bytes`](crate::SocketOptions::send_buffer_size_bytes).
    /// fyke's own.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_send_buffer_size_bytes(&self, bytes: usize) -> Result<()> {
        if self.is_destroyed() {
            return Ok(());
        }
        self.set_on_any(SocketOption::SendBuffer(bytes))?;
        self.inner.state.borrow_mut().wishes_mut().send_buffer_bytes = Some(bytes);
        Ok(())
    }

    /// Sets the size of the system's buffer for what was received, see
    /// [`SocketOptions::receive_buffer_size_bytes`](crate::SocketOptions::receive_buffer_size_bytes).
    /// On a connection it counts, but the window can grow no further than the handshake allowed.
    /// fyke's own.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_receive_buffer_size_bytes(&self, bytes: usize) -> Result<()> {
        if self.is_destroyed() {
            return Ok(());
        }
        self.set_on_any(SocketOption::ReceiveBuffer(bytes))?;
        self.inner.state.borrow_mut().wishes_mut().receive_buffer_bytes = Some(bytes);
        Ok(())
    }

    /// The size of the system's buffer for what is sent, as the system counts it: Linux says twice
    /// of what was asked for. None if it was never set and there is no connection.
    pub fn send_buffer_size_bytes(&self) -> Option<usize> {
        self.buffer_bytes().map(|(send, _)| send).or_else(|| self.wishes().send_buffer_bytes)
    }

    /// The size of the system's buffer for what was received, as
    /// [`send_buffer_size_bytes`](Self::send_buffer_size_bytes).
    pub fn receive_buffer_size_bytes(&self) -> Option<usize> {
        let asked = self.buffer_bytes().map(|(_, receive)| receive);
        asked.or_else(|| self.wishes().receive_buffer_bytes)
    }
}

impl Socket {
    pub(super) fn wishes(&self) -> Wishes {
        self.inner.state.borrow().wishes()
    }

    fn connected_tcp(&self) -> Option<SocketId> {
        let state = self.inner.state.borrow();
        state.connected().filter(|_| !state.unix)
    }

    fn ask_tcp<T>(&self, ask: impl FnOnce(&Driver, SocketId) -> io::Result<T>) -> Option<T> {
        let id = self.connected_tcp()?;
        ask(&self.core()?.driver, id).ok()
    }

    fn buffer_bytes(&self) -> Option<(usize, usize)> {
        let id = self.inner.state.borrow().connected()?;
        self.core()?.driver.buffer_bytes(id).ok()
    }

    fn set_on_tcp(&self, option: SocketOption) -> Result<()> {
        self.connected_tcp().map_or(Ok(()), |id| self.set_option(id, option))
    }

    /// On the connection, or on the attempts that are running.
    fn set_on_any(&self, option: SocketOption) -> Result<()> {
        let ids: Vec<SocketId> = {
            let state = self.inner.state.borrow();
            let connecting = state.rare_if_any().and_then(|rare| rare.connecting.as_ref());
            let attempts = connecting.into_iter().flat_map(|connecting| connecting.ids());
            state.connected().into_iter().chain(attempts).collect()
        };
        ids.into_iter().try_for_each(|id| self.set_option(id, option))
    }

    fn set_option(&self, id: SocketId, option: SocketOption) -> Result<()> {
        let Some(core) = self.core() else { return Ok(()) };
        // Node names the call only for this one (TMO-18).
        let syscall = match option {
            SocketOption::TypeOfService(_) => "setTypeOfService",
            _ => "setsockopt",
        };
        core.driver.set_option(id, option).map_err(|source| Error::system(syscall, source))
    }

    /// Applies what was asked for before the connection stood. The sizes of the buffers were
    /// applied when the socket was made, or are the listener's; so are other options of one whose
    /// listener has them (`inherits`).
    pub(super) fn apply_wishes(&self, inherits: bool) {
        let (has_wishes, no_delay) = {
            let state = self.inner.state.borrow();
            (state.wishes() != Wishes::default(), state.no_delay)
        };
        if !has_wishes && (inherits || !no_delay) {
            return;
        }
        let Some(id) = self.connected_tcp() else { return };
        let wishes = self.wishes();
        let own = wishes.type_of_service.map(SocketOption::TypeOfService);
        let inherited = wishes.inherited(no_delay).filter(|_| !inherits);
        for option in own.into_iter().chain(inherited) {
            // A connection that is gone already says so by itself in a moment.
            let _ = self.set_option(id, option);
        }
    }
}
