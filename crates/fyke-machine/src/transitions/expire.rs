//! Time that has passed.

use std::time::Duration;

use crate::connection::{Connection, Context, Effects};
use crate::{Error, ErrorCode, Moment};

impl<C> Connection<C> {
    /// When to be asked what has [expired](Self::expire): an exact time, and the only one. It may change in every
    /// transition. The idle timeout has a coarse list of its own, see
    /// [`take_idle_deadline`](Self::take_idle_deadline).
    pub fn wake(&self) -> Option<Moment> {
        let connecting = self.cold.as_ref().and_then(|cold| cold.connecting.as_ref());
        let connect = connecting.and_then(|connecting| connecting.wake());
        let stall = self.write.stall_deadline().filter(|_| !self.destroyed());
        connect.into_iter().chain(stall).min()
    }

    /// The time of [`wake`](Self::wake) has come. Too early is no harm.
    pub fn expire(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        self.expire_connect(cx, fx);
        if !self.destroyed() && self.write.has_stalled(cx.now) {
            let message = "the peer took nothing of what was written";
            self.fail(Error::new(ErrorCode::ERR_WRITE_STALLED, message), cx, fx);
        }
    }

    /// Sets the idle timeout; nothing turns it off.
    pub fn set_timeout(&mut self, timeout: Option<Duration>, cx: &Context<'_>) {
        if !self.destroyed() {
            self.idle.set(timeout);
            self.touch(cx);
            // An entry that is on the list already may be too late for a shorter timeout.
            self.unlisted = true;
        }
    }

    /// A listed socket has come due: says whether it was idle. If not, it is to be listed again.
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
