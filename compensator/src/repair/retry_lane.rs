//! Due work is claimed and tried again under its own gid; its units stay held meanwhile.
//!
//! A failed try is written with what follows from it, in one transaction: the history, the log, the next due time, the alert. What
//! fails for everyone (MySQL is away) is no try, and is counted nowhere.

use super::{
    Tools,
    orders::{NoOutcome, told},
    telling,
};
use crate::metrics::{
    COMPENSATION_ATTEMPT_TOTAL, COMPENSATION_RETRY_NUMBER, COMPENSATION_SUCCESS_TOTAL,
};
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use compensation::{
    attempt::{Attempt, FAILED, Lane},
    operations,
    policy::Next,
    queue::{self, Claimed, Outcome},
    state::{Event, State},
};
use futures::{StreamExt as _, stream};
use metrics::{counter, histogram};
use ordering::{OrderOutcome, message::OrderMessage};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// How long claimed work is left alone by others: longer than any try.
const LEASE: Duration = Duration::from_secs(15);
/// Work claimed at once.
const BATCH: u32 = 100;
/// Tries under way at once.
const AT_ONCE: usize = 16;
/// When work is looked at again that could not be tried.
const NOT_NOW: Duration = Duration::from_secs(1);

/// Tries due work again, dead letters too.
pub struct RetryLane(Tools);

/// When a try was made, and how long it took.
#[derive(Clone, Copy)]
struct Clocked {
    started_at: DateTime<Utc>,
    took: Duration,
}

impl RetryLane {
    /// Any number may run at once, in any process.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self(tools)
    }

    /// Claims what is due and tries it; how much that was.
    ///
    /// # Errors
    /// When nothing could be claimed.
    pub async fn run_batch(&self) -> anyhow::Result<usize> {
        let mut found = 0;
        for state in [State::Scheduled, State::Dead] {
            let due = queue::claim_due(&self.0.db, state, LEASE, BATCH)
                .await
                .context("MySQL does not give the work that is due")?;
            found += due.len();
            stream::iter(due)
                .for_each_concurrent(AT_ONCE, |work| async move {
                    let gid = work.gid;
                    if let Err(cause) = self.try_again(work).await {
                        warn!(%gid, "What became of a try could not be written, it is made again: {cause:#}");
                    }
                })
                .await;
        }
        Ok(found)
    }

    async fn try_again(&self, work: Claimed) -> anyhow::Result<()> {
        // A dead letter that Kafka did not take at once is published before it is tried: people watch that topic.
        if work.state == State::Dead && !work.published {
            self.0.publish_dead_letter(&work).await;
        }
        let (started_at, started) = (Utc::now(), Instant::now());
        let tried = match OrderMessage::parse(&work.payload) {
            Ok(order) => self.0.orders.place(&order, work.history.tries() + 1).await,
            Err(cause) => Err(NoOutcome::Failed(format!(
                "the message cannot be read: {cause}"
            ))),
        };
        let clocked = Clocked {
            started_at,
            took: started.elapsed(),
        };
        match tried {
            Ok(outcome) => self.settled(&work, clocked, &outcome).await,
            Err(NoOutcome::Failed(why)) => self.failed(&work, clocked, &why).await,
            Err(NoOutcome::NotNow(why)) => {
                queue::put_back(&self.0.db, &work, NOT_NOW).await?;
                anyhow::bail!("nothing can be decided now: {why}")
            }
        }
    }

    async fn settled(
        &self,
        work: &Claimed,
        clocked: Clocked,
        outcome: &OrderOutcome,
    ) -> anyhow::Result<()> {
        let (how, reason) = told(outcome);
        let attempt = self.attempt(work, clocked, how.to_owned(), None, None);
        let mut history = work.history.clone();
        history.push(attempt.clone());
        let tools = &self.0;
        let mut tx = tools.db.begin().await?;
        let settled = Outcome::Settled(how.to_owned());
        if !queue::settle(&mut tx, work, attempt.attempt, &history, None, &settled).await? {
            return Ok(());
        }
        tools
            .log
            .write(&mut tx, work.gid, work.order_id, &attempt)
            .await?;
        let ended = if *outcome == OrderOutcome::Superseded {
            "rejected"
        } else {
            how
        };
        let reason = reason.or((ended != how).then_some(how));
        operations::settled(&mut tx, work.gid, work.order_id, ended, reason, &history).await?;
        tx.commit().await?;
        counter!(COMPENSATION_ATTEMPT_TOTAL, "outcome" => how).increment(1);
        counter!(COMPENSATION_SUCCESS_TOTAL).increment(1);
        histogram!(COMPENSATION_RETRY_NUMBER).record(f64::from(attempt.attempt));
        info!(order.id = %work.order_id, gid = %work.gid, "Order {} is {how} in its try {}", work.order_id, attempt.attempt);
        Ok(())
    }

    async fn failed(&self, work: &Claimed, clocked: Clocked, why: &str) -> anyhow::Result<()> {
        let tries = work.attempts + 1;
        let next = self.0.policy.roll(tries);
        let (outcome, after) = match next {
            Next::Retry(after) => (again(Event::FailedToRetry, after), Some(after)),
            Next::DeadLetter(after) => (again(Event::FailedAsDeadLetter, after), Some(after)),
            Next::Archive => (Outcome::GiveUp, None),
        };
        let attempt = self.attempt(
            work,
            clocked,
            FAILED.to_owned(),
            Some(why.to_owned()),
            after,
        );
        let mut history = work.history.clone();
        history.push(attempt.clone());
        let tools = &self.0;
        let mut tx = tools.db.begin().await?;
        if !queue::settle(&mut tx, work, tries, &history, Some(why), &outcome).await? {
            return Ok(());
        }
        tools
            .log
            .write(&mut tx, work.gid, work.order_id, &attempt)
            .await?;
        if matches!(next, Next::DeadLetter(_)) {
            tools
                .tell(&mut tx, &telling::dead_letter(work, tries, why))
                .await?;
        }
        tx.commit().await?;
        counter!(COMPENSATION_ATTEMPT_TOTAL, "outcome" => FAILED).increment(1);
        warn!(order.id = %work.order_id, gid = %work.gid, "Order {} failed in its try {tries}: {why}", work.order_id);
        if matches!(next, Next::DeadLetter(_)) && !work.published {
            tools.publish_dead_letter(work).await;
        }
        Ok(())
    }

    fn attempt(
        &self,
        work: &Claimed,
        clocked: Clocked,
        outcome: String,
        error: Option<String>,
        next_after: Option<Duration>,
    ) -> Attempt {
        Attempt {
            generation: work.generation,
            attempt: work.attempts + 1,
            lane: match work.state {
                State::Dead => Lane::DeadLetter,
                _ => Lane::Retry,
            },
            started_at: clocked.started_at,
            duration_ms: u32::try_from(clocked.took.as_millis()).unwrap_or(u32::MAX),
            worker: self.0.worker.clone(),
            outcome,
            error,
            next_after_ms: next_after
                .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

const fn again(event: Event, after: Duration) -> Outcome {
    Outcome::Again { event, after }
}

impl Tools {
    /// Publishes dead work and notes that it is; `false` when Kafka or MySQL did not take it. Published twice does no harm.
    pub(super) async fn publish_dead_letter(&self, work: &Claimed) -> bool {
        let mut headers = work.headers.clone();
        headers.set("attempt", (work.attempts + 1).to_string());
        headers.set("generation", work.generation.to_string());
        headers.set_once("kafka_dlt-exception-fqcn", "coordinator::SubmitError");
        headers.set_once("kafka_dlt-exception-cause-fqcn", "CannotDecide");
        let error = work.error.clone().unwrap_or_default();
        headers.set_once("kafka_dlt-exception-message", error.clone());
        headers.set_once("kafka_dlt-exception-stacktrace", error);
        let key = work.order_id.to_string();
        let sent = self
            .producer
            .send(
                &self.dlq_topic,
                key.as_bytes(),
                &work.payload,
                headers.to_kafka(),
            )
            .await;
        if let Err(cause) = sent {
            warn!(order.id = %work.order_id, "Kafka did not take the dead letter of order {}, it is sent again: {cause}", work.order_id);
            return false;
        }
        match queue::published(&self.db, work.gid).await {
            Ok(()) => true,
            Err(cause) => {
                warn!(order.id = %work.order_id, "The dead letter of order {} is sent again, MySQL did not note it: {cause}", work.order_id);
                false
            }
        }
    }
}
