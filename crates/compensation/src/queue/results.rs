//! What tries and decisions make of claimed work.

use super::{Claimed, illegal, micros, short};
use crate::{
    attempt::History,
    many,
    state::{Event, State},
};
use serde::Serialize;
use sqlx::{MySqlConnection, MySqlPool};
use std::time::Duration;
use uuid::Uuid;

/// What a failed try, or a decision, makes of claimed work.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Tried again: from the retry queue, as a dead letter, or to be given up.
    Again {
        /// [`Event::FailedToRetry`], [`Event::FailedAsDeadLetter`] or [`Event::FailedToArchive`].
        event: Event,
        /// When.
        after: Duration,
    },
    /// All tries are used up: it is given up at once.
    GiveUp,
    /// Settled; how, in a short code.
    Settled(String),
    /// The archive has it.
    Archived,
    /// The archive has it, and its units stay held.
    Held,
}

impl Outcome {
    fn event(&self) -> Event {
        match self {
            Self::Again { event, .. } => *event,
            Self::GiveUp => Event::FailedForGood,
            Self::Settled(_) => Event::Settled,
            Self::Archived => Event::StoredInArchive,
            Self::Held => Event::StoredAndHeld,
        }
    }

    const fn after(&self) -> Duration {
        match self {
            Self::Again { after, .. } => *after,
            Self::GiveUp | Self::Settled(_) | Self::Archived | Self::Held => Duration::ZERO,
        }
    }

    /// How it ended, where it did.
    fn code(&self) -> Option<&str> {
        match self {
            Self::Settled(how) => Some(how),
            Self::Archived => Some("archived"),
            Self::Again { .. } | Self::GiveUp | Self::Held => None,
        }
    }
}

/// What became of a piece of claimed work.
#[derive(Debug, Clone)]
pub struct Ended<'a> {
    /// As it was claimed.
    pub work: &'a Claimed,
    /// Tries of this generation, the latest one included.
    pub attempts: u32,
    /// What was tried so far, the latest try included.
    pub history: &'a History,
    /// What went wrong in it.
    pub error: Option<&'a str>,
    /// What follows.
    pub outcome: &'a Outcome,
}

/// Writes what became of claimed work, with its history. `false`: the claim went to another worker, and nothing was written.
///
/// # Errors
/// What the database says. A move that is not allowed is a protocol error.
pub async fn settle(db: &mut MySqlConnection, ended: Ended<'_>) -> sqlx::Result<bool> {
    settle_all(db, &[ended]).await
}

/// The same with many, by one statement. `false`: the claim of at least one went to another worker; what was written is rolled back by
/// the caller, who writes the others again without it.
///
/// # Errors
/// As [`settle`].
pub async fn settle_all(db: &mut MySqlConnection, ended: &[Ended<'_>]) -> sqlx::Result<bool> {
    let rows = ended
        .iter()
        .map(Ended::row)
        .collect::<sqlx::Result<Vec<_>>>()?;
    // A claim's token is compared row by row: it may have gone to another worker since.
    let written = sqlx::query!(
        "update json_table(?, '$[*]' columns (
           gid char(32) path '$.gid' error on error, claim char(32) path '$.claim' error on error,
           state longtext character set utf8mb4 path '$.state' error on error, attempts bigint path '$.attempts' error on error,
           after_us bigint path '$.after_us' error on error, history longtext character set utf8mb4 path '$.history' error on error,
           error longtext character set utf8mb4 path '$.error' error on error, outcome longtext character set utf8mb4 path '$.outcome' error on error,
           is_open int path '$.is_open' error on error)) as ended
         straight_join compensations as held force index (primary) on held.gid = unhex(ended.gid) and held.claim = unhex(ended.claim)
         set held.state = ended.state, held.attempts = ended.attempts,
             held.due_at = utc_timestamp(3) + interval ended.after_us microsecond, held.claim = default, held.history = ended.history,
             held.last_error = coalesce(ended.error, held.last_error), held.outcome = ended.outcome,
             held.closed_at = if(ended.is_open, null, utc_timestamp(3))",
        many::rows(rows)
    )
    .execute(db)
    .await?;
    Ok(written.rows_affected() == ended.len() as u64)
}

/// The longest last.
#[derive(Serialize)]
struct Row<'a> {
    gid: String,
    claim: String,
    state: &'static str,
    attempts: u32,
    after_us: i64,
    is_open: u8,
    outcome: Option<&'a str>,
    error: Option<String>,
    history: String,
}

impl Ended<'_> {
    fn row(&self) -> sqlx::Result<Row<'_>> {
        let state: State = self.work.state.on(self.outcome.event()).map_err(illegal)?;
        Ok(Row {
            gid: many::id(self.work.gid),
            claim: many::id(self.work.claim),
            state: state.as_str(),
            attempts: self.attempts,
            after_us: micros(self.outcome.after()),
            is_open: u8::from(state.is_open()),
            outcome: self.outcome.code(),
            error: self.error.map(short),
            history: self.history.to_json(),
        })
    }
}

/// Notes that the dead-letter topic has them.
///
/// # Errors
/// What the database says.
pub async fn all_published(db: &MySqlPool, gids: &[Uuid]) -> sqlx::Result<()> {
    if gids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update json_table(?, '$[*]' columns (gid char(32) path '$' error on error)) as sent
         straight_join compensations as held force index (primary) on held.gid = unhex(sent.gid)
         set held.published_at = coalesce(held.published_at, utc_timestamp(3))",
        many::ids(gids.iter().copied())
    )
    .execute(db)
    .await
    .map(drop)
}
