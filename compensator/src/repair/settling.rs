//! What a try leaves behind when the work is over: one home for both lanes.

use super::{Tools, orders::told};
use chrono::{DateTime, Utc};
use compensation::{
    attempt::{Attempt, History, Lane},
    operations,
    queue::{self, Claimed, Outcome},
};
use ordering::OrderOutcome;
use sqlx::MySqlConnection;
use std::time::Duration;

/// One try of claimed work, as it is kept.
pub(super) struct Try<'a> {
    pub work: &'a Claimed,
    pub lane: Lane,
    /// Of this generation.
    pub number: u32,
    pub started_at: DateTime<Utc>,
    pub took: Duration,
    pub outcome: &'a str,
    pub error: Option<&'a str>,
    pub next_after: Option<Duration>,
}

impl Tools {
    /// Writes a try and what became of its work in the caller's transaction, and gives the history with it. `None`: the claim went to
    /// another worker; the caller rolls back.
    pub(super) async fn write_try(
        &self,
        db: &mut MySqlConnection,
        tried: Try<'_>,
        becomes: &Outcome,
    ) -> sqlx::Result<Option<History>> {
        let work = tried.work;
        let attempt = Attempt {
            generation: work.generation,
            attempt: tried.number,
            lane: tried.lane,
            started_at: tried.started_at,
            duration_ms: u32::try_from(tried.took.as_millis()).unwrap_or(u32::MAX),
            worker: self.worker.clone(),
            outcome: tried.outcome.to_owned(),
            error: tried.error.map(ToOwned::to_owned),
            next_after_ms: tried
                .next_after
                .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        }
        .fit_to_be_stored();
        let mut history = work.history.clone();
        history.push(attempt.clone());
        if !queue::settle(db, work, tried.number, &history, tried.error, becomes).await? {
            return Ok(None);
        }
        self.log
            .write(db, work.gid, work.order_id, &attempt)
            .await?;
        Ok(Some(history))
    }

    /// Closes work that a decision settled, whoever made it, and what an operator asked for with it. `false`: the claim went to
    /// another worker, and nothing was written.
    pub(super) async fn close(&self, tried: Try<'_>, outcome: &OrderOutcome) -> sqlx::Result<bool> {
        let work = tried.work;
        let (how, reason) = told(outcome);
        let mut tx = self.db.begin().await?;
        let settled = Outcome::Settled(how.to_owned());
        let Some(history) = self.write_try(&mut tx, tried, &settled).await? else {
            return Ok(false);
        };
        operations::settled(&mut tx, work.gid, work.order_id, how, reason, &history).await?;
        tx.commit().await?;
        Ok(true)
    }
}
