//! Participants outside this system: services that take part in the orders of some sales.

use super::{Environment, Secret};
use axum::http::Uri;
use serde::{Deserialize, Deserializer, de};
use std::{fmt, ops::RangeInclusive};
use uuid::Uuid;

/// As long as the log's column.
const NAME_AT_MOST: usize = 64;
/// Milliseconds: a shorter one gives nobody the time to answer, a longer one outlasts what holds a transaction.
const TIMEOUT_MS: RangeInclusive<u64> = 100..=8_000;
const IN_FLIGHT: RangeInclusive<usize> = 1..=1_000;
const BREAKER_FAILURES: RangeInclusive<u32> = 1..=1_000;

/// One of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParticipantSettings {
    /// Its name in the log of transactions, on pages and in requests. It never changes.
    pub name: String,
    /// How it takes part. It never changes either, while transactions with it are unfinished.
    pub style: ParticipantStyle,
    /// Where it listens. It may hold a credential, so it is never shown.
    pub url: Secret,
    /// In whose orders it takes part.
    #[serde(default)]
    pub sales: ParticipantSales,
    /// How long one call may take.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Calls one process has under way at once.
    #[serde(default = "in_flight")]
    pub in_flight: usize,
    /// Calls in a row without an answer after which it is left alone for a while.
    #[serde(default = "breaker_failures")]
    pub breaker_failures: u32,
    /// Whether its url needs no encryption, for it lies in one's own network. In development it needs none anyway.
    #[serde(default)]
    pub allow_private: bool,
}

/// How a participant takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParticipantStyle {
    /// Try, then confirm or cancel.
    Tcc,
    /// Action, then nothing or compensate.
    Saga,
}

/// In whose orders a participant takes part: `all`, or a list of sales.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ParticipantSales {
    /// In every sale's.
    #[default]
    All,
    /// In these sales'. None: it takes part in nothing new, and what it takes part in is brought to its end.
    Only(Vec<Uuid>),
}

impl ParticipantSales {
    /// Whether it takes part in this sale's orders.
    #[must_use]
    pub fn contains(&self, sale: Uuid) -> bool {
        match self {
            Self::All => true,
            Self::Only(sales) => sales.contains(&sale),
        }
    }
}

const fn timeout_ms() -> u64 {
    2_000
}

const fn in_flight() -> usize {
    64
}

const fn breaker_failures() -> u32 {
    5
}

/// The first complaint about any of them, or none. Urls are not repeated in it.
pub(super) fn complaint(
    participants: &[ParticipantSettings],
    environment: Environment,
) -> Option<String> {
    for (at, participant) in participants.iter().enumerate() {
        let name = &participant.name;
        if !is_name(name) {
            return Some(format!(
                "participants: {name:?} must be 1 to {NAME_AT_MOST} of a-z, 0-9, '-', '_' and '.'"
            ));
        }
        if participants[..at].iter().any(|other| other.name == *name) {
            return Some(format!("participants names {name:?} twice"));
        }
        let why = participant
            .out_of_bounds()
            .or_else(|| participant.url_complaint(environment).map(str::to_owned));
        if let Some(why) = why {
            return Some(format!("participants, {name:?}: {why}"));
        }
    }
    None
}

impl ParticipantSettings {
    fn out_of_bounds(&self) -> Option<String> {
        fn complaint<T: PartialOrd + fmt::Display>(
            key: &str,
            value: &T,
            bounds: &RangeInclusive<T>,
        ) -> Option<String> {
            (!bounds.contains(value)).then(|| {
                format!(
                    "{key} must be between {} and {}",
                    bounds.start(),
                    bounds.end()
                )
            })
        }

        complaint("timeout_ms", &self.timeout_ms, &TIMEOUT_MS)
            .or_else(|| complaint("in_flight", &self.in_flight, &IN_FLIGHT))
            .or_else(|| {
                complaint(
                    "breaker_failures",
                    &self.breaker_failures,
                    &BREAKER_FAILURES,
                )
            })
    }

    /// Looks at the form alone, and at whether anyone on the way could read what is sent.
    fn url_complaint(&self, environment: Environment) -> Option<&'static str> {
        let parsed = self.url.expose().trim().parse::<Uri>().ok();
        let scheme = parsed
            .as_ref()
            .filter(|url| url.host().is_some_and(|host| !host.is_empty()))
            .and_then(Uri::scheme_str);
        match scheme {
            Some("https") => None,
            Some("http") if environment == Environment::Development || self.allow_private => None,
            Some("http") => Some(
                "the url must begin with https:// in production, unless its allow_private is true",
            ),
            _ => Some("the url must be of the form https://host"),
        }
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_AT_MOST).contains(&name.len())
        && name
            .bytes()
            .all(|letter| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
}

impl<'de> Deserialize<'de> for ParticipantSales {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct AllOrSome;

        impl<'de> de::Visitor<'de> for AllOrSome {
            type Value = ParticipantSales;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"all\", or a list of sales' ids")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ParticipantSales, E> {
                if text == "all" {
                    Ok(ParticipantSales::All)
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(text), &self))
                }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(
                self,
                mut items: A,
            ) -> Result<ParticipantSales, A::Error> {
                let mut sales = Vec::new();
                while let Some(sale) = items.next_element()? {
                    sales.push(sale);
                }
                Ok(ParticipantSales::Only(sales))
            }
        }

        from.deserialize_any(AllOrSome)
    }
}
