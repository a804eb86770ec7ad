//! The clock of the drivers of real systems.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

const NANOSECONDS_PER_SECOND: i64 = 1_000_000_000;

/// The system's monotonic clock, from when this was made. `Instant` reads the same one; but it is read
/// twice per turn, and checks what cannot be each time.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Timespec,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: clock_gettime(ClockId::Monotonic) }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        let now = clock_gettime(ClockId::Monotonic);
        let mut seconds = now.tv_sec - self.started.tv_sec;
        let mut nanoseconds = now.tv_nsec - self.started.tv_nsec;
        if nanoseconds < 0 {
            (seconds, nanoseconds) = (seconds - 1, nanoseconds + NANOSECONDS_PER_SECOND);
        }
        // Neither is ever negative: the clock does not go back.
        Duration::new(seconds as u64, nanoseconds as u32)
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
        assert!(last > Duration::from_millis(10), "{last:?}");
    }

    #[test]
    fn a_second_that_began_in_the_middle_of_one_is_a_whole_one() {
        let now = clock_gettime(ClockId::Monotonic);
        let started = Timespec { tv_sec: now.tv_sec - 1, tv_nsec: 999_999_999 };
        let elapsed = Clock { started }.elapsed();
        assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
    }
}
