//! What is too much, and for how long.

use super::Figure;
use service_kit::settings::Watch;
use std::time::Duration;

/// Over which traffic is counted.
pub(super) const WINDOW: Duration = Duration::from_mins(1);
/// Final failures are rare: they are counted over a longer time.
pub(super) const LONG_WINDOW: Duration = Duration::from_mins(5);
/// A figure is all right again once it was within its bound for so long.
pub(super) const QUIET_FOR: Duration = Duration::from_mins(1);
/// Of fewer than this a share says nothing.
pub(super) const ENOUGH: f64 = 20.0;

/// The bound of each figure. As the settings say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Dead letters that are neither settled nor archived: more than this many ...
    pub dead_letters: u64,
    /// ... for so long.
    pub dead_letters_for: Duration,
    /// Orders given up, of those decided: more than this share.
    pub final_failure_rate: f64,
    /// Transactions that were decided, either way, of those tried: less than this share for a minute.
    pub transaction_success: f64,
    /// From prepared to complete, on average: longer than this.
    pub commit_mean: Duration,
    /// Transactions that are stuck or unfinished for longer than a minute: more than this many.
    pub hanging: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self::from(&Watch::default())
    }
}

impl From<&Watch> for Bounds {
    fn from(watch: &Watch) -> Self {
        Self {
            dead_letters: watch.dead_letters,
            dead_letters_for: Duration::from_secs(watch.dead_letters_for_s),
            final_failure_rate: watch.final_failure_rate,
            transaction_success: watch.transaction_success,
            commit_mean: Duration::from_millis(watch.commit_mean_ms),
            hanging: watch.hanging,
        }
    }
}

impl Bounds {
    /// How long a figure must be beyond its bound before people are told.
    #[must_use]
    pub const fn patience(&self, figure: Figure) -> Duration {
        match figure {
            Figure::DeadLetters => self.dead_letters_for,
            Figure::TransactionSuccess => WINDOW,
            Figure::FinalFailures | Figure::CommitMean | Figure::Hanging => Duration::ZERO,
        }
    }
}
