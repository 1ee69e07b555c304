//! What tries leave behind: one home for both lanes.

use super::{
    Tools,
    audited::write_down,
    orders::told,
    trouble::{is_about_data, is_of_the_moment},
};
use chrono::{DateTime, Utc};
use compensation::{
    alerts::Alert,
    archive,
    attempt::{Attempt, History, Lane},
    operations::{self, Ends},
    queue::{self, Claimed, Ended, Outcome},
};
use ordering::OrderOutcome;
use sqlx::MySqlConnection;
use std::{collections::HashSet, time::Duration};
use tracing::{error, info};
use uuid::Uuid;

/// The most that one statement is told of histories, in bytes; well below what servers take.
const BYTES_AT_MOST: usize = 2 << 20;
/// How often a batch is written that waited too long for a lock.
const TIMES_AT_MOST: u32 = 3;

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

/// A try, and all that follows from it.
pub(super) struct Became<'a> {
    pub tried: Try<'a>,
    pub becomes: Outcome,
    /// Of what was settled, where there is one.
    pub reason: Option<&'a str>,
    pub alert: Option<Alert>,
}

impl Try<'_> {
    fn attempt(&self, worker: &str) -> Attempt {
        Attempt {
            generation: self.work.generation,
            attempt: self.number,
            lane: self.lane,
            started_at: self.started_at,
            duration_ms: u32::try_from(self.took.as_millis()).unwrap_or(u32::MAX),
            worker: worker.to_owned(),
            outcome: self.outcome.to_owned(),
            error: self.error.map(ToOwned::to_owned),
            next_after_ms: self
                .next_after
                .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        }
        .fit_to_be_stored()
    }

    fn ended<'a>(&'a self, history: &'a History, becomes: &'a Outcome) -> Ended<'a> {
        Ended {
            work: self.work,
            attempts: self.number,
            history,
            error: self.error,
            outcome: becomes,
        }
    }
}

/// A try with the history it makes longer.
struct Kept<'a> {
    what: &'a Became<'a>,
    attempt: Attempt,
    history: History,
    bytes: usize,
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
        let attempt = tried.attempt(&self.worker);
        let history = work.history.and(attempt.clone());
        if !queue::settle(&mut *db, tried.ended(&history, becomes)).await? {
            return Ok(None);
        }
        self.log
            .write(db, work.gid, work.order_id, &attempt)
            .await?;
        Ok(Some(history))
    }

    /// Writes what became of many, in one transaction; where one of them is in the way of the others (its claim went to another worker,
    /// its row is refused) in smaller ones without it. Gives the gids of those that are written.
    ///
    /// # Errors
    /// When nothing can be written for anyone: what is not written comes back after its claim.
    pub(super) async fn write_all(&self, all: &[Became<'_>]) -> sqlx::Result<HashSet<Uuid>> {
        let all: Vec<Kept<'_>> = all.iter().map(|what| self.kept(what)).collect();
        let mut written = HashSet::with_capacity(all.len());
        let mut left = vec![&all[..]];
        while let Some(part) = left.pop() {
            if part.is_empty() {
                continue;
            }
            let is_small = part.iter().map(|one| one.bytes).sum::<usize>() <= BYTES_AT_MOST;
            let done = if is_small || part.len() == 1 {
                self.write_together(part).await
            } else {
                Ok(false)
            };
            let in_the_way = match done {
                Ok(true) => {
                    written.extend(part.iter().map(Kept::gid));
                    continue;
                }
                Ok(false) => None,
                Err(cause) if is_about_data(&cause) => Some(cause),
                Err(cause) => return Err(cause),
            };
            if let [one] = part {
                one.is_not_written(in_the_way);
            } else {
                let (first, second) = part.split_at(part.len() / 2);
                left.extend([second, first]);
            }
        }
        Ok(written)
    }

    fn kept<'a>(&self, what: &'a Became<'a>) -> Kept<'a> {
        let attempt = what.tried.attempt(&self.worker);
        let history = what.tried.work.history.and(attempt.clone());
        Kept {
            bytes: history.to_json().len(),
            what,
            attempt,
            history,
        }
    }

    /// `false`: at least one claim went to another worker, and nothing is written.
    async fn write_together(&self, part: &[Kept<'_>]) -> sqlx::Result<bool> {
        let mut times = 1;
        loop {
            match self.write_once(part).await {
                Err(cause) if is_of_the_moment(&cause) && times < TIMES_AT_MOST => times += 1,
                written => return written,
            }
        }
    }

    async fn write_once(&self, part: &[Kept<'_>]) -> sqlx::Result<bool> {
        let mut tx = self.db.begin().await?;
        let ended: Vec<Ended<'_>> = part.iter().map(Kept::ended).collect();
        if !queue::settle_all(&mut tx, &ended).await? {
            return Ok(false);
        }
        let tries = part.iter().map(Kept::line);
        self.log.write_all(&mut tx, tries).await?;
        let ends = self.settle_what_was_archived(&mut tx, part).await?;
        for alert in part.iter().filter_map(|one| one.what.alert.as_ref()) {
            self.tell(&mut tx, alert).await?;
        }
        write_down(&mut tx, &ends).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Of those that are settled, what operators asked for with them ends too. Most orders were never archived, and have nothing to end.
    async fn settle_what_was_archived(
        &self,
        db: &mut MySqlConnection,
        part: &[Kept<'_>],
    ) -> sqlx::Result<Ends> {
        let mut ends = Ends::default();
        let settled: Vec<&Kept<'_>> = part
            .iter()
            .filter(|one| matches!(one.what.becomes, Outcome::Settled(_)))
            .collect();
        if settled.is_empty() {
            return Ok(ends);
        }
        let orders = settled.iter().map(|one| one.what.tried.work.order_id);
        let archived = archive::histories_of(&mut *db, orders).await?;
        for one in settled {
            let Try { work, outcome, .. } = one.what.tried;
            if archived.contains_key(&work.order_id) {
                let (gid, order) = (work.gid, work.order_id);
                let reason = one.what.reason;
                let ended =
                    operations::settled(&mut *db, gid, order, outcome, reason, &one.history);
                ends = ends.and(ended.await?);
            }
        }
        Ok(ends)
    }

    /// Closes work that a decision settled, whoever made it, and what an operator asked for with it. `false`: it is not written.
    pub(super) async fn close(&self, tried: Try<'_>, outcome: &OrderOutcome) -> sqlx::Result<bool> {
        let (how, reason) = told(outcome);
        let became = Became {
            tried,
            becomes: Outcome::Settled(how.to_owned()),
            reason,
            alert: None,
        };
        Ok(!self.write_all(&[became]).await?.is_empty())
    }
}

impl Kept<'_> {
    const fn gid(&self) -> Uuid {
        self.what.tried.work.gid
    }

    fn ended(&self) -> Ended<'_> {
        self.what.tried.ended(&self.history, &self.what.becomes)
    }

    fn line(&self) -> (Uuid, Uuid, Attempt) {
        let work = self.what.tried.work;
        (work.gid, work.order_id, self.attempt.clone())
    }

    fn is_not_written(&self, cause: Option<sqlx::Error>) {
        let work = self.what.tried.work;
        match cause {
            None => {
                info!(order.id = %work.order_id, gid = %work.gid, "Order {} is in other hands meanwhile", work.order_id);
            }
            Some(cause) => {
                error!(order.id = %work.order_id, gid = %work.gid, "What a try made of order {} is not taken, it is tried again after its claim: {cause}", work.order_id);
            }
        }
    }
}
