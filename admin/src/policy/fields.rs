//! The form: every value as the text somebody typed, so that what cannot be read is shown again as it was.

use compensation::policy::{BreakerTerms, BudgetTerms, Terms, Tries};
use serde::{Deserialize, Serialize};
use std::{fmt::Display, str::FromStr};

/// All values as texts; lists with commas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fields {
    retries: String,
    retry_delay: String,
    dead_retries: String,
    dead_retry_delay: String,
    jitter: String,
    retry_after_max: String,
    budget_share: String,
    budget_floor: String,
    breaker_orders: String,
    breaker_within: String,
    breaker_first_wait: String,
    breaker_max_wait: String,
    breaker_open_at_most: String,
    release: String,
    release_at_most: String,
}

impl From<&Terms> for Fields {
    fn from(terms: &Terms) -> Self {
        let (budget, breaker) = (&terms.budget, &terms.breaker);
        Self {
            retries: terms.compensation.max_retries.to_string(),
            retry_delay: listed(&terms.compensation.retry_delay),
            dead_retries: terms.dlq.max_retries.to_string(),
            dead_retry_delay: listed(&terms.dlq.retry_delay),
            jitter: terms.jitter.to_string(),
            retry_after_max: terms.retry_after_max_s.to_string(),
            budget_share: budget.share.to_string(),
            budget_floor: budget.floor_per_s.to_string(),
            breaker_orders: breaker.orders.to_string(),
            breaker_within: breaker.within_s.to_string(),
            breaker_first_wait: breaker.first_wait_s.to_string(),
            breaker_max_wait: breaker.max_wait_s.to_string(),
            breaker_open_at_most: breaker.open_at_most_s.to_string(),
            release: breaker.release_per_s.to_string(),
            release_at_most: breaker.release_at_most_per_s.to_string(),
        }
    }
}

impl Fields {
    /// What they say; whether that may rule is another question.
    ///
    /// # Errors
    /// The first text that is no number, in words.
    pub fn terms(&self) -> Result<Terms, String> {
        Ok(Terms {
            compensation: Tries {
                max_retries: number("Retries", &self.retries)?,
                retry_delay: numbers("Waits before each retry", &self.retry_delay)?,
            },
            dlq: Tries {
                max_retries: number("Tries as a dead letter", &self.dead_retries)?,
                retry_delay: numbers("Waits before each of them", &self.dead_retry_delay)?,
            },
            jitter: number("Jitter", &self.jitter)?,
            retry_after_max_s: number("Longest Retry-After", &self.retry_after_max)?,
            budget: BudgetTerms {
                share: number("Share", &self.budget_share)?,
                floor_per_s: number("Floor", &self.budget_floor)?,
            },
            breaker: BreakerTerms {
                orders: number("Orders", &self.breaker_orders)?,
                within_s: number("Within", &self.breaker_within)?,
                first_wait_s: number("First wait", &self.breaker_first_wait)?,
                max_wait_s: number("Longest wait", &self.breaker_max_wait)?,
                open_at_most_s: number("Open at most", &self.breaker_open_at_most)?,
                release_per_s: number("At first", &self.release)?,
                release_at_most_per_s: number("At most", &self.release_at_most)?,
            },
        })
    }
}

fn listed(values: &[impl Display]) -> String {
    let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

fn number<T: FromStr>(label: &str, text: &str) -> Result<T, String> {
    let text = text.trim();
    text.parse()
        .map_err(|_| format!("{label}: {text:?} is no number that fits here"))
}

fn numbers(label: &str, text: &str) -> Result<Vec<f64>, String> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(|item| number(label, item))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use service_kit::settings::Settings;

    #[test]
    fn what_is_shown_is_read_back() {
        let mut terms = Terms::of_settings(&Settings::default());
        terms.dlq.retry_delay = vec![0.25, 86_400.0];
        assert_eq!(Fields::from(&terms).terms(), Ok(terms));
    }

    #[test]
    fn what_is_no_number_is_told_with_its_label() {
        let mut fields = Fields::from(&Terms::of_settings(&Settings::default()));
        fields.retry_delay = "10, soon".to_owned();
        let told = fields.terms().expect_err("no number");
        assert_eq!(
            told,
            "Waits before each retry: \"soon\" is no number that fits here"
        );
    }
}
