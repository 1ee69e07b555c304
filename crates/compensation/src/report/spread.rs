//! How times are spread, without keeping them: counts in buckets, eight to each doubling.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Buckets to a doubling: a bucket's end is at most 9 % above any time in it.
pub(super) const TO_A_DOUBLING: f64 = 8.0;

/// Times in milliseconds, counted by bucket. There are a few hundred buckets up to a thousand years.
#[derive(Debug, Clone, Default)]
pub struct Buckets {
    counts: BTreeMap<u32, u64>,
    longest: u64,
}

/// Half of the times are no longer than `p50`, and so on; each at most 9 % above the true one, but for the longest, which is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spread {
    /// How many times there are; without any, the others are 0.
    pub count: u64,
    /// Milliseconds.
    pub p50_ms: u64,
    /// Milliseconds.
    pub p95_ms: u64,
    /// Milliseconds.
    pub longest_ms: u64,
}

impl Buckets {
    /// Takes in `count` times of one bucket, the longest of which is `longest` milliseconds.
    pub fn add(&mut self, bucket: u32, count: u64, longest: u64) {
        *self.counts.entry(bucket).or_default() += count;
        self.longest = self.longest.max(longest);
    }

    /// How they are spread.
    #[must_use]
    pub fn spread(&self) -> Spread {
        Spread {
            count: self.counts.values().sum(),
            p50_ms: self.share(50),
            p95_ms: self.share(95),
            longest_ms: self.longest,
        }
    }

    /// The end of the bucket in which the time lies that `percent` of all are no longer than.
    fn share(&self, percent: u64) -> u64 {
        let all: u64 = self.counts.values().sum();
        let wanted = (all * percent).div_ceil(100);
        let mut seen = 0;
        let bucket = self.counts.iter().find(|(_, count)| {
            seen += **count;
            seen >= wanted
        });
        bucket.map_or(0, |(bucket, _)| end_of(*bucket).min(self.longest))
    }
}

/// The longest time of a bucket, in milliseconds: bucket `floor(8 × log2(ms + 1))` begins where the one before ends.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a power of two, at most 2^62"
)]
fn end_of(bucket: u32) -> u64 {
    let doublings = (f64::from(bucket) + 1.0) / TO_A_DOUBLING;
    (doublings.min(62.0).exp2().ceil() as u64).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the statement does it.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "small numbers"
    )]
    fn bucket_of(ms: u64) -> u32 {
        ((ms as f64 + 1.0).log2() * TO_A_DOUBLING).floor() as u32
    }

    #[test]
    fn a_share_is_never_below_the_truth_and_at_most_nine_percent_above() {
        let seed = std::process::id();
        let mut state = u64::from(seed) | 1;
        let mut buckets = Buckets::default();
        let mut times: Vec<u64> = (0..5_000)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % (1 << (state % 30))
            })
            .collect();
        for time in &times {
            buckets.add(bucket_of(*time), 1, *time);
        }
        times.sort_unstable();
        let spread = buckets.spread();
        assert_eq!((spread.count, spread.longest_ms), (5_000, times[4_999]));
        for (is, truth) in [(spread.p50_ms, times[2_499]), (spread.p95_ms, times[4_749])] {
            assert!(is >= truth, "{is} below {truth}, seed {seed}");
            assert!(
                is <= truth + truth / 10 + 2,
                "{is} far above {truth}, seed {seed}"
            );
        }
    }

    #[test]
    fn of_nothing_all_is_zero_and_of_one_all_is_it() {
        assert_eq!(Buckets::default().spread(), Spread::default());
        let mut one = Buckets::default();
        one.add(bucket_of(1_234), 1, 1_234);
        let Spread { p50_ms, p95_ms, .. } = one.spread();
        assert_eq!((p50_ms, p95_ms), (1_234, 1_234));
    }
}
