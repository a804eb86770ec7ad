//! The idle timeout: it only notifies, and costs nothing per packet.
// TMO-01 … TMO-09

use std::time::Duration;

use crate::Moment;

/// Longer timeouts are reduced to this, as in Node.
// TMO-07.
const TIMEOUT_MAX: Duration = Duration::from_millis(0x7fff_ffff);

/// A deadline that is further ahead than this is listed imprecisely at first, and again when it is near. So
/// thousands of sockets share one entry of the list; otherwise each would need its own millisecond.
const FAR: Duration = Duration::from_secs(1);
const ROUGHLY: Duration = Duration::from_millis(250);

/// The state of a socket's idle timeout, and whether the application works for its peer.
#[derive(Debug)]
pub struct Idle {
    /// The last value that was set. Zero if it was turned off.
    timeout: Option<Moment>,
    /// The time of the last activity, on the loop's clock.
    last: Moment,
    /// The time of this socket's entry on the loop's list, if it has one.
    listed: Option<Moment>,
    /// Whether the timeout is active: it was set since the connection began, and the socket is not
    /// destroyed.
    // CON-16.
    armed: bool,
    /// The period has ended and `timeout` was emitted. Only activity begins another period.
    fired: bool,
    /// The application works for the peer. False if it has declared that it does not, and nothing was
    /// received since then.
    pub(crate) busy: bool,
    /// The server of this socket is shutting down: the socket is ended when it is not busy.
    pub draining: bool,
}

impl Default for Idle {
    fn default() -> Self {
        Self {
            timeout: None,
            last: Moment::ZERO,
            listed: None,
            armed: false,
            fired: false,
            busy: true,
            draining: false,
        }
    }
}

impl Idle {
    fn active_timeout(&self) -> Option<Moment> {
        self.timeout.filter(|timeout| self.armed && !timeout.is_zero())
    }

    /// Records activity. Returns whether the deadline may have to be listed. An existing entry is always
    /// early enough, because activity only postpones the deadline.
    pub fn note_activity(&mut self, now: Moment) -> bool {
        if !self.armed {
            return false;
        }
        self.last = now;
        self.fired = false;
        self.listed.is_none()
    }

    /// Whether activity only changes the time of the last activity: no timeout is active, or there is
    /// already an entry on the list, which is early enough.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        !self.armed || self.listed.is_some()
    }

    /// Records activity while the timeout is [settled](Self::is_settled).
    #[inline]
    pub(crate) fn note_plain_activity(&mut self, now: Moment) {
        debug_assert!(self.is_settled() && !(self.armed && self.fired));
        self.last = now;
    }

    /// Returns when to check the socket, if that time must be added to the list.
    pub fn must_list(&mut self, now: Duration) -> Option<Duration> {
        let deadline = self.last.saturating_add(self.active_timeout()?);
        if self.fired || self.listed.is_some_and(|listed| listed <= deadline) {
            return None;
        }
        let far = deadline > Moment::from(now).saturating_add(FAR.into());
        let look = if far { deadline.rounded_down(ROUGHLY.into()) } else { deadline };
        self.listed = Some(look);
        Some(look.into())
    }

    /// Called when the entry on the list is due. Returns whether the socket was idle.
    pub fn is_over(&mut self, now: Duration, write_progressed: impl FnOnce() -> bool) -> bool {
        let now = now.into();
        // This entry is older than the current one: a shorter timeout was set since then.
        if self.listed.is_none_or(|listed| listed > now) {
            return false;
        }
        self.listed = None;
        let Some(timeout) = self.active_timeout() else { return false };
        if self.fired || self.last.saturating_add(timeout) > now {
            return false;
        }
        if write_progressed() {
            // A write that makes progress postpones the timeout (TMO-09).
            self.last = now;
            return false;
        }
        self.fired = true;
        true
    }

    /// Turns the timeout off because the socket is destroyed.
    pub fn turn_off(&mut self) {
        self.armed = false;
    }

    /// Sets the timeout. `None` turns it off.
    pub fn set(&mut self, timeout: Option<Duration>) {
        let timeout = Moment::from(timeout.unwrap_or_default().min(TIMEOUT_MAX));
        self.timeout = Some(timeout);
        // A socket without a timeout need not record activity for it.
        self.armed = !timeout.is_zero();
    }

    /// The last value that was set: zero if it was turned off, `None` if it was never set.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout.map(Duration::from)
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
    fn activity_postpones_the_timeout_without_another_entry() {
        let mut idle = idle(SECOND);
        assert_eq!(idle.must_list(START), Some(SECOND));
        idle.last = (SECOND / 2).into();
        assert_eq!(idle.must_list(SECOND / 2), None, "one entry is enough");
        assert!(!idle.is_over(SECOND, || false));
        assert_eq!(idle.must_list(SECOND), Some(SECOND * 3 / 2));
        assert!(idle.is_over(SECOND * 3 / 2, || false));
    }

    #[test]
    fn tmo_01_the_timeout_is_emitted_once_per_idle_period() {
        let mut idle = idle(SECOND);
        idle.must_list(START);
        assert!(idle.is_over(SECOND, || false));
        assert_eq!(idle.must_list(SECOND), None);
    }

    #[test]
    fn a_shorter_timeout_is_listed_beside_the_longer_entry_which_is_then_ignored() {
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
    fn a_distant_deadline_is_checked_slightly_early_and_then_to_the_nanosecond() {
        let mut idle = idle(10 * SECOND);
        idle.last = Duration::from_nanos(300_000_001).into();
        let (early, deadline) = (Duration::from_millis(10_250), Duration::new(10, 300_000_001));
        assert_eq!(idle.must_list(START), Some(early));
        assert!(!idle.is_over(early, || false));
        assert_eq!(idle.must_list(early), Some(deadline));
        assert!(idle.is_over(deadline, || false));
    }
}
