//! How many alerts found no place, of which severity and kind, and from when to when; and the alert that tells of them. Pure.

use super::{Alert, Severity};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Kinds that are counted by name: so many are less than a page of a disk, however their names are written.
const KINDS_AT_MOST: usize = 12;
/// What the further ones are counted as.
const OTHER_KINDS: &str = "others";

/// See the module. The default is nothing at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Another one each time it begins, so that each is told of.
    occasion: Uuid,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    by_severity: BTreeMap<Severity, u64>,
    by_kind: BTreeMap<String, u64>,
}

impl Tally {
    /// One alert.
    pub(super) fn of_one(severity: Severity, kind: &str, at: DateTime<Utc>) -> Self {
        Self {
            occasion: Uuid::new_v4(),
            first_at: at,
            last_at: at,
            by_severity: BTreeMap::from([(severity, 1)]),
            by_kind: BTreeMap::from([(kind.to_owned(), 1)]),
        }
    }

    /// All of them.
    pub(super) fn total(&self) -> u64 {
        self.by_severity.values().sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_severity.is_empty()
    }

    /// With those of another one.
    pub(super) fn and(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        let mut both = Self {
            first_at: self.first_at.min(other.first_at),
            last_at: self.last_at.max(other.last_at),
            ..self
        };
        for (severity, count) in other.by_severity {
            *both.by_severity.entry(severity).or_default() += count;
        }
        for (kind, count) in other.by_kind {
            let known = both.by_kind.contains_key(&kind);
            let kind = if known || both.by_kind.len() < KINDS_AT_MOST {
                kind
            } else {
                OTHER_KINDS.to_owned()
            };
            *both.by_kind.entry(kind).or_default() += count;
        }
        both
    }

    /// What people are told of them: under the same id as long as they are the same ones.
    pub(super) fn alert(&self) -> Alert {
        let total = self.total();
        let title = match total {
            1 => "1 alert was lost".to_owned(),
            many => format!("{many} alerts were lost"),
        };
        let alert = Alert::new("system", Severity::Urgent, "alerts", &title)
            .text(
                "Neither MySQL nor the spool took them. Nobody is told of what they said, unless whoever raised them did so again: \
                 the log has each one, beginning with \"Nobody is told of this\".",
            )
            .fact("from", self.first_at.to_rfc3339())
            .fact("to", self.last_at.to_rfc3339());
        let alert = self
            .by_severity
            .iter()
            .fold(alert, |alert, (of, count)| alert.fact(of.as_str(), count));
        let kinds = self.by_kind.iter();
        let kinds: Vec<_> = kinds
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        alert
            .fact("kinds", kinds.join(", "))
            .once(&format!("{}: {total}", self.occasion))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    #[test]
    fn it_says_how_many_of_which_and_from_when_to_when() {
        let warning = |second| Tally::of_one(Severity::Warning, "figure", at(second));
        let urgent = Tally::of_one(Severity::Urgent, "archived", at(5));
        let all = warning(7).and(urgent).and(Tally::default()).and(warning(3));
        let alert = all.alert();
        assert_eq!(
            (alert.title.as_str(), alert.severity),
            ("3 alerts were lost", Severity::Urgent)
        );
        let facts: Vec<_> = alert
            .facts
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        assert_eq!(
            facts,
            [
                format!("from: {}", at(3).to_rfc3339()),
                format!("to: {}", at(7).to_rfc3339()),
                "urgent: 1".to_owned(),
                "warning: 2".to_owned(),
                "kinds: 1 archived, 2 figure".to_owned(),
            ]
        );
        assert_eq!(warning(1).alert().title, "1 alert was lost");
    }

    /// Breaks when the id is the occasion's alone: of what is lost while it is told nobody hears.
    #[test]
    fn the_same_ones_are_told_of_once_and_more_of_them_again() {
        let one = Tally::of_one(Severity::Info, "figure", at(0));
        let more = one
            .clone()
            .and(Tally::of_one(Severity::Info, "figure", at(1)));
        let same_again = Tally::of_one(Severity::Info, "figure", at(0));
        assert_eq!(one.alert().id, one.alert().id);
        assert_ne!(one.alert().id, more.alert().id);
        assert_ne!(one.alert().id, same_again.alert().id);
    }
}
