//! Every try of a delivery: the table `alert_attempts`.

use crate::alerts::Delivered;
use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;
use sqlx::{MySqlConnection, MySqlPool};
use std::time::Duration;
use uuid::Uuid;

/// Older tries of one notice are not shown.
const SHOWN_AT_MOST: u32 = 500;

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// On this channel.
    pub channel: String,
    /// When it began.
    pub at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
    /// As metrics count it: `sent`, `slow_down`, `broken`, `gone`, `failed`.
    pub outcome: String,
    /// Why it was not sent.
    pub error: Option<String>,
    /// Who asked for it by hand; `None`: it was due.
    pub asked_by: Option<String>,
}

/// Writes down a try that has just ended, once: its claim is its own.
pub(super) async fn insert(
    db: &mut MySqlConnection,
    (id, claim): (Uuid, Uuid),
    channel: &str,
    (what, took): (&Delivered, Duration),
    asked_by: Option<&str>,
) -> sqlx::Result<()> {
    let took_ms = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
    sqlx::query!(
        "insert into alert_attempts (alert_id, channel, claim, at, took_ms, outcome, error, asked_by)
         values (?, ?, ?, utc_timestamp(3) - interval ? microsecond, ?, ?, left(?, 500), ?)
         on duplicate key update outcome = outcome",
        id,
        channel,
        claim,
        u64::from(took_ms) * 1000,
        took_ms,
        what.outcome(),
        what.error(),
        asked_by
    )
    .execute(db)
    .await
    .map(drop)
}

/// Writes down one that was made while MySQL took nothing.
pub(super) async fn restore(
    db: &mut MySqlConnection,
    id: Uuid,
    channel: &str,
    at: NaiveDateTime,
    (took_ms, outcome, error): (u32, &str, Option<&str>),
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into alert_attempts (alert_id, channel, at, took_ms, outcome, error)
         values (?, ?, least(?, utc_timestamp(3)), ?, left(?, 16), left(?, 500))",
        id,
        channel,
        at,
        took_ms,
        outcome,
        error
    )
    .execute(db)
    .await
    .map(drop)
}

/// The tries of a notice on all its channels, the newest first.
///
/// # Errors
/// What the database says.
pub async fn attempts(db: &MySqlPool, id: Uuid) -> sqlx::Result<Vec<Attempt>> {
    sqlx::query_as!(
        Attempt,
        r#"select channel, at as "at: DateTime<Utc>", took_ms, outcome, error, asked_by from alert_attempts
           where alert_id = ? order by id desc limit ?"#,
        id,
        SHOWN_AT_MOST
    )
    .fetch_all(db)
    .await
}
