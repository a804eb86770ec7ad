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
