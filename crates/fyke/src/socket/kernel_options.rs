//! Options that the system keeps for a socket. Before the socket is connected, they are remembered; while
//! it is connected, the getters ask the system.

use std::io;
use std::time::Duration;

use fyke_driver::{Driver, KeepAliveProbes, SocketId, SocketOption};

use super::Socket;
use crate::wishes::{KeepAliveWish, Wishes};
use crate::{Error, ErrorCode, Result};
use fyke_machine::error::MakeError;

/// TCP_USER_TIMEOUT is a number of milliseconds in a C `int` (tcp(7)).
const USER_TIMEOUT_MAX: Duration = Duration::from_millis(0x7fff_ffff);

/// # Options that the system keeps
///
/// Each option can be set at any time. Before the connection is established, the value is remembered and
/// applied just before `connect` is emitted, also when the socket connects again. Setting a value that does
/// not change costs no system call. The getters return the system's value while there is a connection, and
/// the requested value otherwise. On a Unix socket the options have no effect and are only remembered,
/// except the sizes of the buffers.
impl Socket {
    /// Sets whether small writes are sent at once (TCP_NODELAY). Default false: the kernel may combine
    /// them. Node: `socket.setNoDelay()`.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.once_connect(|client| {
    ///             client.set_no_delay(true).unwrap();
    ///             assert!(client.no_delay(), "the system says so");
    ///             client.end();
    ///         });
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The system's error. The option is unchanged then.
    #[doc(alias = "setNoDelay")]
    pub fn set_no_delay(&self, no_delay: bool) -> Result<()> {
        if self.inner.state.borrow().no_delay == no_delay || self.is_destroyed() {
            return Ok(());
        }
        self.set_on_tcp(SocketOption::NoDelay(no_delay))?;
        self.inner.state.borrow_mut().no_delay = no_delay;
        Ok(())
    }

    /// Returns whether small writes are sent at once. No counterpart in Node.
    pub fn no_delay(&self) -> bool {
        self.ask_tcp(Driver::no_delay).unwrap_or_else(|| self.inner.state.borrow().no_delay)
    }

    /// Turns keep-alive probes of an idle connection on or off. `initial_delay` is the idle time before the
    /// first probe, rounded down to whole seconds. Below one second, the delay that was set before is used,
    /// or the system's.
    ///
    /// If a delay is set, further probes follow one second apart, and the connection ends after ten
    /// unanswered probes (Node's values); [`set_keep_alive_probes`](Self::set_keep_alive_probes) sets other
    /// values. Node: `socket.setKeepAlive(enable, initialDelay)`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let socket = fyke::Socket::new();
    /// socket.set_keep_alive(true, Duration::from_millis(60_500))?;
    /// assert_eq!(socket.keep_alive().unwrap().initial_delay, Duration::from_secs(60));
    /// let too_long = socket.set_keep_alive(true, Duration::from_secs(40_000));
    /// assert_eq!(too_long.unwrap_err().code(), fyke::ErrorCode::ERR_OUT_OF_RANGE);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    /// `ERR_OUT_OF_RANGE` if the delay is more than 32,767 seconds, which is Linux's limit; or the system's
    /// error. The option is unchanged then.
    #[doc(alias = "setKeepAlive")]
    pub fn set_keep_alive(&self, enable: bool, initial_delay: Duration) -> Result<()> {
        self.wish_keep_alive(KeepAliveWish::new(enable, KeepAliveProbes::new(initial_delay)))
    }

    /// Turns keep-alive probes of an idle connection on, with the given delay, interval and count. Node:
    /// `socket.setKeepAlive({ enable: true, initialDelay, interval, count })`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use fyke::{KeepAliveProbes, Socket};
    ///
    /// // Probe after one idle minute, then every five seconds; fail after four unanswered probes.
    /// let probes = KeepAliveProbes::new(Duration::from_secs(60));
    /// let socket = Socket::new();
    /// socket.set_keep_alive_probes(probes.interval(Duration::from_secs(5)).count(4))?;
    /// assert_eq!(socket.keep_alive().unwrap().count, 4);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    /// `ERR_OUT_OF_RANGE` for values that Linux does not accept: an initial delay of more than 32,767
    /// seconds, an interval outside of 1 to 32,767 seconds, or a count outside of 1 to 127. Otherwise the
    /// system's error. The options are unchanged then (Node ignores the error, and some of the options may
    /// have changed).
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

    /// Returns how an idle connection is probed, or `None` if keep-alive is off. No counterpart in
    /// Node.
    ///
    /// ```
    /// let socket = fyke::Socket::new();
    /// assert_eq!(socket.keep_alive(), None);
    /// socket.set_keep_alive(true, std::time::Duration::from_secs(60))?;
    /// let probes = socket.keep_alive().unwrap();
    /// assert_eq!((probes.interval.as_secs(), probes.count), (1, 10));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn keep_alive(&self) -> Option<KeepAliveProbes> {
        self.ask_tcp(Driver::keep_alive).unwrap_or_else(|| {
            let wish = self.wishes().keep_alive.filter(|wish| wish.enable);
            wish.map(|wish| wish.probes)
        })
    }

    /// Sets how long sent data may stay unacknowledged before the connection fails with `ETIMEDOUT`
    /// (TCP_USER_TIMEOUT, RFC 5482), in whole milliseconds. It also limits how long
    /// [keep-alive](Self::set_keep_alive) probes may stay unanswered. `None` and zero select the system's
    /// own limit, which is about 15 minutes on Linux. No counterpart in Node.
    ///
    /// ```
    /// let socket = fyke::Socket::new();
    /// let minute = std::time::Duration::from_secs(60);
    /// socket.set_user_timeout(Some(minute))?; // used when the socket is connected
    /// assert_eq!(socket.user_timeout(), Some(minute));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    /// `ERR_OUT_OF_RANGE` for more than 2,147,483,647 ms. `ENOTSUP` on a connection of a system other than
    /// Linux, where it has no effect.
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        let timeout = timeout.filter(|timeout| !timeout.is_zero());
        if let Some(timeout) = timeout.filter(|timeout| *timeout > USER_TIMEOUT_MAX) {
            let message =
                format!("the user timeout must be at most 2147483647 ms, not {timeout:?}");
            return Err(Error::new(ErrorCode::ERR_OUT_OF_RANGE, message));
        }
        if self.wishes().user_timeout == timeout || self.is_destroyed() {
            return Ok(());
        }
        self.set_on_tcp(SocketOption::UserTimeout(timeout))?;
        self.inner.state.borrow_mut().wishes_mut().user_timeout = timeout;
        Ok(())
    }

    /// Returns how long sent data may stay unacknowledged, or `None` for the system's own limit. No
    /// counterpart in Node.
    pub fn user_timeout(&self) -> Option<Duration> {
        self.ask_tcp(Driver::user_timeout).unwrap_or_else(|| self.wishes().user_timeout)
    }

    /// Sets the type of service (IPv4) or traffic class (IPv6) of sent packets. The upper six bits are the
    /// code point of RFC 2474. Node: `socket.setTypeOfService()`.
    ///
    /// ```
    /// let socket = fyke::Socket::new();
    /// socket.set_type_of_service(0x10)?; // low delay
    /// assert_eq!(socket.type_of_service(), 0x10);
    /// # Ok::<(), fyke::Error>(())
    /// ```
    ///
    /// # Errors
    /// The system's error.
    #[doc(alias = "setTypeOfService")]
    pub fn set_type_of_service(&self, value: u8) -> Result<()> {
        if self.wishes().type_of_service == Some(value) {
            return Ok(());
        }
        self.set_on_tcp(SocketOption::TypeOfService(value))?;
        self.inner.state.borrow_mut().wishes_mut().type_of_service = Some(value);
        Ok(())
    }

    /// Returns the type of service. While connected, this is the system's value (Linux masks two of its
    /// bits on TCP); otherwise the value that was set last, 0 by default. Node:
    /// `socket.getTypeOfService()`.
    #[doc(alias = "getTypeOfService")]
    pub fn type_of_service(&self) -> u8 {
        let remembered = || self.wishes().type_of_service.unwrap_or_default();
        self.ask_tcp(Driver::type_of_service).unwrap_or_else(remembered)
    }

    /// Sets the size of the system's send buffer in bytes, see
    /// [`SocketOptions::send_buffer_size_bytes`](crate::SocketOptions::send_buffer_size_bytes). No
    /// counterpart in Node.
    ///
    /// # Errors
    /// The system's error.
    pub fn set_send_buffer_size_bytes(&self, bytes: usize) -> Result<()> {
        if self.is_destroyed() {
            return Ok(());
        }
        self.set_on_any(SocketOption::SendBuffer(bytes))?;
        self.inner.state.borrow_mut().wishes_mut().send_buffer_bytes = Some(bytes);
        Ok(())
    }

    /// Sets the size of the system's receive buffer in bytes, see
    /// [`SocketOptions::receive_buffer_size_bytes`](crate::SocketOptions::receive_buffer_size_bytes). It
    /// also applies to an established connection, but the window cannot grow beyond what the handshake
    /// allowed. No counterpart in Node.
    ///
    /// ```
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.once_connect(|client| {
    ///             client.set_receive_buffer_size_bytes(32_768).unwrap();
    ///             assert!(client.receive_buffer_size_bytes().unwrap() >= 32_768);
    ///             client.end();
    ///         });
    ///         client.resume();
    ///     })
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// The system's error.
    pub fn set_receive_buffer_size_bytes(&self, bytes: usize) -> Result<()> {
        if self.is_destroyed() {
            return Ok(());
        }
        self.set_on_any(SocketOption::ReceiveBuffer(bytes))?;
        self.inner.state.borrow_mut().wishes_mut().receive_buffer_bytes = Some(bytes);
        Ok(())
    }

    /// Returns the size of the system's send buffer in bytes, as the system reports it: Linux reports twice
    /// the requested size. Without a connection, returns the requested size, or `None` if none was set.
    /// No counterpart in Node.
    ///
    /// ```
    /// let socket = fyke::Socket::new();
    /// assert_eq!(socket.send_buffer_size_bytes(), None);
    /// socket.set_send_buffer_size_bytes(32_768)?;
    /// assert_eq!(socket.send_buffer_size_bytes(), Some(32_768));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn send_buffer_size_bytes(&self) -> Option<usize> {
        self.buffer_bytes().map(|(send, _)| send).or_else(|| self.wishes().send_buffer_bytes)
    }

    /// Returns the size of the system's receive buffer in bytes, as the system reports it: Linux reports
    /// twice the requested size. Without a connection, returns the requested size, or `None` if none was
    /// set. No counterpart in Node.
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

    /// Sets an option on the connection, or on the attempts that are running.
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
        // Node names the syscall only for this option (TMO-18).
        let syscall = match option {
            SocketOption::TypeOfService(_) => "setTypeOfService",
            _ => "setsockopt",
        };
        core.driver.set_option(id, option).map_err(|source| Error::system(syscall, source))
    }

    /// Applies the options that were requested before the connection was established. The sizes of the
    /// buffers were set when the descriptor was made, or are inherited from the listener. `inherits`: the
    /// other options that the listener has are inherited too.
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
            // If the connection is gone already, its own error follows.
            let _ = self.set_option(id, option);
        }
    }
}
