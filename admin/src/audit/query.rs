//! The audit's filter as it stands in addresses: every view can be shared.

use super::Filter;
use crate::address::with_query;
use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde::Deserialize;

/// Times without a second, and with one.
const TIMES: [&str; 3] = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"];

/// `?operator=&act=&outcome=&subject=&operation=&from=&to=&before=`; an empty value is none.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct AuditQuery {
    pub operator: Option<String>,
    pub act: Option<String>,
    pub outcome: Option<String>,
    /// An order's id, an operator's name, a path.
    pub subject: Option<String>,
    pub operation: Option<String>,
    /// A day or a time, in UTC.
    pub from: Option<String>,
    /// Before this time, or to the end of this day.
    pub to: Option<String>,
    /// Only lines before this one.
    pub before: Option<i64>,
}

/// What of the query cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be understood{1}")]
pub(crate) struct BadQuery(&'static str, &'static str);

const OUTCOME: BadQuery = BadQuery("outcome", ": it is done, denied, refused or failed");
const OPERATION: BadQuery = BadQuery("operation", ": it is an operation's id");
const FROM: BadQuery = BadQuery("from", ": write 2026-07-03 or 2026-07-03T10:00, in UTC");
const TO: BadQuery = BadQuery("to", ": write 2026-07-03 or 2026-07-03T10:00, in UTC");

impl AuditQuery {
    /// What it asks for.
    ///
    /// # Errors
    /// [`BadQuery`] names the value.
    pub fn filter(&self) -> Result<Filter, BadQuery> {
        let outcome = text(self.outcome.as_deref()).map(|text| text.parse().map_err(|_| OUTCOME));
        let operation =
            text(self.operation.as_deref()).map(|text| text.parse().map_err(|_| OPERATION));
        let from = text(self.from.as_deref()).map(|text| begin_of(text).ok_or(FROM));
        let to = text(self.to.as_deref()).map(|text| end_of(text).ok_or(TO));
        Ok(Filter {
            operator: text(self.operator.as_deref()).map(str::to_owned),
            act: text(self.act.as_deref()).map(str::to_owned),
            outcome: outcome.transpose()?,
            subject: text(self.subject.as_deref()).map(str::to_owned),
            operation: operation.transpose()?,
            from: from.transpose()?,
            to: to.transpose()?,
        })
    }

    /// The address of what it asks for at `path`, as it was typed.
    pub fn link(&self, path: &str, before: Option<String>) -> String {
        let value = |field: Option<&str>| text(field).map(str::to_owned);
        with_query(
            path,
            &[
                ("operator", value(self.operator.as_deref())),
                ("act", value(self.act.as_deref())),
                ("outcome", value(self.outcome.as_deref())),
                ("subject", value(self.subject.as_deref())),
                ("operation", value(self.operation.as_deref())),
                ("from", value(self.from.as_deref())),
                ("to", value(self.to.as_deref())),
                ("before", before),
            ],
        )
    }
}

fn text(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|text| !text.is_empty())
}

/// A time, or the beginning of a day.
fn begin_of(text: &str) -> Option<DateTime<Utc>> {
    time(text).or_else(|| begin(day(text)?))
}

/// A time, or the beginning of the day after.
fn end_of(text: &str) -> Option<DateTime<Utc>> {
    time(text).or_else(|| begin(day(text)?.checked_add_days(Days::new(1))?))
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    let known = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc());
    let at = known.ok().or_else(|| {
        let at = TIMES
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
        at.map(|at| at.and_utc())
    })?;
    stored(at)
}

fn day(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
}

fn begin(day: NaiveDate) -> Option<DateTime<Utc>> {
    stored(day.and_time(NaiveTime::MIN).and_utc())
}

/// A time that the table may have.
fn stored(at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    (1000..=9999).contains(&at.year()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(from: &str, to: &str) -> AuditQuery {
        AuditQuery {
            from: Some(from.to_owned()),
            to: Some(to.to_owned()),
            ..AuditQuery::default()
        }
    }

    /// Caught: a day that ends where it begins.
    #[test]
    fn a_day_is_whole() {
        let filter = query("2026-07-03", "2026-07-03").filter().unwrap();
        let at = |text: &str| Some(text.parse::<DateTime<Utc>>().unwrap());
        assert_eq!(filter.from, at("2026-07-03T00:00:00Z"));
        assert_eq!(filter.to, at("2026-07-04T00:00:00Z"));
        let filter = query("2026-07-03T10:00", "2026-07-03T12:00:01+02:00")
            .filter()
            .unwrap();
        assert_eq!(filter.from, at("2026-07-03T10:00:00Z"));
        assert_eq!(filter.to, at("2026-07-03T10:00:01Z"));
        assert!(query(" ", "").filter().unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for bad in ["yesterday", "2026-13-01", "+99999-01-01", "0001-01-01"] {
            assert_eq!(query(bad, "").filter(), Err(FROM), "{bad}");
            assert_eq!(query("", bad).filter(), Err(TO), "{bad}");
        }
        let outcome = AuditQuery {
            outcome: Some("well".to_owned()),
            ..AuditQuery::default()
        };
        assert_eq!(outcome.filter(), Err(OUTCOME));
        let operation = AuditQuery {
            operation: Some("7".to_owned()),
            ..AuditQuery::default()
        };
        assert_eq!(operation.filter(), Err(OPERATION));
    }

    #[test]
    fn a_link_keeps_what_was_typed() {
        let mut query = query("2026-07-03", " ");
        query.operator = Some("ann b".to_owned());
        assert_eq!(
            query.link("/audit", Some("7".to_owned())),
            "/audit?operator=ann%20b&from=2026-07-03&before=7"
        );
    }
}
