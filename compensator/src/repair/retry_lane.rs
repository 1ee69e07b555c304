//! Due work is claimed and tried again under its own gid; its units stay held meanwhile.
//!
//! A failed try is written with what follows from it, in one transaction: the history, the log, the next due time, the alert. What
//! fails for everyone (MySQL is away) is no try, and is counted nowhere; nor is being put off, because many orders fail alike.

use super::{
    Step, Tools,
    orders::{NotPlaced, told},
    pace::{Admitted, TryEnded},
    settling::Try,
    telling,
};
use crate::metrics::{
    COMPENSATION_ATTEMPT_TOTAL, COMPENSATION_RETRY_NUMBER, COMPENSATION_SUCCESS_TOTAL,
};
use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use compensation::{
    attempt::{FAILED, Lane},
    headers::Failure,
    policy::{Next, Terms},
    queue::{self, Claimed, Outcome, Turn},
    state::{Event, State},
};
use futures::{StreamExt as _, stream};
use metrics::{counter, histogram};
use ordering::{OrderOutcome, message::OrderMessage};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use tracing::{info, warn};

/// How long claimed work is left alone by others: longer than a try and a dead letter's way to Kafka.
const LEASE: Duration = Duration::from_secs(15);
/// Work claimed, and tries under way, at once: nothing claimed waits for its turn.
const AT_ONCE: u32 = 16;
/// When work is looked at again that could not be tried.
const NOT_NOW: Duration = Duration::from_secs(1);

/// Tries due work again, dead letters too.
pub struct RetryLane(Tools, AtomicU32);

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
        Self(tools, AtomicU32::new(0))
    }

    /// Claims what is due and tries it; how much that was.
    ///
    /// # Errors
    /// When nothing could be claimed, or nothing can be decided now.
    pub async fn run_batch(&self) -> anyhow::Result<usize> {
        let mut found = 0;
        for state in [State::Scheduled, State::Dead] {
            let policy = self.0.policy.now();
            let due = self.claim(state, policy.terms()).await?;
            found += due.len();
            let Admitted { go, later } = self.0.pace.admit(due, policy.terms());
            let tries = stream::iter(go.into_iter().map(|work| self.try_again(work)))
                .buffer_unordered(AT_ONCE as usize)
                .collect::<Vec<_>>()
                .await;
            for (wait, works) in later {
                queue::put_all_off(&self.0.db, &works, wait).await?;
            }
            tries.into_iter().collect::<anyhow::Result<()>>()?;
        }
        Ok(found)
    }

    /// What came by itself goes first, but replays have a quarter of the places for themselves: a flood of them holds no buyer up, and
    /// none of them waits for ever. What one does not need is the other's.
    async fn claim(&self, state: State, terms: &Terms) -> anyhow::Result<Vec<Claimed>> {
        let room = self.0.pace.room(terms).min(AT_ONCE);
        if room == 0 {
            return Ok(Vec::new());
        }
        let claim = async |turn, limit| {
            queue::claim_turn(&self.0.db, state, turn, LEASE, limit)
                .await
                .context("MySQL does not give the work that is due")
        };
        let reserved = replays_at_least(room, self.1.fetch_add(1, Ordering::Relaxed));
        let own = room - reserved;
        let mut due = claim(Turn::Own, own).await?;
        let came_by_itself = count(&due);
        due.extend(claim(Turn::Replay, room - came_by_itself).await?);
        let left = room - count(&due);
        if left > 0 && came_by_itself == own {
            due.extend(claim(Turn::Own, left).await?);
        }
        Ok(due)
    }

    async fn try_again(&self, mut work: Claimed) -> anyhow::Result<()> {
        // A dead letter that Kafka did not take at once is published before it is tried: people watch that topic.
        if work.state == State::Dead && !work.published {
            work.published = self.0.publish_dead_letter(&work, work.attempts).await;
        }
        let (started_at, started) = (Utc::now(), Instant::now());
        let tried = match OrderMessage::parse(&work.payload) {
            Ok(order) => {
                let trace = work.headers.text("traceparent");
                self.0
                    .orders
                    .place(&order, work.history.tries() + 1, trace.as_deref())
                    .await
            }
            Err(cause) => Err(NotPlaced::Failed(
                format!("the message cannot be read: {cause}"),
                None,
            )),
        };
        let clocked = Clocked {
            started_at,
            took: started.elapsed(),
        };
        let ended = match &tried {
            Ok(_) => TryEnded::Settled,
            Err(NotPlaced::Failed(why, _)) => TryEnded::Failed(why),
            Err(NotPlaced::NotNow(_)) => TryEnded::NoTry,
        };
        self.0
            .pace
            .ended(&work, &ended, self.0.policy.now().terms());
        self.0.passed(Step::Tried).await;
        match tried {
            Ok(outcome) => self.settled(&work, clocked, &outcome).await,
            Err(NotPlaced::Failed(why, retry_after)) => {
                self.failed(&work, clocked, &why, retry_after).await
            }
            Err(NotPlaced::NotNow(why)) => {
                queue::put_back(&self.0.db, &work, NOT_NOW).await?;
                bail!("nothing can be decided now: {why}")
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
        let tried = Self::tried(work, clocked, how, reason, None);
        let number = tried.number;
        if !self.0.close(tried, outcome).await? {
            return Ok(());
        }
        counter!(COMPENSATION_ATTEMPT_TOTAL, "outcome" => how).increment(1);
        counter!(COMPENSATION_SUCCESS_TOTAL).increment(1);
        histogram!(COMPENSATION_RETRY_NUMBER).record(f64::from(number));
        info!(order.id = %work.order_id, gid = %work.gid, "Order {} is {how} in its try {number}", work.order_id);
        Ok(())
    }

    async fn failed(
        &self,
        work: &Claimed,
        clocked: Clocked,
        why: &str,
        retry_after: Option<Duration>,
    ) -> anyhow::Result<()> {
        let (becomes, after) = self.next(work, retry_after);
        let tried = Self::tried(work, clocked, FAILED, Some(why), after);
        let number = tried.number;
        let is_dead = matches!(
            becomes,
            Outcome::Again {
                event: Event::FailedAsDeadLetter,
                ..
            }
        );
        let tools = &self.0;
        let mut tx = tools.db.begin().await?;
        if tools.write_try(&mut tx, tried, &becomes).await?.is_none() {
            return Ok(());
        }
        if is_dead {
            tools
                .tell(&mut tx, &telling::dead_letter(work, number, why))
                .await?;
        }
        tx.commit().await?;
        counter!(COMPENSATION_ATTEMPT_TOTAL, "outcome" => FAILED).increment(1);
        warn!(order.id = %work.order_id, gid = %work.gid, "Order {} failed in its try {number}: {why}", work.order_id);
        tools.passed(Step::WrittenDown).await;
        if is_dead && !work.published {
            tools.publish_dead_letter(work, number).await;
        }
        Ok(())
    }

    /// What follows from a failed try. A dead letter stays one, also when the policy became more patient since.
    fn next(&self, work: &Claimed, retry_after: Option<Duration>) -> (Outcome, Option<Duration>) {
        let again = |event, after| (Outcome::Again { event, after }, Some(after));
        match self.0.policy.now().roll(work.attempts + 1, retry_after) {
            Next::Retry(after) if work.state == State::Scheduled => {
                again(Event::FailedToRetry, after)
            }
            Next::Retry(after) | Next::DeadLetter(after) => again(Event::FailedAsDeadLetter, after),
            Next::Archive => (Outcome::GiveUp, None),
        }
    }

    fn tried<'a>(
        work: &'a Claimed,
        clocked: Clocked,
        outcome: &'a str,
        error: Option<&'a str>,
        next_after: Option<Duration>,
    ) -> Try<'a> {
        Try {
            work,
            lane: if work.state == State::Dead {
                Lane::DeadLetter
            } else {
                Lane::Retry
            },
            number: work.attempts + 1,
            started_at: clocked.started_at,
            took: clocked.took,
            outcome,
            error,
            next_after,
        }
    }
}

/// How many of so many places replays have for themselves: a quarter; where that is less than one, every fourth time one.
const fn replays_at_least(room: u32, time: u32) -> u32 {
    match room {
        0..4 => (time % 4 == 3) as u32,
        room => room / 4,
    }
}

fn count(due: &[Claimed]) -> u32 {
    u32::try_from(due.len()).unwrap_or(u32::MAX)
}

impl Tools {
    /// Publishes dead work that failed in its try `number`, and notes that it is; `false` when Kafka or MySQL did not take it.
    /// Published twice does no harm.
    pub(super) async fn publish_dead_letter(&self, work: &Claimed, number: u32) -> bool {
        // While Kafka is known to be away nobody waits for it.
        if self.producer.check().is_err() {
            return false;
        }
        let mut headers = work.headers.clone();
        headers.set("attempt", number.to_string());
        headers.set("generation", work.generation.to_string());
        // The last failure counts; the first is in the history.
        let error = work.error.as_deref().unwrap_or_default();
        headers.failed(Failure {
            class: "coordinator::SubmitError",
            cause_class: "CannotDecide",
            message: error,
            stack: error,
        });
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
        self.passed(Step::Published).await;
        match queue::published(&self.db, work.gid).await {
            Ok(()) => true,
            Err(cause) => {
                warn!(order.id = %work.order_id, "The dead letter of order {} is sent again, MySQL did not note it: {cause}", work.order_id);
                false
            }
        }
    }
}
