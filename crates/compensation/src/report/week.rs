//! Weeks as ISO 8601 counts them: from Monday, 00:00 UTC.

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveTime, Utc, Weekday};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// One week. Its text is `2026-W47`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Week {
    monday: NaiveDate,
}

/// Not a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a week is written as its year and its number, 2026-W47")]
pub struct NoWeek;

/// What a table's column holds, and no calendar argues about.
const YEARS: std::ops::RangeInclusive<i32> = 1971..=9998;

impl Week {
    /// The week of a moment.
    #[must_use]
    pub fn of(moment: DateTime<Utc>) -> Self {
        let day = moment.date_naive();
        let since_monday = u64::from(day.weekday().num_days_from_monday());
        Self {
            monday: day.checked_sub_days(Days::new(since_monday)).unwrap_or(day),
        }
    }

    /// When it begins.
    #[must_use]
    pub fn starts_at(self) -> DateTime<Utc> {
        self.monday.and_time(NaiveTime::MIN).and_utc()
    }

    /// When the next one begins.
    #[must_use]
    pub fn ends_at(self) -> DateTime<Utc> {
        self.shifted(NaiveDate::checked_add_days).starts_at()
    }

    /// Its Sunday, as the moment it begins.
    #[must_use]
    pub fn last_day(self) -> DateTime<Utc> {
        let sunday = self.monday.checked_add_days(Days::new(6));
        sunday
            .unwrap_or(self.monday)
            .and_time(NaiveTime::MIN)
            .and_utc()
    }

    /// The week before it.
    #[must_use]
    pub fn before(self) -> Self {
        self.shifted(NaiveDate::checked_sub_days)
    }

    fn shifted(self, by: fn(NaiveDate, Days) -> Option<NaiveDate>) -> Self {
        Self {
            monday: by(self.monday, Days::new(7)).unwrap_or(self.monday),
        }
    }
}

impl fmt::Display for Week {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let week = self.monday.iso_week();
        write!(f, "{:04}-W{:02}", week.year(), week.week())
    }
}

impl FromStr for Week {
    type Err = NoWeek;

    fn from_str(text: &str) -> Result<Self, NoWeek> {
        let (year, number) = text.split_once("-W").ok_or(NoWeek)?;
        let digits = |text: &str, length| {
            text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !digits(year, 4) || !digits(number, 2) {
            return Err(NoWeek);
        }
        let year = year.parse().map_err(|_| NoWeek)?;
        let number = number.parse().map_err(|_| NoWeek)?;
        if !YEARS.contains(&year) {
            return Err(NoWeek);
        }
        NaiveDate::from_isoywd_opt(year, number, Weekday::Mon)
            .map(|monday| Self { monday })
            .ok_or(NoWeek)
    }
}

impl TryFrom<String> for Week {
    type Error = NoWeek;

    fn try_from(text: String) -> Result<Self, NoWeek> {
        text.parse()
    }
}

impl From<Week> for String {
    fn from(week: Week) -> Self {
        week.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn week_of(moment: &str) -> String {
        Week::of(moment.parse().unwrap()).to_string()
    }

    #[test]
    fn a_week_begins_on_monday_and_belongs_to_the_year_of_its_thursday() {
        assert_eq!(week_of("2026-11-16T00:00:00Z"), "2026-W47");
        assert_eq!(week_of("2026-11-15T23:59:59.999Z"), "2026-W46");
        assert_eq!(week_of("2027-01-03T12:00:00Z"), "2026-W53");
        assert_eq!(week_of("2024-12-30T00:00:00Z"), "2025-W01");
    }

    #[test]
    fn weeks_follow_one_another_without_a_gap() {
        let mut week: Week = "2027-W01".parse().unwrap();
        for _ in 0..120 {
            let before = week.before();
            assert_eq!(before.ends_at(), week.starts_at());
            assert_eq!(before.to_string().parse(), Ok(before));
            week = before;
        }
    }

    #[test]
    fn what_is_no_week_is_refused() {
        for none in [
            "",
            "2026",
            "2026-W",
            "2026-W00",
            "2026-W54",
            "2025-W53",
            "26-W01",
            "2026-w01",
            "2026-W1",
            "+026-W01",
            "2026-W01 ",
            "1000-W01",
            "9999-W52",
        ] {
            assert_eq!(none.parse::<Week>(), Err(NoWeek), "{none}");
        }
    }
}
