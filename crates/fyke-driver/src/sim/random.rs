//! Random numbers that are the same on every machine for the same seed.

/// SplitMix64 (Steele, Lea, Flood 2014): every seed is suitable, and the seed is the only state.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 1 to `most`, both included; 1 if `most` is 0. The remainder slightly favours small
    /// numbers, which is harmless here.
    pub(super) fn up_to(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize + 1
    }

    /// Returns true once in `count` times on average.
    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.up_to(count) == 1
    }

    /// The number of bytes of `whole` that arrive in one piece: mostly all, sometimes a part, and
    /// sometimes a part so small that it cuts a header.
    pub(super) fn cut(&mut self, whole: usize) -> usize {
        const CUTS_ONE_IN: usize = 4;
        const TORN_BYTES_MAX: usize = 16;
        if !self.one_in(CUTS_ONE_IN) {
            whole
        } else if self.one_in(2) {
            self.up_to(whole)
        } else {
            self.up_to(whole.min(TORN_BYTES_MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_match_the_published_algorithm() {
        let mut random = Random::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(
            first,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn numbers_stay_within_their_bounds_and_reach_both() {
        let mut random = Random::new(1);
        let numbers: Vec<usize> = (0..200).map(|_| random.up_to(3)).collect();
        assert_eq!(numbers.iter().min(), Some(&1));
        assert_eq!(numbers.iter().max(), Some(&3));
        assert_eq!(random.up_to(0), 1);
    }

    #[test]
    fn most_cuts_are_whole_some_are_parts_and_some_are_tiny() {
        let mut random = Random::new(1);
        let cuts: Vec<usize> = (0..1000).map(|_| random.cut(10_000)).collect();
        assert!(cuts.iter().all(|cut| (1..=10_000).contains(cut)));
        let whole = cuts.iter().filter(|cut| **cut == 10_000).count();
        let tiny = cuts.iter().filter(|cut| **cut <= 16).count();
        assert!((650..850).contains(&whole), "{whole} whole");
        assert!((60..200).contains(&tiny), "{tiny} tiny");
    }
}
