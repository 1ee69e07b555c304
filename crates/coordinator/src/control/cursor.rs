//! A place in the list of transactions, as it travels in an address.

use super::Listed;
use crate::{ids::Gid, state::TxState};
use chrono::{DateTime, Utc};
use std::{fmt, str::FromStr};

/// The place after one transaction. Opaque to whoever carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub(super) state: TxState,
    pub(super) due_at: DateTime<Utc>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) gid: Gid,
}

/// Not a place in the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a place in the list of transactions")]
pub struct BadCursor(String);

impl Cursor {
    pub(super) fn of(row: &Listed) -> Self {
        Self {
            state: row.state,
            due_at: row.due_at,
            created_at: row.created_at,
            gid: row.gid,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            state,
            due_at,
            created_at,
            gid,
        } = self;
        let (due_ms, created_ms) = (due_at.timestamp_millis(), created_at.timestamp_millis());
        write!(f, "{state}.{due_ms}.{created_ms}.{gid}")
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        read(text).ok_or_else(|| BadCursor(text.to_owned()))
    }
}

fn read(text: &str) -> Option<Cursor> {
    let time = |part: &str| DateTime::from_timestamp_millis(part.parse().ok()?);
    let mut parts = text.split('.');
    let cursor = Cursor {
        state: parts.next()?.parse().ok()?,
        due_at: time(parts.next()?)?,
        created_at: time(parts.next()?)?,
        gid: Gid::from_uuid(parts.next()?.parse().ok()?),
    };
    parts.next().is_none().then_some(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let time = |ms| DateTime::from_timestamp_millis(ms).unwrap();
        let cursor = Cursor {
            state: TxState::StuckCommitting,
            due_at: time(1_700_000_000_123),
            created_at: time(1_600_000_000_456),
            gid: Gid::from_uuid(Uuid::from_u128(7)),
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
        for bad in ["", "committing", "gone.1.2.7", &format!("{cursor}.8")] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}
