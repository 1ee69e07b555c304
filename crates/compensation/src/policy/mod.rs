//! When work that failed is tried again, and when it is given up. The policy itself is pure: no clock, no dice of its own.
//!
//! It lives in the table `settings` ([`stored`]), where the settings file puts it at the first start and operators change it
//! afterwards; every process follows ([`Live`]). What waits already is not touched by a change: its due time stays, and what follows
//! from its next failure is told by the policy of that moment, from the number of tries it has behind it, whatever lane they were made
//! in. Fewer tries than it has behind it, and that failure is its last. A dead letter stays one.

mod live;
mod schedule;
pub mod stored;
mod terms;

pub use live::Live;
pub use schedule::{Planned, Schedule, Span};
pub use terms::{BadTerms, BreakerTerms, BudgetTerms, Terms, Tries};

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
    terms: Terms,
    retries: Vec<Duration>,
    dead_letters: Vec<Duration>,
}

impl TryFrom<Terms> for Policy {
    type Error = BadTerms;

    fn try_from(terms: Terms) -> Result<Self, BadTerms> {
        terms.check()?;
        Ok(Self {
            retries: terms.compensation.waits(),
            dead_letters: terms.dlq.waits(),
            terms,
        })
    }
}

impl Policy {
    /// What it is made of.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// How many tries a piece of work has behind it that begins as a dead letter.
    #[must_use]
    pub fn tries_before_dead_letter(&self) -> u32 {
        u32::try_from(1 + self.retries.len()).unwrap_or(u32::MAX)
    }

    /// What follows after this many tries of a generation failed. `dice` is anything in 0..=1.
    #[must_use]
    pub fn after(&self, tries: u32, dice: f64) -> Next {
        let failed = tries.saturating_sub(1) as usize;
        // Those that failed together do not come back together.
        let factor = 1.0 + self.terms.jitter * (2.0 * dice - 1.0);
        if let Some(wait) = self.retries.get(failed) {
            return Next::Retry(wait.mul_f64(factor));
        }
        match self.dead_letters.get(failed - self.retries.len()) {
            Some(wait) => Next::DeadLetter(wait.mul_f64(factor)),
            None => Next::Archive,
        }
    }

    /// [`Policy::after`] with dice of its own, and no earlier than whoever failed asks to be asked again, as far as the policy listens
    /// to that. Only ever later: nobody shortens a wait.
    #[must_use]
    pub fn roll(&self, tries: u32, retry_after: Option<Duration>) -> Next {
        let most = Duration::from_secs_f64(self.terms.retry_after_max_s);
        let least = retry_after.unwrap_or_default().min(most);
        match self.after(tries, rand::random()) {
            Next::Retry(wait) => Next::Retry(wait.max(least)),
            Next::DeadLetter(wait) => Next::DeadLetter(wait.max(least)),
            Next::Archive => Next::Archive,
        }
    }
}

#[cfg(test)]
mod tests;
