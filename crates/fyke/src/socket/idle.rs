//! The idle timeout (TMO-01 … TMO-09): it only notifies, and costs nothing per packet.

use std::time::Duration;

use super::{Event, Socket};

/// # Timeout
impl Socket {
    /// Emits `timeout` when nothing was received or written for that long; once per idle period.
    /// `None` turns it off. Nothing is closed: call `destroy` or `end` in the listener if that is
    /// what you want.
    ///
    /// Counts as activity: connecting, anything that comes from the peer, a write, and a queued
    /// write being done. The timeout does not keep the loop alive. Before a connection it works as
    /// a connect timeout. Longer than 2,147,483,647 ms is cut to that. On a closed socket it does
    /// nothing. Node: `socket.setTimeout()`.
    #[doc(alias = "setTimeout")]
    pub fn set_idle_timeout(&self, timeout: Option<Duration>) {
        self.step(|machine, cx, _| machine.set_timeout(timeout, cx));
    }

    /// Sets the idle timeout as [`set_idle_timeout`](Self::set_idle_timeout) does, and calls `callback` once, with
    /// the next `timeout` event.
    ///
    /// A call replaces the callback of the call before, if that has not run; listeners of
    /// [`on_idle_timeout`](Self::on_idle_timeout) stay. So setting the timeout for each message does not
    /// collect callbacks. In Node, and on a loop made with
    /// [`node_exact`](crate::EventLoopBuilder::node_exact), each call adds one more, and all run. On a closed
    /// socket it does nothing. Node: `socket.setTimeout(timeout, callback)`.
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

    /// The idle timeout as it was last set: zero when it was turned off, none if it never was.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.inner.state.borrow().idle.timeout()
    }

    /// A listed socket has come due: it was idle, or is listed again. Returns whether it was idle.
    pub(super) fn check_idle(&self) -> bool {
        let Some(now) = self.core().map(|core| core.now()) else { return false };
        let over = self.step(|machine, _, _| machine.look_at_idle(now));
        if over {
            self.guarded(|| self.emit(Event::Timeout));
        }
        over
    }
}
