//! What an operator says of an operation: on which rows, why, how fast, and when it is to stop itself. Checked once, at the edge.

use crate::archive::listing::{Filter, State};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// The longest reason, in characters.
pub const REASON_AT_MOST: usize = 500;
/// Items a second, at most.
pub const RATE_AT_MOST: u32 = 500;
/// The longest time to undo.
pub const GRACE_AT_MOST: Duration = Duration::from_hours(24);
/// The longest text that is looked for, in characters.
const QUERY_AT_MOST: usize = 200;
/// The longest name of a step.
const STEP_AT_MOST: usize = 32;

/// What an operator said cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTerms {
    /// No reason.
    #[error("a reason is needed: say in a few words why")]
    NoReason,
    /// Too long a reason.
    #[error("a reason may have 500 characters")]
    LongReason,
    /// A reason nobody can read.
    #[error("a reason is one line of text without control characters")]
    UnreadableReason,
    /// An impossible rate.
    #[error("rate is 1 to 500 items a second")]
    Rate,
    /// An impossible share.
    #[error("stop_percent is 0 (stop at the first failure) to 100 (never stop)")]
    StopPercent,
    /// Too long a grace.
    #[error("grace_s is 0 to 86400 seconds")]
    Grace,
    /// A filter with a text that matches nothing.
    #[error(
        "the filter's text may have 200 characters, its step 32, and neither control characters"
    )]
    Filter,
    /// Not a group.
    #[error("the filter's fingerprint is 16 hexadecimal digits")]
    FilterFingerprint,
    /// Not a state of the archive.
    #[error("the filter's state is open, replaying, handled or all")]
    FilterState,
}

/// Why something is done to many orders: one line, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// The text without space around it.
    ///
    /// # Errors
    /// [`BadTerms`].
    pub fn parse(text: &str) -> Result<Self, BadTerms> {
        let text = text.trim();
        if text.is_empty() {
            Err(BadTerms::NoReason)
        } else if text.chars().count() > REASON_AT_MOST {
            Err(BadTerms::LongReason)
        } else if text.chars().any(char::is_control) {
            Err(BadTerms::UnreadableReason)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How an operation goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    rate: u32,
    canary: bool,
    stop_percent: u32,
    grace: Duration,
}

impl Terms {
    /// Items begun a second; whether it feels its way first, see [`super::ladder`]; the share of failures above which it pauses
    /// itself; and how long it can be undone before the first item is begun.
    ///
    /// # Errors
    /// [`BadTerms`].
    pub fn new(
        rate: u32,
        canary: bool,
        stop_percent: u32,
        grace: Duration,
    ) -> Result<Self, BadTerms> {
        if !(1..=RATE_AT_MOST).contains(&rate) {
            return Err(BadTerms::Rate);
        }
        if stop_percent > 100 {
            return Err(BadTerms::StopPercent);
        }
        if grace > GRACE_AT_MOST {
            return Err(BadTerms::Grace);
        }
        Ok(Self {
            rate,
            canary,
            stop_percent,
            grace,
        })
    }

    /// Items begun a second.
    #[must_use]
    pub const fn rate(&self) -> u32 {
        self.rate
    }

    /// Whether it goes 1, 10, 100 first.
    #[must_use]
    pub const fn canary(&self) -> bool {
        self.canary
    }

    /// Above this share of failures it pauses itself.
    #[must_use]
    pub const fn stop_percent(&self) -> u32 {
        self.stop_percent
    }

    /// How long it can be undone.
    #[must_use]
    pub const fn grace(&self) -> Duration {
        self.grace
    }
}

impl Default for Terms {
    /// Ten a second, step by step, stopping above one failure in ten, with half a minute to undo it.
    fn default() -> Self {
        Self {
            rate: 10,
            canary: true,
            stop_percent: 10,
            grace: Duration::from_secs(30),
        }
    }
}

/// The archive's filter as an operation keeps it: a JSON object. An unknown field is refused, for a filter that was read in part would
/// match more; and so is a list, which would be read as one without any field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Object")]
pub struct Selected {
    /// An id, or a text in the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// `open` when it is not said; `all` for every state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Of this sale only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sale: Option<Uuid>,
    /// That failed at this step only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Of this group only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

type Object = serde_json::Map<String, serde_json::Value>;

/// Its fields, from an object alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    q: Option<String>,
    state: Option<String>,
    sale: Option<Uuid>,
    step: Option<String>,
    fingerprint: Option<String>,
}

impl TryFrom<Object> for Selected {
    type Error = serde_json::Error;

    fn try_from(object: Object) -> Result<Self, serde_json::Error> {
        let Fields {
            q,
            state,
            sale,
            step,
            fingerprint,
        } = serde_json::from_value(serde_json::Value::Object(object))?;
        Ok(Self {
            q,
            state,
            sale,
            step,
            fingerprint,
        })
    }
}

impl Selected {
    /// Keeps a filter.
    #[must_use]
    pub fn of(filter: &Filter) -> Self {
        // Named one by one: a field that is not kept would make an operation match more than its list.
        let Filter {
            query,
            state,
            sale,
            step,
            fingerprint,
        } = filter.clone();
        Self {
            q: query,
            state: Some(state.map_or("all", State::as_str).to_owned()),
            sale,
            step,
            fingerprint: fingerprint.map(|it| it.to_string()),
        }
    }

    /// The filter it stands for.
    ///
    /// # Errors
    /// [`BadTerms::Filter`], [`BadTerms::FilterState`] and [`BadTerms::FilterFingerprint`].
    pub fn filter(&self) -> Result<Filter, BadTerms> {
        let state = match self.state.as_deref() {
            None | Some("") => Some(State::Open),
            Some("all") => None,
            Some(name) => Some(name.parse().map_err(|_| BadTerms::FilterState)?),
        };
        Ok(Filter {
            query: text(self.q.as_deref(), QUERY_AT_MOST)?,
            state,
            sale: self.sale,
            step: text(self.step.as_deref(), STEP_AT_MOST)?,
            fingerprint: self
                .fingerprint
                .as_deref()
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(|text| text.parse().map_err(|_| BadTerms::FilterFingerprint))
                .transpose()?,
        })
    }
}

fn text(value: Option<&str>, characters: usize) -> Result<Option<String>, BadTerms> {
    let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    if value.chars().count() > characters || value.chars().any(char::is_control) {
        return Err(BadTerms::Filter);
    }
    Ok(Some(value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::Fingerprint;

    #[test]
    fn a_reason_says_something_in_one_line() {
        assert_eq!(
            Reason::parse("  index added "),
            Ok(Reason("index added".into()))
        );
        assert_eq!(Reason::parse(" \t\n"), Err(BadTerms::NoReason));
        assert_eq!(Reason::parse(&"ä".repeat(501)), Err(BadTerms::LongReason));
        assert!(Reason::parse(&"ä".repeat(500)).is_ok());
        assert_eq!(Reason::parse("a\u{0}b"), Err(BadTerms::UnreadableReason));
        assert_eq!(Reason::parse("a\nb"), Err(BadTerms::UnreadableReason));
    }

    #[test]
    fn every_bound_holds_at_both_ends() {
        let terms = |rate, percent, grace| {
            Terms::new(rate, true, percent, Duration::from_secs(grace)).map(drop)
        };
        assert_eq!(terms(1, 0, 0), Ok(()));
        assert_eq!(terms(RATE_AT_MOST, 100, 86_400), Ok(()));
        assert_eq!(terms(0, 0, 0), Err(BadTerms::Rate));
        assert_eq!(terms(RATE_AT_MOST + 1, 0, 0), Err(BadTerms::Rate));
        assert_eq!(terms(1, 101, 0), Err(BadTerms::StopPercent));
        assert_eq!(terms(1, 0, 86_401), Err(BadTerms::Grace));
    }

    #[test]
    fn a_filter_is_kept_whole_and_nothing_unknown_is_read() {
        let filter = Filter {
            query: Some("100% \"lock\"; drop table".to_owned()),
            state: None,
            sale: Some(Uuid::from_u128(7)),
            step: Some("decide".to_owned()),
            fingerprint: Some(Fingerprint::from_number(7)),
        };
        let json = serde_json::to_string(&Selected::of(&filter)).unwrap();
        let read: Selected = serde_json::from_str(&json).unwrap();
        assert_eq!(read.filter(), Ok(filter));
        for not_one in [r#"{"buyer":"x"}"#, "[]", "null", r#"["x"]"#, r#""x""#] {
            assert!(
                serde_json::from_str::<Selected>(not_one).is_err(),
                "{not_one}"
            );
        }
        assert_eq!(
            Selected::default().filter().unwrap().state,
            Some(State::Open)
        );
        for (field, value) in [
            ("q", "x".repeat(201)),
            ("step", "x".repeat(33)),
            ("q", "\0".into()),
        ] {
            let json = serde_json::json!({field: value});
            let bad: Selected = serde_json::from_value(json).unwrap();
            assert_eq!(bad.filter(), Err(BadTerms::Filter));
        }
    }
}
