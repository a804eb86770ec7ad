//! The clock of the drivers of real systems.

use std::cell::Cell;

use crate::Moment;

/// The system's monotonic clock, starting when this was created.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Time,
    last: Cell<Moment>,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: time(), last: Cell::new(Moment::ZERO) }
    }

    /// The time since this was created.
    #[inline]
    pub(crate) fn now(&self) -> Moment {
        let now = since(self.started);
        self.last.set(now);
        now
    }

    /// The last result of [`now`](Self::now).
    #[inline]
    pub(crate) fn last_seen(&self) -> Moment {
        self.last.get()
    }
}

/// In nanoseconds, of the clock that `Instant` uses. It is read twice per turn, and `Instant` checks
/// each time for errors that cannot occur.
#[cfg(not(any(target_vendor = "apple", windows)))]
type Time = u64;

/// On Apple's systems the monotonic clock continues while the machine sleeps, and `Instant` does not. Windows has
/// no such clock as a plain call.
#[cfg(any(target_vendor = "apple", windows))]
type Time = std::time::Instant;

#[cfg(not(any(target_vendor = "apple", windows)))]
#[inline]
fn time() -> Time {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    nanoseconds(time.tv_sec as u64, time.tv_nsec as u64)
}

/// This overflows after 584 years.
#[cfg(not(any(target_vendor = "apple", windows)))]
#[inline]
fn nanoseconds(seconds: u64, nanoseconds: u64) -> Time {
    seconds.wrapping_mul(1_000_000_000).wrapping_add(nanoseconds)
}

#[cfg(any(target_vendor = "apple", windows))]
fn time() -> Time {
    Time::now()
}

#[cfg(not(any(target_vendor = "apple", windows)))]
#[inline]
fn since(started: Time) -> Moment {
    Moment::from_nanos(time().wrapping_sub(started))
}

#[cfg(any(target_vendor = "apple", windows))]
fn since(started: Time) -> Moment {
    started.elapsed().into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_shows_what_the_standard_library_shows() {
        let before = std::time::Instant::now();
        let clock = Clock::start();
        let mut last = Moment::ZERO;
        while before.elapsed() < Duration::from_millis(20) {
            let now = clock.now();
            assert!(last <= now && now <= before.elapsed().into());
            last = now;
        }
        assert!(last > Moment::ZERO, "{last:?}");
    }

    #[test]
    #[cfg(not(any(target_vendor = "apple", windows)))]
    fn a_second_that_began_in_the_middle_of_one_is_a_whole_one() {
        let (before, after) = (nanoseconds(7, 999_999_999), nanoseconds(9, 1));
        assert_eq!(after - before, 1_000_000_002);
    }
}
