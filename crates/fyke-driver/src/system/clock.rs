//! The clock of the drivers of real systems.

use std::cell::Cell;
use std::time::Duration;

/// The system's monotonic clock, from when this was made.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Moment,
    last: Cell<Duration>,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: now(), last: Cell::new(Duration::ZERO) }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        let elapsed = since(&self.started);
        self.last.set(elapsed);
        elapsed
    }

    /// What [`elapsed`](Self::elapsed) said last.
    pub(crate) fn last_seen(&self) -> Duration {
        self.last.get()
    }
}

/// The clock that `Instant` shows. But it is read twice per turn, and `Instant` checks each time what
/// cannot be.
#[cfg(not(target_vendor = "apple"))]
type Moment = rustix::time::Timespec;

/// There the monotonic clock goes on while the machine sleeps, and `Instant` does not.
#[cfg(target_vendor = "apple")]
type Moment = std::time::Instant;

#[cfg(not(target_vendor = "apple"))]
fn now() -> Moment {
    rustix::time::clock_gettime(rustix::time::ClockId::Monotonic)
}

#[cfg(target_vendor = "apple")]
fn now() -> Moment {
    Moment::now()
}

#[cfg(not(target_vendor = "apple"))]
fn since(started: &Moment) -> Duration {
    let now = now();
    let mut seconds = now.tv_sec - started.tv_sec;
    let mut nanoseconds = now.tv_nsec - started.tv_nsec;
    if nanoseconds < 0 {
        (seconds, nanoseconds) = (seconds - 1, nanoseconds + 1_000_000_000);
    }
    let seconds = u64::try_from(seconds).unwrap_or(0);
    Duration::new(seconds, nanoseconds as u32)
}

#[cfg(target_vendor = "apple")]
fn since(started: &Moment) -> Duration {
    started.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_what_the_standard_library_shows() {
        let before = std::time::Instant::now();
        let clock = Clock::start();
        let mut last = Duration::ZERO;
        while before.elapsed() < Duration::from_millis(20) {
            let now = clock.elapsed();
            assert!(last <= now && now <= before.elapsed());
            last = now;
        }
        assert!(last > Duration::ZERO, "{last:?}");
    }

    #[test]
    #[cfg(not(target_vendor = "apple"))]
    fn a_second_that_began_in_the_middle_of_one_is_a_whole_one() {
        let now = now();
        let mut started = now;
        (started.tv_sec, started.tv_nsec) = (now.tv_sec - 1, 999_999_999);
        let elapsed = since(&started);
        assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
    }
}
