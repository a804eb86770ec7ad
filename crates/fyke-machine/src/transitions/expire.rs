//! Time limits that have passed.

use std::time::Duration;

use crate::connection::{Connection, Context, Effects};
use crate::{Error, ErrorCode, Moment};

impl<C> Connection<C> {
    /// When to call [`expire`](Self::expire). This is the only exact time of a connection, and it may
    /// change in every transition. The idle timeout uses a separate, coarse list, see
    /// [`take_idle_deadline`](Self::take_idle_deadline).
    pub fn wake(&self) -> Option<Moment> {
        let stall = self.write.stall_deadline().filter(|_| !self.destroyed());
        // Most connections have nothing rare, and this runs after each batch of writes.
        let Some(cold) = &self.cold else { return stall };
        let push = cold.push_deadline.filter(|_| !self.destroyed());
        let connect = cold.connecting.as_ref().and_then(|connecting| connecting.wake());
        [connect, push, stall].into_iter().flatten().min()
    }

    /// Handles the time of [`wake`](Self::wake). Calling it too early does no harm.
    pub fn expire(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        self.expire_connect(cx, fx);
        if !self.destroyed() && (self.write.has_stalled(cx.now) || self.has_push_stalled(cx.now)) {
            let message = "the peer accepted none of the queued bytes within write_stall_timeout";
            self.fail(Error::new(ErrorCode::ERR_WRITE_STALLED, message), cx, fx);
        }
    }

    /// Sets the idle timeout. `None` turns it off.
    pub fn set_timeout(&mut self, timeout: Option<Duration>, cx: &Context<'_>) {
        if !self.destroyed() {
            self.idle.set(timeout);
            self.touch(cx);
            // An existing entry on the list may be too late for a shorter timeout.
            self.unlisted = true;
        }
    }

    /// An entry on the idle list is due. Returns whether the socket was idle. If not, it must be listed
    /// again.
    pub fn look_at_idle(&mut self, now: Duration) -> bool {
        if self.destroyed() {
            return false;
        }
        let write = &mut self.write;
        let over = self.idle.is_over(now, || write.take_progress());
        self.unlisted = true;
        over
    }
}
