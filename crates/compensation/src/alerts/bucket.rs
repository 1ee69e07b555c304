//! How many messages a channel may be sent now: a bucket of tokens, one a message. Pure: where it is kept is the outbox's or the
//! lane's business.

use super::Rate;
use std::time::Duration;

/// So many processes are thought to send while MySQL takes nothing and nobody knows of the others.
const PROCESSES_APART: f64 = 3.0;
/// What adding up halves of tokens may be short of a whole one.
const ROUNDING: f64 = 1e-6;

/// A bucket as it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bucket {
    tokens: f64,
}

impl Bucket {
    /// One that nothing was taken from.
    pub(super) const fn full(rate: Rate) -> Self {
        Self { tokens: rate.burst }
    }

    /// One that held so many when it was seen last.
    pub(super) const fn holding(tokens: f64) -> Self {
        Self { tokens }
    }

    /// What came back while so much time passed; never more than the bucket has room for, also where that has become less.
    #[must_use]
    pub(super) fn refilled(self, rate: Rate, passed: Duration) -> Self {
        let back = rate.per_minute * passed.as_secs_f64() / 60.0;
        Self {
            tokens: (self.tokens + back).clamp(0.0, rate.burst),
        }
    }

    /// Without what was taken.
    #[must_use]
    pub(super) fn without(self, taken: u32) -> Self {
        Self {
            tokens: (self.tokens - f64::from(taken)).max(0.0),
        }
    }

    /// Tokens that can be taken.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is not negative, and beyond u32 it does not matter"
    )]
    pub(super) fn whole(self) -> u32 {
        (self.tokens + ROUNDING).floor() as u32
    }

    /// What it holds.
    pub(super) const fn tokens(self) -> f64 {
        self.tokens
    }
}

impl Rate {
    /// The part of a process that knows nothing of the others. One message at once it may always send.
    pub(super) fn apart(self) -> Self {
        Self {
            burst: (self.burst / PROCESSES_APART).max(1.0),
            per_minute: self.per_minute / PROCESSES_APART,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        burst: 10.0,
        per_minute: 18.0,
    };

    /// Breaks when a bucket is filled beyond its rim: after a quiet night a storm would go out at once.
    #[test]
    fn a_bucket_gives_what_it_holds_and_fills_up_to_its_rim() {
        let empty = Bucket::full(RATE).without(10);
        assert_eq!((Bucket::full(RATE).whole(), empty.whole()), (10, 0));
        let after = |ms| empty.refilled(RATE, Duration::from_millis(ms)).whole();
        assert_eq!([3_333, 3_334, 60_000, 3_600_000].map(after), [0, 1, 10, 10]);
        let smaller = Rate { burst: 4.0, ..RATE };
        assert_eq!(
            Bucket::full(RATE).refilled(smaller, Duration::ZERO).whole(),
            4,
            "a receiver that takes fewer by now"
        );
    }

    /// Breaks when what is left of a token is thrown away at each look.
    #[test]
    fn many_looks_give_what_one_does() {
        let mut bucket = Bucket::holding(0.0);
        for _ in 0..1000 {
            bucket = bucket.refilled(RATE, Duration::from_millis(10));
        }
        assert_eq!(bucket.whole(), 3);
    }

    #[test]
    fn three_processes_that_know_nothing_of_each_other_stay_within_the_rate() {
        let apart = RATE.apart();
        assert!(3.0 * apart.burst <= RATE.burst && 3.0 * apart.per_minute <= RATE.per_minute);
        let narrow = Rate {
            burst: 1.0,
            per_minute: 1.0,
        };
        assert_eq!(Bucket::full(narrow.apart()).whole(), 1);
    }
}
