//! Time in half the size of a `Duration`, for what every socket has and every turn compares.

use std::num::NonZeroU64;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A time since the driver was made, or a length of time, in nanoseconds. The largest one is 584 years; a longer one is
/// reduced to that. It takes eight bytes, also as an `Option`, where a `Duration` takes sixteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Never zero, so that `Option` needs no room of its own.
    and_one: NonZeroU64,
}

impl Moment {
    /// The beginning, or no time at all.
    pub const ZERO: Self = Self { and_one: NonZeroU64::MIN };

    #[inline]
    pub(crate) const fn from_nanos(number: u64) -> Self {
        Self { and_one: NonZeroU64::MIN.saturating_add(number) }
    }

    #[inline]
    const fn as_nanos(self) -> u64 {
        self.and_one.get() - 1
    }

    /// Whether it is [`ZERO`](Self::ZERO).
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// The sum, or the longest there is.
    #[inline]
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self::from_nanos(self.as_nanos().saturating_add(other.as_nanos()))
    }

    /// The next multiple of `grain` that is not above; `grain` is not zero.
    #[must_use]
    pub fn rounded_down(self, grain: Self) -> Self {
        Self::from_nanos(self.as_nanos() - self.as_nanos() % grain.as_nanos())
    }
}

/// Of a time and a length of time; the largest time if it is later than that.
impl Add<Duration> for Moment {
    type Output = Self;

    #[inline]
    fn add(self, length: Duration) -> Self {
        self.saturating_add(length.into())
    }
}

/// The time between two times; zero if the second one is later.
impl Sub for Moment {
    type Output = Duration;

    #[inline]
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.as_nanos().saturating_sub(earlier.as_nanos()))
    }
}

impl From<Duration> for Moment {
    #[inline]
    fn from(duration: Duration) -> Self {
        // In 64 bits, and not by `as_nanos` in 128: activity of every socket passes here.
        let whole = duration.as_secs().saturating_mul(1_000_000_000);
        Self::from_nanos(whole.saturating_add(duration.subsec_nanos().into()))
    }
}

impl From<Moment> for Duration {
    #[inline]
    fn from(moment: Moment) -> Self {
        Self::from_nanos(moment.as_nanos())
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
            assert_eq!(Duration::from(Moment::from(time)), time);
        }
        assert!(Moment::from(Duration::ZERO).is_zero());
    }

    #[test]
    fn what_is_too_long_is_cut_and_stays_longer_than_anything_else() {
        let longest = Moment::from(Duration::MAX);
        assert_eq!(longest.saturating_add(longest), longest);
        assert!(longest > Moment::from(Duration::from_secs(1 << 34)));
    }

    #[test]
    fn sums_and_multiples_are_those_of_durations() {
        let (short, long) = (Duration::from_nanos(1), Duration::from_secs(1));
        let sum = Moment::from(short).saturating_add(long.into());
        assert_eq!(Duration::from(sum), short + long);
        assert_eq!(Duration::from(sum.rounded_down(long.into())), long);
        assert_eq!(Moment::from(short) + long, sum);
        assert_eq!((sum - short.into(), Moment::ZERO - sum), (long, Duration::ZERO));
    }
}
