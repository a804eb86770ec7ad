//! The idle timeout. It only notifies, and costs nothing per packet.
// TMO-01 … TMO-09

use std::time::Duration;

use super::{Event, Socket};

/// # Timeout
impl Socket {
    /// Emits `timeout` when nothing was received or written for `timeout`, once per idle period. `None`
    /// turns the timeout off (the default). The socket stays open; call `destroy` or `end` in the listener
    /// to close it.
    ///
    /// Connecting, receiving data, writing, and the completion of a queued write count as activity. The
    /// timeout does not keep the loop alive. Before the connection is established, it works as a connect
    /// timeout. Values above 2,147,483,647 ms are reduced to that. On a closed socket this does nothing.
    /// Whether the program still works for the peer does not matter here; a shutdown of the server asks
    /// that, see [`set_busy`](Self::set_busy). Node: `socket.setTimeout()`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| {
    ///         // A client that is silent for 5 ms is disconnected.
    ///         socket.set_idle_timeout(Some(Duration::from_millis(5)));
    ///         socket.on_idle_timeout(|socket| _ = socket.end_with("too slow"));
    ///     });
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.on_text(|_, text| assert_eq!(text, "too slow"));
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "setTimeout")]
    pub fn set_idle_timeout(&self, timeout: Option<Duration>) {
        self.step(|machine, cx, _| machine.set_timeout(timeout, cx));
    }

    /// Sets the idle timeout as [`set_idle_timeout`](Self::set_idle_timeout) does, and calls `callback`
    /// once, with the next `timeout` event.
    ///
    /// Each call replaces the callback of the previous call if that has not run, so callbacks do not
    /// accumulate when the timeout is set for each message. Listeners of
    /// [`on_idle_timeout`](Self::on_idle_timeout) are kept. In Node, and on a loop made with
    /// [`node_exact`](crate::EventLoopBuilder::node_exact), each call adds a callback, and all of them run.
    /// On a closed socket this does nothing. Node: `socket.setTimeout(timeout, callback)`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> fyke::Result<()> {
    /// fyke::run(|| {
    ///     let server = fyke::create_server(|socket| _ = socket.resume());
    /// #     server.unref_loop();
    ///     server.listen_then(("127.0.0.1", 0), |server| {
    ///         let client = fyke::connect(server.endpoint().unwrap()).unwrap();
    ///         client.set_idle_timeout_then(Duration::from_secs(60), |_| unreachable!("replaced below"));
    ///         client.set_idle_timeout_then(Duration::from_millis(1), |client| _ = client.destroy());
    ///     })
    /// })
    /// # }
    /// ```
    #[doc(alias = "setTimeout")]
    pub fn set_idle_timeout_then(
        &self,
        timeout: Duration,
        callback: impl FnOnce(&Socket) + 'static,
    ) {
        if !self.is_destroyed() {
            self.set_idle_timeout(Some(timeout));
            self.forget_once(Event::Timeout);
            self.once(Event::Timeout, callback);
        }
    }

    /// Returns the idle timeout that was set last: zero if it was turned off, `None` if it was never set.
    /// Node: `socket.timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let socket = fyke::Socket::new();
    /// assert_eq!(socket.idle_timeout(), None);
    /// socket.set_idle_timeout(Some(Duration::from_secs(60)));
    /// assert_eq!(socket.idle_timeout(), Some(Duration::from_secs(60)));
    /// socket.set_idle_timeout(None);
    /// assert_eq!(socket.idle_timeout(), Some(Duration::ZERO));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.inner.state.borrow().idle.timeout()
    }

    /// Handles a listed socket that is due: it was idle, or is listed again. Returns whether it was idle.
    pub(super) fn check_idle(&self) -> bool {
        let Some(now) = self.core().map(|core| core.now()) else { return false };
        let over = self.step(|machine, _, _| machine.look_at_idle(now));
        if over {
            self.guarded(|| self.emit(Event::Timeout));
        }
        over
    }
}
