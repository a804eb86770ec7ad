//! Reproducible random numbers: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom
//! number generators", 2014). It also turns similar seeds into unrelated streams.

use std::time::Duration;

use crate::arguments::Span;

#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Creates the n-th of several generators that share a seed.
    pub(crate) fn of(seed: u64, number: u64) -> Self {
        let mut mixed = Self(seed ^ number.wrapping_mul(0xD1B5_4A32_D192_ED03));
        Self(mixed.next())
    }

    /// Creates a generator whose numbers can be neither predicted nor reproduced.
    pub(crate) fn from_clock() -> Self {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self::of(u64::from(now.subsec_nanos()) ^ now.as_secs(), u64::from(std::process::id()))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn within(&mut self, span: Span) -> u64 {
        // The spans are sizes, far below 2^63, so the bias of the modulo is negligible.
        span.least + self.next() % (span.most - span.least + 1)
    }

    /// Returns a random duration from 0 to `most`.
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        let nanoseconds = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(self.next() % (nanoseconds + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence_and_another_stream_a_different_one() {
        let take = |seed, number| {
            let mut random = Random::of(seed, number);
            [random.next(), random.next()]
        };
        assert_eq!(take(7, 1), take(7, 1));
        assert_ne!(take(7, 1), take(7, 2));
        assert_ne!(take(7, 1), take(8, 1));
    }

    #[test]
    fn values_of_a_span_include_both_ends_and_nothing_beyond() {
        let mut random = Random::new(1);
        let mut seen = [0_u32; 5];
        for _ in 0..1000 {
            seen[usize::try_from(random.within(Span { least: 1, most: 3 })).unwrap()] += 1;
            assert!(random.up_to(Duration::from_nanos(2)) <= Duration::from_nanos(2));
        }
        assert!(seen[0] == 0 && seen[4] == 0 && seen[1..4].iter().all(|count| *count > 200));
        assert_eq!(random.up_to(Duration::ZERO), Duration::ZERO);
    }
}
