//! The due times of requests at a fixed rate. It has no clock: `now` is an argument.

use std::time::{Duration, Instant};

pub(super) struct Schedule {
    began: Instant,
    per_second: u64,
    /// The number of requests that were due so far.
    count: u64,
}

impl Schedule {
    pub(super) fn new(began: Instant, per_second: u64) -> Self {
        Self { began, per_second, count: 0 }
    }

    /// Returns the due time of the next request if it is due, or how long to wait for it. Due times
    /// are computed from the beginning, so errors do not accumulate, however late the call is.
    pub(super) fn next(&mut self, now: Instant) -> Result<Instant, Duration> {
        let nanoseconds = u128::from(self.count) * 1_000_000_000 / u128::from(self.per_second);
        let due = self.began + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        match due.checked_duration_since(now) {
            None | Some(Duration::ZERO) => {
                self.count += 1;
                Ok(due)
            }
            Some(pause) => Err(pause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_became_due_between_checks_keeps_its_due_time() {
        let began = Instant::now();
        let mut schedule = Schedule::new(began, 1000);
        let millisecond = Duration::from_millis(1);
        assert_eq!(schedule.next(began), Ok(began));
        assert_eq!(schedule.next(began), Err(millisecond));
        let late = began + millisecond * 3;
        let due: Vec<_> = std::iter::from_fn(|| schedule.next(late).ok()).collect();
        assert_eq!(due, [began + millisecond, began + millisecond * 2, late]);
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_does_not_drift() {
        let began = Instant::now();
        let mut schedule = Schedule::new(began, 3);
        let hour = began + Duration::from_secs(3600);
        let count = std::iter::from_fn(|| schedule.next(hour).ok()).count();
        assert_eq!(count, 3 * 3600 + 1);
    }
}
