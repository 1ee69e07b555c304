//! Counting what was checked and keeping the first offenders.

use crate::checks::{Check, promise_title};
use serde::Serialize;
use std::collections::BTreeMap;

/// Offenders kept of each check and promise; the rest is only counted.
const KEPT: usize = 10;

/// The running tally of an audit.
#[derive(Debug, Default)]
pub struct Tally {
    counts: BTreeMap<Check, Count>,
}

#[derive(Debug, Default)]
struct Count {
    checked: u64,
    violated: u64,
    offenders: Vec<String>,
}

impl Tally {
    /// Notes that something was looked at, and who offends if it does not hold.
    pub fn note(&mut self, check: Check, holds: bool, offender: impl FnOnce() -> String) {
        let count = self.counts.entry(check).or_default();
        count.checked += 1;
        if !holds {
            count.violated += 1;
            if count.offenders.len() < KEPT {
                count.offenders.push(offender());
            }
        }
    }

    /// Notes things that were looked at elsewhere (by a query that returns offenders only) and found in order.
    pub fn passed(&mut self, check: Check, checked: u64) {
        self.counts.entry(check).or_default().checked += checked;
    }

    /// Takes over another tally's counts.
    pub fn merge(&mut self, other: Self) {
        for (check, more) in other.counts {
            let count = self.counts.entry(check).or_default();
            count.checked += more.checked;
            count.violated += more.violated;
            count.offenders.extend(more.offenders);
            count.offenders.truncate(KEPT);
        }
    }

    /// The verdict on each promise. A check that found nothing to look at holds.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        (1..=6).map(|promise| self.verdict(promise)).collect()
    }

    fn verdict(&self, promise: u8) -> Verdict {
        let checks: Vec<Checked> = Check::ALL
            .iter()
            .filter(|check| check.promise() == promise)
            .map(|&check| {
                let count = self.counts.get(&check);
                Checked {
                    check,
                    title: check.title(),
                    checked: count.map_or(0, |count| count.checked),
                    violated: count.map_or(0, |count| count.violated),
                    offenders: count.map_or_else(Vec::new, |count| count.offenders.clone()),
                }
            })
            .collect();
        Verdict {
            promise,
            title: promise_title(promise),
            holds: checks.iter().all(|check| check.violated == 0),
            checked: checks.iter().map(|check| check.checked).sum(),
            violated: checks.iter().map(|check| check.violated).sum(),
            violations: checks
                .iter()
                .flat_map(|check| check.offenders.iter().cloned())
                .take(KEPT)
                .collect(),
            checks,
        }
    }
}

/// Whether one promise holds.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Its number in the design.
    pub promise: u8,
    /// Its name.
    pub title: &'static str,
    /// No check of it was violated.
    pub holds: bool,
    /// How many things were looked at.
    pub checked: u64,
    /// How many of them offend.
    pub violated: u64,
    /// The first offenders, at most 10.
    pub violations: Vec<String>,
    /// The same, check by check.
    pub checks: Vec<Checked>,
}

/// One check's counts.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// Which.
    pub check: Check,
    /// Its name.
    pub title: &'static str,
    /// How many things were looked at.
    pub checked: u64,
    /// How many of them offend.
    pub violated: u64,
    /// The first offenders, at most 10.
    pub offenders: Vec<String>,
}

/// What an audit found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// One for each promise, 1 to 6.
    pub verdicts: Vec<Verdict>,
    /// The orders in MySQL.
    pub orders: OrderCounts,
    /// What failed on its way.
    pub failures: FailureCounts,
    /// Messages on the topics.
    pub topics: TopicCounts,
    /// What the journals hold.
    pub journal: JournalCounts,
    /// How long it took to settle, in seconds from the audit's start.
    pub settled_after_s: f64,
}

/// Orders by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct OrderCounts {
    /// Confirmed, paid, shipped or delivered.
    pub confirmed: u64,
    /// Refused at the decision.
    pub rejected: u64,
    /// Given up and archived.
    pub failed: u64,
    /// Cancelled or refunded since.
    pub given_back: u64,
    /// In no end state.
    pub unsettled: u64,
}

/// What failed on its way, by what became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FailureCounts {
    /// Orders that were handed on.
    pub handed_on: u64,
    /// Of these, settled by a retry before they were given up.
    pub healed: u64,
    /// Orders that were given up.
    pub archived: u64,
    /// Of these, settled since.
    pub resolved: u64,
    /// Archived messages that are no orders.
    pub strange: u64,
    /// Alerts delivered, one for each channel.
    pub alerts_delivered: u64,
    /// Alerts that did not arrive.
    pub alerts_undelivered: u64,
}

/// Messages by topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TopicCounts {
    /// On the orders topic.
    pub orders: u64,
    /// Of these, not an order.
    pub poison: u64,
    /// On the compensation topic.
    pub compensation: u64,
    /// On the dead letters' topic.
    pub dead_letters: u64,
    /// Of these, from elsewhere than the orders topic.
    pub foreign_dead_letters: u64,
}

/// What buyers did, by the journals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct JournalCounts {
    /// Requests meant.
    pub intents: u64,
    /// Answers to them, repeats included.
    pub answers: u64,
    /// Requests answered 202 at least once.
    pub accepted: u64,
    /// Journals that were not closed in order: their last answers are missing.
    pub cut_off: u64,
    /// Journals whose last line is torn.
    pub torn: u64,
}

impl Report {
    /// Every promise holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.holds)
    }

    /// The counts of one check.
    #[must_use]
    pub fn of(&self, check: Check) -> Option<&Checked> {
        self.verdicts
            .iter()
            .flat_map(|verdict| &verdict.checks)
            .find(|checked| checked.check == check)
    }
}
