//! What the retry policy is made of, as operators write it: waits in seconds, shares, numbers a second. Checked here and nowhere else,
//! whether it comes from the settings file, from a form or from the table.

use serde::{Deserialize, Serialize};
use service_kit::settings::{Settings, seconds};
use std::time::Duration;

/// Retries of one lane, at most.
const RETRIES_AT_MOST: u32 = 20;
/// Waits before a try, in seconds: shorter ones are no rest, longer ones nobody waits for.
const WAIT_S: (f64, f64) = (0.05, 86_400.0);
/// Days until an order is given up, at most: so long its units are held.
const SCHEDULE_DAYS: f64 = 30.0;
const DAY_S: f64 = 86_400.0;

/// All that operators may change about retries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Retries after the first try.
    pub compensation: Tries,
    /// Tries as a dead letter, after them.
    pub dlq: Tries,
    /// By how much a wait is longer or shorter, as a share of it; 0 to 0.9.
    pub jitter: f64,
    /// Seconds, at most, that a participant's `Retry-After` puts a try off; 0 (it is not listened to) to 3600.
    pub retry_after_max_s: f64,
    /// How many tries may fail.
    pub budget: BudgetTerms,
    /// When a cause is put off as a whole.
    pub breaker: BreakerTerms,
}

/// Tries of one lane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tries {
    /// How many; at most 20.
    pub max_retries: u32,
    /// Seconds before each; where they are fewer than `max_retries`, the last one is repeated.
    pub retry_delay: Vec<f64>,
}

/// How many retries of one process may fail: a share of what is decided, and a floor for times when nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetTerms {
    /// Of the orders decided in the last 10 s; 0 to 1.
    pub share: f64,
    /// A second, however little is decided; 1 to 10000.
    pub floor_per_s: f64,
}

/// When the retries of a cause are put off together, and how they come back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerTerms {
    /// So many different orders; 2 to 10000 …
    pub orders: u32,
    /// … that fail alike within so many seconds; 1 to 3600.
    pub within_s: f64,
    /// Seconds until the first single try while it is open; 0.1 to 3600. Each further wait is twice as long …
    pub first_wait_s: f64,
    /// … up to so many seconds; at most 3600.
    pub max_wait_s: f64,
    /// Seconds after which it is no outage any more, and the orders go on by their own schedules; 60 to 604800.
    pub open_at_most_s: f64,
    /// Tries in the first second after it healed; 1 to 10000. Twice as many in each further one …
    pub release_per_s: f64,
    /// … up to so many; at most 100000. Once that was reached, it is forgotten.
    pub release_at_most_per_s: f64,
}

/// Terms that cannot rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {why}")]
pub struct BadTerms {
    /// Where, as it is written in JSON.
    pub field: &'static str,
    /// What is wrong with it, and what would be right.
    pub why: String,
}

impl Tries {
    /// The wait before each try.
    #[must_use]
    pub(super) fn waits(&self) -> Vec<Duration> {
        let last = self.retry_delay.last().copied().unwrap_or_default();
        (0..self.max_retries as usize)
            .map(|at| self.retry_delay.get(at).copied().unwrap_or(last))
            .map(Duration::from_secs_f64)
            .collect()
    }

    /// As a settings file may say it: of a list that is too long the rest is left out.
    fn of_settings(max_retries: u32, delays: &[String]) -> Self {
        Self {
            max_retries,
            retry_delay: delays
                .iter()
                .filter_map(|text| seconds(text))
                .map(|wait| wait.as_secs_f64())
                .take(max_retries as usize)
                .collect(),
        }
    }

    fn check(&self, retries: &'static str, delays: &'static str) -> Result<(), BadTerms> {
        let (given, wanted) = (self.retry_delay.len(), self.max_retries);
        if wanted > RETRIES_AT_MOST {
            return bad(
                retries,
                format!("must be at most {RETRIES_AT_MOST}, not {wanted}"),
            );
        }
        if wanted > 0 && given == 0 {
            return bad(delays, "must name at least one wait, in seconds".to_owned());
        }
        if given > wanted as usize {
            return bad(
                delays,
                format!(
                    "names {given} waits for {wanted} tries: take some out, or let there be more tries"
                ),
            );
        }
        self.retry_delay
            .iter()
            .try_for_each(|wait| within(delays, *wait, WAIT_S))
    }
}

impl Terms {
    /// As the settings file says, for the first start.
    #[must_use]
    pub fn of_settings(settings: &Settings) -> Self {
        let (compensation, dlq) = (&settings.compensation, &settings.dlq);
        let (budget, breaker) = (&compensation.budget, &compensation.breaker);
        Self {
            compensation: Tries::of_settings(compensation.max_retries, &compensation.retry_delay),
            dlq: Tries::of_settings(dlq.max_retries, &dlq.retry_delay),
            jitter: compensation.jitter,
            retry_after_max_s: compensation.retry_after_max_s,
            budget: BudgetTerms {
                share: budget.share,
                floor_per_s: budget.floor_per_s,
            },
            breaker: BreakerTerms {
                orders: breaker.orders,
                within_s: breaker.within_s,
                first_wait_s: breaker.first_wait_s,
                max_wait_s: breaker.max_wait_s,
                open_at_most_s: breaker.open_at_most_s,
                release_per_s: breaker.release_per_s,
                release_at_most_per_s: breaker.release_at_most_per_s,
            },
        }
    }

    /// # Errors
    /// The first value that is outside its bounds, or contradicts another.
    pub(super) fn check(&self) -> Result<(), BadTerms> {
        self.compensation
            .check("compensation.max_retries", "compensation.retry_delay")?;
        self.dlq.check("dlq.max_retries", "dlq.retry_delay")?;
        within("jitter", self.jitter, (0.0, 0.9))?;
        within("retry_after_max_s", self.retry_after_max_s, (0.0, 3600.0))?;
        within("budget.share", self.budget.share, (0.0, 1.0))?;
        within("budget.floor_per_s", self.budget.floor_per_s, (1.0, 1e4))?;
        self.breaker.check()?;
        let waits = [self.compensation.waits(), self.dlq.waits()].concat();
        let longest = waits.iter().map(Duration::as_secs_f64).sum::<f64>() * (1.0 + self.jitter);
        if longest > SCHEDULE_DAYS * DAY_S {
            let days = longest / DAY_S;
            return bad(
                "retry_delay",
                format!(
                    "and its jitter make {days:.1} days until an order is given up, with its units held: at most {SCHEDULE_DAYS} may pass"
                ),
            );
        }
        Ok(())
    }
}

impl BreakerTerms {
    fn check(&self) -> Result<(), BadTerms> {
        within("breaker.orders", f64::from(self.orders), (2.0, 1e4))?;
        within("breaker.within_s", self.within_s, (1.0, 3600.0))?;
        within("breaker.first_wait_s", self.first_wait_s, (0.1, 3600.0))?;
        within("breaker.max_wait_s", self.max_wait_s, (0.1, 3600.0))?;
        within(
            "breaker.open_at_most_s",
            self.open_at_most_s,
            (60.0, 604_800.0),
        )?;
        within("breaker.release_per_s", self.release_per_s, (1.0, 1e4))?;
        let at_most = self.release_at_most_per_s;
        within("breaker.release_at_most_per_s", at_most, (1.0, 1e5))?;
        if self.max_wait_s < self.first_wait_s {
            return bad(
                "breaker.max_wait_s",
                format!(
                    "must be at least breaker.first_wait_s, {}",
                    self.first_wait_s
                ),
            );
        }
        if at_most < self.release_per_s {
            return bad(
                "breaker.release_at_most_per_s",
                format!(
                    "must be at least breaker.release_per_s, {}",
                    self.release_per_s
                ),
            );
        }
        Ok(())
    }
}

/// What is no number is outside, too.
fn within(field: &'static str, value: f64, (least, most): (f64, f64)) -> Result<(), BadTerms> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    bad(
        field,
        format!("must be between {least} and {most}, not {value}"),
    )
}

fn bad<T>(field: &'static str, why: String) -> Result<T, BadTerms> {
    Err(BadTerms { field, why })
}
