//! Times as they are shown: UTC to the second, with an age one can read.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;

/// A time on a page.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Moment {
    /// For programs.
    iso: String,
    utc: String,
    age: String,
}

impl Moment {
    /// The time as seen now.
    pub fn of(at: DateTime<Utc>) -> Self {
        Self::seen(at, Utc::now())
    }

    fn seen(at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        Self {
            iso: at.to_rfc3339_opts(SecondsFormat::Millis, true),
            utc: at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
            age: age(now - at),
        }
    }
}

/// One unit is enough: whoever needs more reads the time beside it.
fn age(passed: TimeDelta) -> String {
    let seconds = passed.num_seconds();
    if seconds.abs() < 2 {
        return "just now".to_owned();
    }
    let (number, unit) = match seconds.unsigned_abs() {
        seconds @ ..120 => (seconds, "s"),
        seconds @ ..7200 => (seconds / 60, "min"),
        seconds @ ..172_800 => (seconds / 3600, "h"),
        seconds => (seconds / 86_400, "d"),
    };
    if seconds < 0 {
        format!("in {number} {unit}")
    } else {
        format!("{number} {unit} ago")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_one_unit() {
        for (seconds, shown) in [
            (0, "just now"),
            (-1, "just now"),
            (2, "2 s ago"),
            (119, "119 s ago"),
            (120, "2 min ago"),
            (7199, "119 min ago"),
            (7200, "2 h ago"),
            (172_800, "2 d ago"),
            (-90, "in 90 s"),
        ] {
            assert_eq!(age(TimeDelta::seconds(seconds)), shown);
        }
    }

    #[test]
    fn a_time_is_shown_in_utc() {
        let at = DateTime::from_timestamp_millis(1_783_036_801_250).expect("a time");
        let moment = Moment::seen(at, at + TimeDelta::hours(3));
        assert_eq!(moment.iso, "2026-07-03T00:00:01.250Z");
        assert_eq!(moment.utc, "2026-07-03 00:00:01 UTC");
        assert_eq!(moment.age, "3 h ago");
    }
}
