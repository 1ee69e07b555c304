//! What is known of a week.

use super::{Spread, Week};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A week in figures. What a newer build counts besides is 0 or empty where an older one stored the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// The week.
    pub week: Week,
    /// Tries of work that failed before; nothing where the table of tries is not kept (`compensation.log_storage: file`).
    pub tries: Option<Tries>,
    /// What was put into the archive and did not come back to it later: orders, stuck transactions, messages that are no orders.
    pub archived: u64,
    /// How archived things ended, by the archive's word: `confirmed`, `rejected`, `discarded`, `completed`, …
    #[serde(default)]
    pub ended: BTreeMap<String, u64>,
    /// What things were archived for most often, the most frequent first.
    #[serde(default)]
    pub causes: Vec<Cause>,
    /// Work that was settled by itself: how long after it was taken in.
    #[serde(default)]
    pub repaired_by_itself: Spread,
    /// What was archived and settled since: how long after its first try had failed.
    #[serde(default)]
    pub repaired_by_people: Spread,
    /// Alerts that were raised, once for each channel.
    #[serde(default)]
    pub alerts: u64,
    /// Of these, those nobody got.
    #[serde(default)]
    pub alerts_undelivered: u64,
    /// What was open when the report was made.
    pub open: Open,
}

/// Tries that were made in the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tries {
    /// Retries and tries as a dead letter.
    pub made: u64,
    /// Those that settled their work, one way or another.
    pub settled: u64,
    /// Orders that were given up.
    pub given_up: u64,
}

/// One cause, as its group of the archive shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// For `/api/v1/archives?fingerprint=`.
    pub fingerprint: String,
    /// Where it failed.
    pub step: String,
    /// The kind of error.
    pub code: Option<String>,
    /// Its message without what differs between orders.
    pub pattern: String,
    /// Archived rows of the week.
    pub count: u64,
}

/// What was open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Open {
    /// Work that is tried again, or given up just now.
    pub work: u64,
    /// Archived rows that wait for somebody.
    pub archived: u64,
}

impl Tries {
    /// The share of tries that settled their work, in hundredths of a percent; nothing where none was made.
    #[must_use]
    pub fn success(&self) -> Option<u64> {
        (self.settled * 10_000).checked_div(self.made)
    }
}

impl Figures {
    /// Archived things that were settled since: put back and confirmed or rejected, by whomever.
    #[must_use]
    pub fn replayed(&self) -> u64 {
        let not_replayed = [
            crate::operations::DISCARDED,
            crate::archive::transaction::COMPLETED,
        ];
        self.ended
            .iter()
            .filter(|(how, _)| !not_replayed.contains(&how.as_str()))
            .map(|(_, count)| *count)
            .sum()
    }

    /// Archived things that were given up for good.
    #[must_use]
    pub fn discarded(&self) -> u64 {
        let discarded = self.ended.get(crate::operations::DISCARDED);
        discarded.copied().unwrap_or_default()
    }
}
