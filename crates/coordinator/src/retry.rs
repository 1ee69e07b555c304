//! When a completion that failed is tried again, and when recovery gives it up. Pure: no clock, no chance.

use std::time::Duration;

/// How completions that failed are tried again. Of a foreign participant a call without an answer has failed; one that its breaker
/// holds back has not.
///
/// Only what a participant says is [`Answer::Failed`](crate::Answer::Failed) counts. One that is away, fenced or being repaired
/// answers `NotYet`, is asked again every `first_wait`, and never makes anything stuck however long it takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// Failed attempts before a transaction is stuck: at least 1. Those of the engine itself are not counted.
    pub max_attempts: u32,
    /// The wait after the first failed attempt, and between looks at a participant that is not there.
    pub first_wait: Duration,
    /// By how much each wait is longer than the one before: at least 1.
    pub backoff_factor: f64,
    /// The longest wait.
    pub max_wait: Duration,
    /// By how much each wait is longer or shorter, as a share of it: 0 to 0.9. What failed together does not come back together.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    /// About a quarter of an hour: 1, 2, 4 … 32 s, then every minute.
    fn default() -> Self {
        Self {
            max_attempts: 20,
            first_wait: Duration::from_secs(1),
            backoff_factor: 2.0,
            max_wait: Duration::from_mins(1),
            jitter: 0.2,
        }
    }
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another one, after about so long.
    After(Duration),
    /// Nothing, until somebody resumes it.
    Stuck,
}

impl RetryPolicy {
    /// What follows, where `failed` attempts had failed before this one.
    pub(crate) fn after_failure(&self, failed: u32) -> Next {
        if failed + 1 >= self.max_attempts {
            return Next::Stuck;
        }
        // Beyond 2^64 every cap is reached.
        let times = self
            .backoff_factor
            .max(1.0)
            .powi(i32::try_from(failed.min(64)).unwrap_or(64));
        let wait = (self.first_wait.as_secs_f64() * times).min(self.max_wait.as_secs_f64());
        Next::After(Duration::from_secs_f64(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_end() {
        let policy = RetryPolicy {
            max_attempts: 6,
            first_wait: Duration::from_millis(500),
            backoff_factor: 3.0,
            max_wait: Duration::from_secs(10),
            jitter: 0.0,
        };
        let waits: Vec<Next> = (0..6).map(|failed| policy.after_failure(failed)).collect();
        let after = |ms| Next::After(Duration::from_millis(ms));
        assert_eq!(
            waits,
            [
                after(500),
                after(1_500),
                after(4_500),
                after(10_000),
                after(10_000),
                Next::Stuck
            ]
        );
    }

    #[test]
    fn no_number_of_attempts_overflows() {
        let patient = RetryPolicy {
            max_attempts: u32::MAX,
            backoff_factor: 1e300,
            ..RetryPolicy::default()
        };
        assert_eq!(
            patient.after_failure(1_000_000),
            Next::After(patient.max_wait)
        );
    }
}
