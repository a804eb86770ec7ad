//! Time in half the size of a `Duration`, because every socket stores it and every turn compares it.

use std::num::NonZeroU64;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A time since the driver was created, or a length of time, in nanoseconds. The maximum is 584 years;
/// longer times are reduced to it. It has eight bytes, also as an `Option`; a `Duration` has sixteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Never zero, so that `Option` has the same size.
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

    /// The sum, or the maximum.
    #[inline]
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self::from_nanos(self.as_nanos().saturating_add(other.as_nanos()))
    }

    /// The largest multiple of `grain` that is not greater; `grain` is not zero.
    #[must_use]
    pub fn rounded_down(self, grain: Self) -> Self {
        Self::from_nanos(self.as_nanos() - self.as_nanos() % grain.as_nanos())
    }
}

/// The sum of a time and a length of time, or the maximum.
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
        // In 64 bits, not by `as_nanos` in 128, because this runs for every activity of every socket.
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
    fn a_duration_round_trips_to_the_nanosecond() {
        let times =
            [Duration::ZERO, Duration::from_nanos(1), Duration::new(2_147_483, 647_000_001)];
        for time in times {
            assert_eq!(Duration::from(Moment::from(time)), time);
        }
        assert!(Moment::from(Duration::ZERO).is_zero());
    }

    #[test]
    fn a_duration_that_is_too_long_saturates_and_stays_the_longest() {
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
