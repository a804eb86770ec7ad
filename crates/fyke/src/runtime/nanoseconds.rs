//! A duration in half the size, for what every socket has.

use std::num::NonZeroU64;
use std::time::Duration;

/// A duration of up to 584 years; a longer one is cut to that. Eight bytes, also as an `Option`, where
/// a `Duration` takes sixteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Nanoseconds {
    /// Never zero, so that `Option` needs no room of its own.
    and_one: NonZeroU64,
}

impl Nanoseconds {
    pub(crate) const ZERO: Self = Self { and_one: NonZeroU64::MIN };

    fn new(number: u64) -> Self {
        Self { and_one: NonZeroU64::MIN.saturating_add(number) }
    }

    fn number(self) -> u64 {
        self.and_one.get() - 1
    }

    pub(crate) fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    pub(crate) fn saturating_add(self, other: Self) -> Self {
        Self::new(self.number().saturating_add(other.number()))
    }

    /// The next multiple of `grain` that is not above; `grain` is not zero.
    pub(crate) fn rounded_down(self, grain: Self) -> Self {
        Self::new(self.number() - self.number() % grain.number())
    }
}

impl From<Duration> for Nanoseconds {
    fn from(duration: Duration) -> Self {
        // In 64 bits, and not by `as_nanos` in 128: activity of every socket passes here.
        let whole = duration.as_secs().saturating_mul(1_000_000_000);
        Self::new(whole.saturating_add(duration.subsec_nanos().into()))
    }
}

impl From<Nanoseconds> for Duration {
    fn from(nanoseconds: Nanoseconds) -> Self {
        Self::from_nanos(nanoseconds.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_comes_back_to_the_nanosecond() {
        let times =
            [Duration::ZERO, Duration::from_nanos(1), Duration::new(2_147_483, 647_000_001)];
        for time in times {
            assert_eq!(Duration::from(Nanoseconds::from(time)), time);
        }
        assert!(Nanoseconds::from(Duration::ZERO).is_zero());
    }

    #[test]
    fn what_is_too_long_is_cut_and_stays_longer_than_anything_else() {
        let longest = Nanoseconds::from(Duration::MAX);
        assert_eq!(longest.saturating_add(longest), longest);
        assert!(longest > Nanoseconds::from(Duration::from_secs(1 << 34)));
    }

    #[test]
    fn sums_and_multiples_are_those_of_durations() {
        let (short, long) = (Duration::from_nanos(1), Duration::from_secs(1));
        let sum = Nanoseconds::from(short).saturating_add(long.into());
        assert_eq!(Duration::from(sum), short + long);
        assert_eq!(Duration::from(sum.rounded_down(long.into())), long);
    }
}
