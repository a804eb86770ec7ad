//! What ends a wait when a deadline comes, without a timeout in the wait itself.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;

use super::Clock;
use crate::limits::WAIT_MAX;

/// A timerfd that the poller watches, edge-triggered, so it is never read (timerfd_create(2)).
///
/// A wait with a timeout makes the kernel start a timer before each sleep and take it back after it,
/// which costs about a microsecond each time. This one stays: it is set again only when it has rung,
/// or when something is due earlier. So it may ring for a deadline that was put off meanwhile (an
/// idle timeout moves with every message); that turn then finds nothing to do.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// None where it cannot be had: then waits have timeouts.
    timer: Option<OwnedFd>,
    /// Whether the poller watches it, which is the backend's to do and to say.
    pub(crate) watched: Cell<bool>,
    /// On the driver's clock. None: it has rung, or was never set.
    rings_at: Cell<Option<Duration>>,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Self { timer: timer(), watched: Cell::new(false), rings_at: Cell::new(None) }
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.timer.as_ref().map(AsFd::as_fd)
    }

    /// How long to wait, at most `timeout` and until `deadline`; none where it ends the wait itself.
    #[inline]
    pub(crate) fn wait_time(
        &self,
        timeout: Option<Duration>,
        deadline: Option<Duration>,
        clock: &Clock,
    ) -> Option<Duration> {
        let timeout = match deadline {
            Some(at) => at.saturating_sub(clock.elapsed()).min(timeout.unwrap_or(WAIT_MAX)),
            None => timeout?,
        };
        (!self.rings_within(timeout, clock)).then(|| timeout.min(WAIT_MAX))
    }

    /// Sees to it that it rings in at most `timeout`, and returns whether it will.
    #[inline]
    fn rings_within(&self, timeout: Duration, clock: &Clock) -> bool {
        // Whoever says how long to wait has just looked at the clock; that saves looking again.
        let last = clock.last_seen();
        let rings_in_time = |at| last < at && at - last <= timeout;
        self.rings_at.get().is_some_and(rings_in_time) || self.set_within(timeout, clock)
    }

    #[cold]
    fn set_within(&self, timeout: Duration, clock: &Clock) -> bool {
        let Some(timer) = &self.timer else { return false };
        if timeout.is_zero() || !self.watched.get() {
            return false;
        }
        let deadline = clock.last_seen().saturating_add(timeout);
        let now = clock.elapsed();
        let deadline = if deadline > now { deadline } else { now.saturating_add(timeout) };
        let is_set = set(timer, deadline - now).is_ok();
        self.rings_at.set(is_set.then_some(deadline));
        is_set
    }

    /// The poller has reported it, or may have without its being seen.
    pub(crate) fn has_rung(&self) {
        self.rings_at.set(None);
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn timer() -> Option<OwnedFd> {
    use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    timerfd_create(TimerfdClockId::Monotonic, flags).ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn timer() -> Option<OwnedFd> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set(timer: &OwnedFd, after: Duration) -> Result<(), Errno> {
    use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
    let it_value = Timespec::try_from(after).map_err(|_| Errno::INVAL)?;
    let once = Itimerspec { it_interval: Timespec::default(), it_value };
    timerfd_settime(timer, TimerfdTimerFlags::empty(), &once).map(drop)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set(_: &OwnedFd, _: Duration) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn watched() -> (Clock, Alarm) {
        let alarm = Alarm::new();
        alarm.watched.set(true);
        (Clock::start(), alarm)
    }

    #[test]
    fn one_that_nobody_watches_leaves_the_wait_its_timeout() {
        let (clock, alarm) = (Clock::start(), Alarm::new());
        assert_eq!(alarm.wait_time(Some(SECOND), None, &clock), Some(SECOND));
        alarm.watched.set(true);
        assert_eq!(alarm.wait_time(Some(SECOND), None, &clock), None);
    }

    #[test]
    fn a_wait_ends_at_the_earlier_of_timeout_and_deadline() {
        let (clock, alarm) = watched();
        assert_eq!(alarm.wait_time(None, None, &clock), None);
        assert_eq!(alarm.rings_at.get(), None, "nothing to wait for");
        assert_eq!(
            alarm.wait_time(Some(SECOND), Some(Duration::ZERO), &clock),
            Some(Duration::ZERO)
        );
        // Longer than a timerfd can be set to.
        assert_eq!(alarm.wait_time(Some(Duration::MAX), None, &clock), Some(WAIT_MAX));
        assert_eq!(alarm.wait_time(Some(60 * SECOND), Some(30 * SECOND), &clock), None);
        assert!(left(&alarm) <= 30 * SECOND && left(&alarm) > 20 * SECOND, "{:?}", left(&alarm));
    }

    #[allow(clippy::unwrap_used, reason = "a test")]
    fn left(alarm: &Alarm) -> Duration {
        let left = rustix::time::timerfd_gettime(alarm.fd().unwrap()).unwrap().it_value;
        Duration::try_from(left).unwrap()
    }

    #[test]
    fn a_later_deadline_leaves_it_and_an_earlier_one_sets_it() {
        let (clock, alarm) = watched();
        assert!(alarm.rings_within(60 * SECOND, &clock));
        let first = alarm.rings_at.get().unwrap();
        clock.elapsed();
        assert!(alarm.rings_within(60 * SECOND, &clock));
        assert_eq!(alarm.rings_at.get(), Some(first));
        assert!(alarm.rings_within(30 * SECOND, &clock));
        assert!(alarm.rings_at.get().unwrap() < first);
        assert!(left(&alarm) <= 30 * SECOND && left(&alarm) > 20 * SECOND, "{:?}", left(&alarm));
    }

    #[test]
    fn the_same_deadline_seen_later_is_the_same_one() {
        let (clock, alarm) = watched();
        let deadline = clock.elapsed() + SECOND;
        for _ in 0..3 {
            let now = clock.elapsed();
            assert!(alarm.rings_within(deadline - now, &clock));
            assert_eq!(alarm.rings_at.get(), Some(deadline));
        }
    }

    #[test]
    fn what_has_rung_is_set_again() {
        let (clock, alarm) = watched();
        for _ in 0..2 {
            // The clock is not read here: what it gave last is long ago, and not what counts.
            assert!(alarm.rings_within(Duration::from_millis(1), &clock));
            let mut fds = [PollFd::from_borrowed_fd(alarm.fd().unwrap(), PollFlags::IN)];
            assert_eq!(poll(&mut fds, None), Ok(1));
            alarm.has_rung();
        }
    }
}
