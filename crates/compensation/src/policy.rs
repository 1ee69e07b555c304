//! When work that failed is tried again, and when it is given up. Pure: no clock, no dice of its own.

use service_kit::settings::{Settings, seconds};
use std::time::Duration;

/// What follows a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another one from the retry queue.
    Retry(Duration),
    /// Another one as a dead letter.
    DeadLetter(Duration),
    /// It is given up.
    Archive,
}

/// The schedule: the first try, `retries.len()` retries, `dead_letters.len()` tries as a dead letter.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    retries: Vec<Duration>,
    dead_letters: Vec<Duration>,
    jitter: f64,
}

impl Policy {
    /// From the waits before each try, and the share of a wait by which it is longer or shorter, so that those that failed together
    /// do not come back together.
    #[must_use]
    pub fn new(retries: Vec<Duration>, dead_letters: Vec<Duration>, jitter: f64) -> Self {
        Self {
            retries,
            dead_letters,
            jitter,
        }
    }

    /// As the settings say: lists that are too short repeat their last value.
    #[must_use]
    pub fn from_settings(settings: &Settings) -> Self {
        let waits = |times: u32, list: &[String]| -> Vec<Duration> {
            let waits: Vec<Duration> = list.iter().filter_map(|text| seconds(text)).collect();
            let last = waits.last().copied().unwrap_or(Duration::from_mins(1));
            (0..times as usize)
                .map(|at| waits.get(at).copied().unwrap_or(last))
                .collect()
        };
        let (compensation, dlq) = (&settings.compensation, &settings.dlq);
        Self::new(
            waits(compensation.max_retries, &compensation.retry_delay),
            waits(dlq.max_retries, &dlq.retry_delay),
            compensation.jitter,
        )
    }

    /// How many tries a piece of work has behind it that begins as a dead letter.
    #[must_use]
    pub fn tries_before_dead_letter(&self) -> u32 {
        u32::try_from(1 + self.retries.len()).unwrap_or(u32::MAX)
    }

    /// What follows after this many tries of a generation failed. `dice` is anything in 0..1.
    #[must_use]
    pub fn after(&self, tries: u32, dice: f64) -> Next {
        let failed = tries.saturating_sub(1) as usize;
        let jittered = |wait: &Duration| wait.mul_f64(1.0 + self.jitter * (2.0 * dice - 1.0));
        if let Some(wait) = self.retries.get(failed) {
            return Next::Retry(jittered(wait));
        }
        match self.dead_letters.get(failed - self.retries.len()) {
            Some(wait) => Next::DeadLetter(jittered(wait)),
            None => Next::Archive,
        }
    }

    /// [`Policy::after`] with dice of its own.
    #[must_use]
    pub fn roll(&self, tries: u32) -> Next {
        self.after(tries, rand::random())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn seconds_of(list: &[u64]) -> Vec<Duration> {
        list.iter().copied().map(Duration::from_secs).collect()
    }

    #[test]
    fn one_try_three_retries_two_as_a_dead_letter_and_then_the_archive() {
        let policy = Policy::from_settings(&Settings::parse("{}", HashMap::new()).unwrap());
        let after: Vec<Next> = (1..=7).map(|tries| policy.after(tries, 0.5)).collect();
        assert_eq!(
            after,
            [
                Next::Retry(Duration::from_secs(10)),
                Next::Retry(Duration::from_secs(30)),
                Next::Retry(Duration::from_mins(1)),
                Next::DeadLetter(Duration::from_mins(1)),
                Next::DeadLetter(Duration::from_mins(5)),
                Next::Archive,
                Next::Archive,
            ]
        );
    }

    #[test]
    fn waits_differ_by_the_jitter_and_a_short_list_repeats_its_last() {
        let yaml = "compensation: { max_retries: 2, retry_delay: [10] }\ndlq: { max_retries: 0 }";
        let policy = Policy::from_settings(&Settings::parse(yaml, HashMap::new()).unwrap());
        assert_eq!(policy.after(1, 0.0), Next::Retry(Duration::from_secs(8)));
        assert_eq!(policy.after(2, 1.0), Next::Retry(Duration::from_secs(12)));
        assert_eq!(policy.after(3, 0.5), Next::Archive);
    }

    #[test]
    fn without_any_retry_the_first_failure_is_the_last() {
        assert_eq!(
            Policy::new(Vec::new(), Vec::new(), 0.2).after(1, 0.5),
            Next::Archive
        );
        assert_eq!(
            Policy::new(Vec::new(), seconds_of(&[1]), 0.0).after(1, 0.5),
            Next::DeadLetter(Duration::from_secs(1))
        );
    }
}
