//! Ends a wait at a deadline without a timeout in the wait itself.

use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;

use crate::Moment;
use crate::limits::WAIT_MAX;
use crate::system::Clock;

/// A timerfd that the poller watches, edge-triggered, so it is never read (timerfd_create(2)).
///
/// For a wait with a timeout, the kernel starts a timer before each sleep and cancels it afterwards,
/// which costs about a microsecond each time. This timer stays set: it is set again only after it has
/// expired, or when something is due earlier. So it may expire for a deadline that was postponed (an
/// idle timeout moves with every message); that turn then finds no work.
#[derive(Debug)]
pub(crate) struct Alarm {
    /// `None` if it cannot be created: then waits have timeouts.
    timer: Option<OwnedFd>,
    /// Whether the poller watches it. The backend sets this.
    pub(crate) watched: Cell<bool>,
    /// On the driver's clock. `None` if it has expired or was never set.
    rings_at: Cell<Option<Moment>>,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Self { timer: timer(), watched: Cell::new(false), rings_at: Cell::new(None) }
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.timer.as_ref().map(AsFd::as_fd)
    }

    /// Makes a poller watch it.
    pub(crate) fn watch(&self, registry: &Registry, token: Token) {
        if let Some(fd) = self.fd() {
            let fd = fd.as_raw_fd();
            let watched = registry.register(&mut SourceFd(&fd), token, Interest::READABLE);
            self.watched.set(watched.is_ok());
        }
    }

    /// How long to wait for a time; `None` if the alarm ends the wait.
    #[inline]
    pub(crate) fn wait_time(&self, until: Moment, clock: &Clock) -> Option<Duration> {
        // The caller has just read the clock, which saves reading it again.
        let last = clock.last_seen();
        let rings_in_time = |at| last < at && at <= until;
        match self.rings_at.get() {
            Some(at) if rings_in_time(at) => None,
            _ if until <= last => Some(Duration::ZERO),
            _ => self.set(until, clock),
        }
    }

    /// Sets the alarm to a time. Returns how long to wait if it cannot.
    #[inline(never)]
    fn set(&self, until: Moment, clock: &Clock) -> Option<Duration> {
        let now = clock.now();
        let wait = (until - now).min(WAIT_MAX);
        let timer = self.timer.as_ref().filter(|_| self.watched.get() && !wait.is_zero());
        let Some(timer) = timer else { return Some(wait) };
        let is_set = set(timer, wait).is_ok();
        self.rings_at.set(is_set.then_some(now + wait));
        if is_set { None } else { Some(wait) }
    }

    /// The poller has reported the alarm, or may have without being noticed.
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
    fn an_alarm_that_is_not_watched_leaves_the_wait_its_timeout() {
        let (clock, alarm) = (Clock::start(), Alarm::new());
        let until = clock.now() + SECOND;
        let wait = alarm.wait_time(until, &clock).unwrap();
        assert!(wait <= SECOND && wait > SECOND / 2, "{wait:?}");
        alarm.watched.set(true);
        assert_eq!(alarm.wait_time(until, &clock), None);
    }

    #[test]
    fn a_time_that_is_over_is_not_waited_for_and_one_far_ahead_is_reduced() {
        let (clock, alarm) = watched();
        assert_eq!(alarm.wait_time(Moment::ZERO, &clock), Some(Duration::ZERO));
        // Longer than a timerfd supports.
        assert_eq!(alarm.wait_time(Duration::MAX.into(), &clock), None);
        assert!(left(&alarm) <= WAIT_MAX && left(&alarm) > WAIT_MAX / 2, "{:?}", left(&alarm));
    }

    #[allow(clippy::unwrap_used, reason = "a test")]
    fn left(alarm: &Alarm) -> Duration {
        let left = rustix::time::timerfd_gettime(alarm.fd().unwrap()).unwrap().it_value;
        Duration::try_from(left).unwrap()
    }

    #[test]
    fn a_later_deadline_leaves_it_and_an_earlier_one_sets_it() {
        let (clock, alarm) = watched();
        let now = clock.now();
        assert_eq!(alarm.wait_time(now + 60 * SECOND, &clock), None);
        let first = alarm.rings_at.get().unwrap();
        clock.now();
        assert_eq!(alarm.wait_time(now + 61 * SECOND, &clock), None);
        assert_eq!(alarm.rings_at.get(), Some(first));
        assert_eq!(alarm.wait_time(now + 30 * SECOND, &clock), None);
        assert!(alarm.rings_at.get().unwrap() < first);
        assert!(left(&alarm) <= 30 * SECOND && left(&alarm) > 20 * SECOND, "{:?}", left(&alarm));
    }

    #[test]
    fn an_alarm_that_has_rung_is_set_again() {
        let (clock, alarm) = watched();
        for _ in 0..2 {
            // The clock is not read here, so its last value is old and must not be used.
            assert_eq!(alarm.wait_time(clock.now() + Duration::from_millis(1), &clock), None);
            let mut fds = [PollFd::from_borrowed_fd(alarm.fd().unwrap(), PollFlags::IN)];
            assert_eq!(poll(&mut fds, None), Ok(1));
            alarm.has_rung();
        }
    }
}
