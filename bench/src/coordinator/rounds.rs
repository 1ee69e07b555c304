//! Rounds in turn: floor and product on the same servers within the same minute, for absolute figures wander.

use super::results::Round;
use std::time::{Duration, Instant};

/// Alternations at least, however slow the machine is.
const ROUNDS_AT_LEAST: usize = 5;
/// Alternations that are planned: more of them make the median steadier where others use the machine.
const ROUNDS: usize = 8;
/// Beyond this a scenario takes no further round: with preparation and warm-up it then ends within 3 minutes.
const NO_NEW_ROUND_AFTER: Duration = Duration::from_mins(2);
/// Rounds are made a little longer than they need to be, so that no more than these are needed.
const MARGIN: f64 = 1.1;

/// How long a scenario measures.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Seconds of product time over all rounds.
    pub seconds: f64,
    begun: Instant,
}

impl Budget {
    /// From now on.
    #[must_use]
    pub fn of(seconds: f64) -> Self {
        Self {
            seconds,
            begun: Instant::now(),
        }
    }

    /// Transactions of one round at this rate.
    #[must_use]
    pub fn orders_at(&self, rate: f64) -> usize {
        whole(rate * self.seconds * MARGIN / ROUNDS as f64)
    }

    /// Transactions of a short trial, from which the better of several ways is chosen.
    #[must_use]
    pub fn trial_at(&self, rate: f64) -> usize {
        whole(rate * (self.seconds / 20.0).min(0.6))
    }

    fn is_spent(&self, product: &[Round]) -> bool {
        let measured: Duration = product.iter().map(|round| round.took).sum();
        let enough = product.len() >= ROUNDS && measured.as_secs_f64() >= self.seconds;
        let late = product.len() >= ROUNDS_AT_LEAST && self.begun.elapsed() > NO_NEW_ROUND_AFTER;
        enough || late
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small positive count"
)]
fn whole(count: f64) -> usize {
    count.ceil().max(1.0) as usize
}

/// What both contestants did, in the order of the rounds.
#[derive(Debug, Default)]
pub struct Rounds {
    /// The product's.
    pub product: Vec<Round>,
    /// The floor's.
    pub floor: Vec<Round>,
}

/// Lets both run in turn until the budget is spent; who begins changes from round to round.
///
/// # Errors
/// What either says.
pub async fn alternate(
    budget: Budget,
    mut product: impl AsyncFnMut() -> anyhow::Result<Round>,
    mut floor: impl AsyncFnMut() -> anyhow::Result<Round>,
) -> anyhow::Result<Rounds> {
    let mut rounds = Rounds::default();
    while !budget.is_spent(&rounds.product) {
        if rounds.product.len().is_multiple_of(2) {
            rounds.floor.push(floor().await?);
            rounds.product.push(product().await?);
        } else {
            rounds.product.push(product().await?);
            rounds.floor.push(floor().await?);
        }
    }
    Ok(rounds)
}
