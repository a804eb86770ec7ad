//! Durations in buckets whose width grows with their value: less than 1 % of error at any size.

use std::time::Duration;

const FINE_BITS: u32 = 7;
const FINE: u64 = 1 << FINE_BITS;

pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

fn bucket_of(nanoseconds: u64) -> usize {
    if nanoseconds < FINE {
        return nanoseconds as usize;
    }
    let shift = nanoseconds.ilog2() - FINE_BITS;
    (((u64::from(shift) + 1) << FINE_BITS) + ((nanoseconds >> shift) & (FINE - 1))) as usize
}

/// The smallest value of a bucket.
fn value_of(bucket: usize) -> u64 {
    let (row, column) = (bucket as u64 >> FINE_BITS, bucket as u64 & (FINE - 1));
    if row == 0 { column } else { (FINE | column) << (row - 1) }
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; ((65 - FINE_BITS) as usize) << FINE_BITS], total: 0 }
    }

    pub(crate) fn add(&mut self, duration: Duration) {
        self.counts[bucket_of(duration.as_nanos() as u64)] += 1;
        self.total += 1;
    }

    /// In microseconds; 0 if nothing was added.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        bucket.map_or(0.0, |bucket| value_of(bucket) as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_again_within_one_percent() {
        for shift in 0..40 {
            for value in [1_u64 << shift, (1 << shift) + 1, (3 << shift) - 1] {
                let found = value_of(bucket_of(value));
                assert!(found <= value && value - found <= value / 100, "{value} as {found}");
            }
        }
    }

    #[test]
    fn quantiles_of_a_thousand_values() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|micros| histogram.add(Duration::from_micros(micros)));
        for (share, expected) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
            let found = histogram.quantile(share);
            assert!((found - expected).abs() <= expected / 100.0, "{share}: {found}");
        }
    }
}
