//! A set of intervals, and the check whether one of them contains a value.

/// Intervals of numbers, both ends included, sorted and without overlap.
///
/// Starts and ends are stored separately: a search reads starts only, and one end at its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Intervals {
    starts: Vec<u128>,
    ends: Vec<u128>,
}

impl Intervals {
    /// Sorts the intervals, and merges intervals that overlap or touch.
    pub(super) fn new(intervals: impl Iterator<Item = (u128, u128)>) -> Self {
        let mut sorted: Vec<(u128, u128)> = intervals.collect();
        sorted.sort_unstable();
        let mut merged = Self::default();
        for (start, end) in sorted {
            match merged.ends.last_mut() {
                Some(last) if start <= last.saturating_add(1) => *last = end.max(*last),
                _ => {
                    merged.starts.push(start);
                    merged.ends.push(end);
                }
            }
        }
        merged
    }

    /// Returns whether one of the intervals contains `value`, in O(log n).
    pub(super) fn contains(&self, value: u128) -> bool {
        let started = self.starts.partition_point(|start| is_at_most(*start, value));
        let last = started.checked_sub(1).and_then(|index| self.ends.get(index));
        last.is_some_and(|end| value <= *end)
    }
}

/// Computes `one <= other` without a branch. For a comparison of `u128` the compiler emits a branch (rustc
/// 1.95, x86-64), which is mispredicted at every other step of a search and makes the search three times
/// slower.
fn is_at_most(one: u128, other: u128) -> bool {
    let halves = |number: u128| ((number >> 64) as u64, number as u64);
    let ((one_high, one_low), (other_high, other_low)) = (halves(one), halves(other));
    (one_high < other_high) | ((one_high == other_high) & (one_low <= other_low))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(intervals: &[(u128, u128)]) -> Intervals {
        Intervals::new(intervals.iter().copied())
    }

    #[test]
    fn an_empty_set_contains_no_number() {
        assert!(!of(&[]).contains(0));
    }

    #[test]
    fn an_interval_contains_both_ends_but_not_their_neighbours() {
        let intervals = of(&[(30, 39), (10, 10)]);
        let held = (0..50).filter(|value| intervals.contains(*value));
        assert!(held.eq([10].into_iter().chain(30..=39)));
    }

    #[test]
    fn intervals_that_overlap_or_touch_become_one() {
        assert_eq!(of(&[(5, 9), (1, 4), (8, 20), (6, 7)]), of(&[(1, 20)]));
        assert_eq!(of(&[(1, 2), (4, 5), (1, 2)]).starts, [1, 4]);
    }

    #[test]
    fn the_smallest_and_the_largest_number_are_handled_like_others() {
        let intervals = of(&[(u128::MAX, u128::MAX), (0, 0), (u128::MAX - 1, u128::MAX)]);
        assert_eq!(intervals.starts, [0, u128::MAX - 1]);
        assert!(intervals.contains(0) && intervals.contains(u128::MAX));
        assert!(!intervals.contains(1) && !intervals.contains(u128::MAX - 2));
        assert!(of(&[(0, u128::MAX), (3, 4)]).contains(u128::MAX));
    }

    proptest! {
        #[test]
        fn numbers_compare_as_u128(one: [u8; 16], other: [u8; 16], same in 0_usize..=16) {
            let mut other = other;
            other[..same].copy_from_slice(&one[..same]);
            let (one, other) = (u128::from_be_bytes(one), u128::from_be_bytes(other));
            prop_assert_eq!(is_at_most(one, other), one <= other);
            prop_assert!(is_at_most(one, one));
        }

        #[test]
        fn a_value_is_contained_if_any_interval_contains_it(
            pairs in prop::collection::vec((0_u128..64, 0_u128..8), 0..12),
        ) {
            let pairs: Vec<_> = pairs.iter().map(|(start, more)| (*start, start + more)).collect();
            let intervals = of(&pairs);
            for value in 0..80 {
                let held = pairs.iter().any(|(start, end)| (*start..=*end).contains(&value));
                prop_assert_eq!(intervals.contains(value), held, "{}", value);
            }
            let ends = &intervals.ends;
            prop_assert!(intervals.starts.iter().skip(1).zip(ends).all(|(next, end)| *next > end + 1));
        }
    }
}
