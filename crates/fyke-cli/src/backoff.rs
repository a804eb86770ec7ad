//! How long to wait before the next attempt.

use std::time::Duration;

use crate::random::Random;

/// The delay doubles from `first` up to `most`. The last quarter of each delay is random, so that
/// clients that lost the same server do not all return at the same moment.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
    random: Random,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        let first = first.min(most);
        Self { first, most, next: first, random: Random::from_clock() }
    }

    /// Returns the delay after another failure.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.most);
        pause - self.random.up_to(pause / 4)
    }

    /// Resets the delay after a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_never_exceed_it() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for most in [100, 200, 350, 350] {
            let pause = backoff.pause();
            let most = Duration::from_millis(most);
            assert!(pause <= most && pause >= most * 3 / 4, "{pause:?} of {most:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(100));
        let mut small = Backoff::new(Duration::from_secs(1), Duration::from_millis(1));
        assert!(small.pause() <= Duration::from_millis(1));
    }
}
