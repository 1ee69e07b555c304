//! The auditor's own log of what buyers asked and were told: JSON lines, one [`Record`] each.
//!
//! An [`Intent`] is written and fsynced *before* its request is sent, so that no order can exist that the log has not heard of.
//! A request is sent again under the same intent (a retry, a double click); every answer is a line of its own. Answers are
//! fsynced in groups shortly after they came: a crash loses the last few, and [`Reader`] says so (no [`Record::End`], perhaps
//! a torn last line). What was asked and never answered is then simply not known, which the audit allows for.

mod reader;
mod writer;

pub use reader::{Read, Reader};
pub use writer::{Journal, Lost};

use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A request that may be sent from now on, any number of times.
    Intent(Intent),
    /// What one sending of it was answered.
    Answer(Answer),
    /// The journal was closed in order: every answer is in it.
    End {
        /// How many answers it holds.
        answers: u64,
    },
}

/// A buyer's wish: the same sale, user, key and body, however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Number within this journal: 1, 2, 3 … in the order of its lines.
    pub n: u64,
    /// The sale that is bought from.
    pub sale: Uuid,
    /// Who buys.
    pub user: Uuid,
    /// The `Idempotency-Key`, if one is sent.
    pub key: Option<String>,
    /// Units asked for, as sent.
    pub quantity: u32,
}

/// What came back for one sending of an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The intent's number.
    pub n: u64,
    /// When the request was sent, microseconds since 1970 by the sender's clock.
    pub sent_us: i64,
    /// When the answer, or the end of hope for one, came.
    pub answered_us: i64,
    /// HTTP status; 0: no answer came (connection lost, timeout).
    pub status: u16,
    /// The problem's code, or what became of the connection.
    pub code: Option<String>,
    /// The order the answer names.
    pub order: Option<Uuid>,
}

/// Microseconds since 1970, as [`Answer`] counts time.
#[must_use]
pub fn now_us() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
        })
}
