//! The clock of the drivers of real systems.

use std::time::Duration;

/// The system's monotonic clock, from when this was made: the one that `Instant` shows. But it is read
/// twice per turn, and `Instant` checks each time what cannot be.
#[cfg(not(target_vendor = "apple"))]
#[derive(Debug)]
pub(crate) struct Clock {
    started: rustix::time::Timespec,
}

#[cfg(not(target_vendor = "apple"))]
impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: monotonic() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        let now = monotonic();
        let mut seconds = now.tv_sec - self.started.tv_sec;
        let mut nanoseconds = now.tv_nsec - self.started.tv_nsec;
        if nanoseconds < 0 {
            (seconds, nanoseconds) = (seconds - 1, nanoseconds + 1_000_000_000);
        }
        let seconds = u64::try_from(seconds).unwrap_or(0);
        Duration::new(seconds, nanoseconds as u32)
    }
}

#[cfg(not(target_vendor = "apple"))]
fn monotonic() -> rustix::time::Timespec {
    rustix::time::clock_gettime(rustix::time::ClockId::Monotonic)
}

/// There the monotonic clock goes on while the machine sleeps, and `Instant` does not.
#[cfg(target_vendor = "apple")]
#[derive(Debug)]
pub(crate) struct Clock {
    started: std::time::Instant,
}

#[cfg(target_vendor = "apple")]
impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: std::time::Instant::now() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
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
        let now = monotonic();
        let mut started = now;
        (started.tv_sec, started.tv_nsec) = (now.tv_sec - 1, 999_999_999);
        let elapsed = Clock { started }.elapsed();
        assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
    }
}
