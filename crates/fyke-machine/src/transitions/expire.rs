//! Time that has passed.

use std::time::Duration;

use crate::connection::{Connection, Context};

impl<C> Connection<C> {
    /// Sets the idle timeout; nothing turns it off.
    pub fn set_timeout(&mut self, timeout: Option<Duration>, cx: &Context<'_>) {
        if !self.destroyed() {
            self.idle.set(timeout);
            self.touch(cx);
            // An entry that is on the list already may be too late for a shorter timeout.
            self.unlisted = true;
        }
    }

    /// A listed socket has come due. Returns whether it was idle. If not, it is to be listed again.
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
