//! The idle timeout (TMO-01 … TMO-09): it only notifies, and costs nothing per packet.

use std::time::Duration;

use super::{Event, Socket};
use crate::runtime::Nanoseconds;

/// Node cuts longer ones to this (TMO-07).
const TIMEOUT_MAX: Duration = Duration::from_millis(0x7fff_ffff);

/// What is further ahead than this is listed roughly, and once more when it is near: so thousands of
/// sockets share an entry of the list, where each would have its own millisecond.
const FAR: Duration = Duration::from_secs(1);
const ROUGHLY: Duration = Duration::from_millis(250);

/// What a socket remembers for its idle timeout, and what the application says of being idle.
#[derive(Debug)]
pub(super) struct Idle {
    /// As last set: zero when it was turned off.
    timeout: Option<Nanoseconds>,
    /// When there was activity last, on the loop's clock.
    last: Nanoseconds,
    /// The time of our entry on the loop's list, if there is one. The entry ends with the connection.
    listed: Option<Nanoseconds>,
    /// Counts: set since the connection began, and the socket is not destroyed (CON-16).
    armed: bool,
    /// The period is over and `timeout` was emitted: only activity begins another.
    fired: bool,
    /// Declared idle by the application, and nothing was received since.
    pub(super) declared: bool,
    /// Its server shuts down: it is ended when it is declared idle.
    pub(super) draining: bool,
}

impl Default for Idle {
    fn default() -> Self {
        Self {
            timeout: None,
            last: Nanoseconds::ZERO,
            listed: None,
            armed: false,
            fired: false,
            declared: false,
            draining: false,
        }
    }
}

impl Idle {
    fn active_timeout(&self) -> Option<Nanoseconds> {
        self.timeout.filter(|timeout| self.armed && !timeout.is_zero())
    }

    /// There was activity. Says whether to look at the list: an entry that is on it comes early
    /// enough, for activity moves the deadline only away.
    pub(super) fn note_activity(&mut self, now: Nanoseconds) -> bool {
        if !self.armed {
            return false;
        }
        self.last = now;
        self.fired = false;
        self.listed.is_none()
    }

    /// Says when to be looked at, if that must be listed.
    fn must_list(&mut self, now: Duration) -> Option<Duration> {
        let deadline = self.last.saturating_add(self.active_timeout()?);
        if self.fired || self.listed.is_some_and(|listed| listed <= deadline) {
            return None;
        }
        let far = deadline > Nanoseconds::from(now).saturating_add(FAR.into());
        let look = if far { deadline.rounded_down(ROUGHLY.into()) } else { deadline };
        self.listed = Some(look);
        Some(look.into())
    }

    /// The entry on the list has come due. Says whether the socket has been idle.
    fn is_over(&mut self, now: Duration, write_progressed: impl FnOnce() -> bool) -> bool {
        let now = now.into();
        // An older entry than the one we count on: a shorter timeout was set since.
        if self.listed.is_none_or(|listed| listed > now) {
            return false;
        }
        self.listed = None;
        let Some(timeout) = self.active_timeout() else { return false };
        if self.fired || self.last.saturating_add(timeout) > now {
            return false;
        }
        if write_progressed() {
            // A write that progresses postpones it (TMO-09).
            self.last = now;
            return false;
        }
        self.fired = true;
        true
    }

    pub(super) fn turn_off(&mut self) {
        self.armed = false;
        self.listed = None;
    }
}

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
    pub fn set_timeout(&self, timeout: Option<Duration>) {
        {
            let mut state = self.inner.state.borrow_mut();
            if state.destroyed() {
                return;
            }
            state.idle.timeout = Some(timeout.unwrap_or_default().min(TIMEOUT_MAX).into());
            state.idle.armed = true;
        }
        self.touch();
        // An entry that is on the list already may be too late for a shorter timeout.
        self.list_idle();
    }

    /// Sets the idle timeout as [`set_timeout`](Self::set_timeout) does, and calls `callback` once, with
    /// the next `timeout` event.
    ///
    /// A call replaces the callback of the call before, if that has not run; listeners of
    /// [`on_timeout`](Self::on_timeout) stay. So setting the timeout for each message does not
    /// collect callbacks. In Node, and on a loop made with
    /// [`node_exact`](crate::Builder::node_exact), each call adds one more, and all run. On a closed
    /// socket it does nothing. Node: `socket.setTimeout(timeout, callback)`.
    pub fn set_timeout_then(&self, timeout: Duration, callback: impl FnOnce(&Socket) + 'static) {
        if !self.destroyed() {
            self.set_timeout(Some(timeout));
            self.forget_once(Event::Timeout);
            self.once(Event::Timeout, callback);
        }
    }

    /// The idle timeout as it was last set: zero when it was turned off, none if it never was.
    pub fn timeout(&self) -> Option<Duration> {
        self.inner.state.borrow().idle.timeout.map(Duration::from)
    }

    /// There was activity.
    pub(super) fn touch(&self) {
        let Some(core) = self.core() else { return };
        if self.inner.state.borrow_mut().idle.note_activity(core.moment()) {
            self.list_idle();
        }
    }

    fn list_idle(&self) {
        let Some(core) = self.core() else { return };
        let (deadline, id) = {
            let mut state = self.inner.state.borrow_mut();
            let Some(deadline) = state.idle.must_list(core.now()) else { return };
            (deadline, state.connected())
        };
        match id {
            Some(id) => core.list_idle(deadline, id),
            None => core.list_idle_unopened(deadline, self.downgrade()),
        }
    }

    /// A listed socket has come due: it was idle, or is listed again. Returns whether it was idle.
    pub(super) fn check_idle(&self) -> bool {
        let Some(core) = self.core() else { return false };
        let over = {
            let mut state = self.inner.state.borrow_mut();
            if state.destroyed() {
                return false;
            }
            let state = &mut *state;
            let (idle, write) = (&mut state.idle, &mut state.write);
            idle.is_over(core.now(), || write.take_progress())
        };
        self.list_idle();
        if over {
            self.guarded(|| self.emit(Event::Timeout));
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    const START: Duration = Duration::ZERO;

    fn idle(timeout: Duration) -> Idle {
        Idle { timeout: Some(timeout.into()), armed: true, ..Idle::default() }
    }

    #[test]
    fn activity_postpones_without_another_entry() {
        let mut idle = idle(SECOND);
        assert_eq!(idle.must_list(START), Some(SECOND));
        idle.last = (SECOND / 2).into();
        assert_eq!(idle.must_list(SECOND / 2), None, "one entry is enough");
        assert!(!idle.is_over(SECOND, || false));
        assert_eq!(idle.must_list(SECOND), Some(SECOND * 3 / 2));
        assert!(idle.is_over(SECOND * 3 / 2, || false));
    }

    #[test]
    fn tmo_01_it_comes_once_per_idle_period() {
        let mut idle = idle(SECOND);
        idle.must_list(START);
        assert!(idle.is_over(SECOND, || false));
        assert_eq!(idle.must_list(SECOND), None);
    }

    #[test]
    fn a_shorter_timeout_is_listed_beside_the_longer_one_which_is_then_ignored() {
        let mut idle = idle(10 * SECOND);
        idle.must_list(START);
        idle.timeout = Some(SECOND.into());
        assert_eq!(idle.must_list(START), Some(SECOND));
        assert!(idle.is_over(SECOND, || false));
        assert!(!idle.is_over(10 * SECOND, || false));
    }

    #[test]
    fn tmo_09_a_write_that_progresses_postpones_and_one_that_stalls_does_not() {
        let mut idle = idle(SECOND);
        idle.must_list(START);
        assert!(!idle.is_over(SECOND, || true));
        idle.must_list(SECOND);
        assert!(!idle.is_over(2 * SECOND, || true));
        idle.must_list(2 * SECOND);
        assert!(idle.is_over(3 * SECOND, || false));
    }

    #[test]
    fn what_is_far_ahead_is_looked_at_a_little_early_and_then_to_the_nanosecond() {
        let mut idle = idle(10 * SECOND);
        idle.last = Duration::from_nanos(300_000_001).into();
        let (early, deadline) = (Duration::from_millis(10_250), Duration::new(10, 300_000_001));
        assert_eq!(idle.must_list(START), Some(early));
        assert!(!idle.is_over(early, || false));
        assert_eq!(idle.must_list(early), Some(deadline));
        assert!(idle.is_over(deadline, || false));
    }
}
