//! Due work is claimed and tried again under its own gid, in batches; its units stay held meanwhile.
//!
//! The engine decides a batch together, and what follows from its tries is written in one transaction for as many as have ended: the
//! history, the log, the next due time, the alert. What fails for everyone (MySQL is away) is no try, and is counted nowhere; nor is
//! being put off, because many orders fail alike.

use super::{
    Step, Tools,
    dead_letters::Letter,
    orders::{NotPlaced, told},
    pace::{Admitted, TryEnded},
    settling::{Became, Try},
    telling,
};
use crate::metrics::{
    COMPENSATION_ATTEMPT_TOTAL, COMPENSATION_RETRY_NUMBER, COMPENSATION_SUCCESS_TOTAL,
};
use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use compensation::{
    attempt::{FAILED, Lane},
    policy::{Next, Terms},
    queue::{self, Claimed, Outcome, Turn},
    slow_start,
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

/// How long claimed work is left alone by others: as long as the steps of a batch may take together.
const LEASE: Duration = Duration::from_secs(20);
/// A try begins no later than this after its work was claimed: dead letters are on their way to Kafka meanwhile. What is left of the
/// lease is enough for a decision, which has 10 s, and for writing it down. Work that waited for longer is given back.
const BEGUN_WITHIN: Duration = Duration::from_secs(6);
/// When work is looked at again that could not be tried.
const NOT_NOW: Duration = Duration::from_secs(1);

/// Tries due work again, dead letters too.
pub struct RetryLane(Tools, AtomicU32);

/// A try, and how it ended.
struct Tried {
    work: Claimed,
    started_at: DateTime<Utc>,
    took: Duration,
    /// Its claim was nearly over: it was not tried.
    came_too_late: bool,
    result: Result<OrderOutcome, NotPlaced>,
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
            let begun_by = Instant::now() + BEGUN_WITHIN;
            let due = self.claim(state, policy.terms()).await?;
            found += due.len();
            let Admitted { go, later } = self.0.pace.admit(due, policy.terms());
            let (tried, put_off) = futures::join!(self.try_all(go, begun_by), self.put_off(later));
            tried?;
            put_off?;
        }
        Ok(found)
    }

    /// What came by itself goes first, but replays have a quarter of the places for themselves: a flood of them holds no buyer up, and
    /// none of them waits for ever. What one does not need is the other's.
    async fn claim(&self, state: State, terms: &Terms) -> anyhow::Result<Vec<Claimed>> {
        let room = self.0.pace.room(terms);
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

    async fn put_off(&self, later: Vec<(Duration, Vec<Claimed>)>) -> sqlx::Result<()> {
        for (wait, works) in later {
            queue::put_all_off(&self.0.db, &works, wait).await?;
        }
        Ok(())
    }

    /// All at once; those that have ended are written down while the others go on.
    async fn try_all(&self, mut works: Vec<Claimed>, begun_by: Instant) -> anyhow::Result<()> {
        self.publish_what_is_dead(&mut works).await;
        let mut ended = stream::iter(works.into_iter().map(|work| self.try_again(work, begun_by)))
            .buffer_unordered(slow_start::AT_MOST as usize)
            .ready_chunks(slow_start::AT_MOST as usize);
        let (mut tries, mut failed) = (0, 0);
        let mut trouble = Ok(());
        while let Some(batch) = ended.next().await {
            for tried in &batch {
                match tried.result {
                    Ok(_) => tries += 1,
                    Err(NotPlaced::Failed(..)) => (tries, failed) = (tries + 1, failed + 1),
                    // A batch whose claims go by before it is tried was too large.
                    Err(NotPlaced::NotNow(_)) if tried.came_too_late => {
                        (tries, failed) = (tries + 1, failed + 1);
                    }
                    Err(NotPlaced::NotNow(_)) => {}
                }
            }
            trouble = trouble.and(self.write(batch).await);
        }
        self.0.pace.batch_ended(tries, failed);
        trouble
    }

    /// A dead letter that Kafka did not take at once is published before it is tried: people watch that topic.
    async fn publish_what_is_dead(&self, works: &mut [Claimed]) {
        let letters: Vec<Letter<'_>> = works
            .iter()
            .filter(|work| work.state == State::Dead && !work.published)
            .map(Letter::of)
            .collect();
        let published = self.0.publish_dead_letters(&letters).await;
        for work in works {
            work.published |= published.contains(&work.gid);
        }
    }

    async fn try_again(&self, work: Claimed, begun_by: Instant) -> Tried {
        let (started_at, started) = (Utc::now(), Instant::now());
        let came_too_late = started > begun_by;
        let result = if came_too_late {
            Err(NotPlaced::NotNow(
                "its claim would end before its try".to_owned(),
            ))
        } else {
            match OrderMessage::parse(&work.payload) {
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
            }
        };
        let took = started.elapsed();
        let ended = match &result {
            Ok(_) => TryEnded::Settled,
            Err(NotPlaced::Failed(why, _)) => TryEnded::Failed(why),
            Err(NotPlaced::NotNow(_)) => TryEnded::NoTry,
        };
        self.0
            .pace
            .ended(&work, &ended, self.0.policy.now().terms());
        self.0.passed(Step::Tried).await;
        Tried {
            work,
            started_at,
            took,
            came_too_late,
            result,
        }
    }

    async fn write(&self, batch: Vec<Tried>) -> anyhow::Result<()> {
        let mut became = Vec::with_capacity(batch.len());
        let (mut not_now, mut why_not) = (Vec::new(), None);
        for tried in &batch {
            match &tried.result {
                Ok(outcome) => became.push(tried.settled(outcome)),
                Err(NotPlaced::Failed(why, retry_after)) => {
                    became.push(self.failed(tried, why, *retry_after));
                }
                Err(NotPlaced::NotNow(why)) => {
                    not_now.push(tried.work.clone());
                    why_not = Some(why);
                }
            }
        }
        let written = self.0.write_all(&became).await;
        queue::put_all_back(&self.0.db, &not_now, NOT_NOW).await?;
        let written = written?;
        became.retain(|one| written.contains(&one.tried.work.gid));
        self.tell(&became).await;
        match why_not {
            Some(why) => bail!("nothing can be decided now: {why}"),
            None => Ok(()),
        }
    }

    /// A failed try, and what follows. A dead letter stays one, also when the policy became more patient since.
    fn failed<'a>(
        &self,
        tried: &'a Tried,
        why: &'a str,
        retry_after: Option<Duration>,
    ) -> Became<'a> {
        let work = &tried.work;
        let again = |event, after| (Outcome::Again { event, after }, Some(after));
        let number = work.attempts + 1;
        let (becomes, next_after) = match self.0.policy.now().roll(number, retry_after) {
            Next::Retry(after) if work.state == State::Scheduled => {
                again(Event::FailedToRetry, after)
            }
            Next::Retry(after) | Next::DeadLetter(after) => again(Event::FailedAsDeadLetter, after),
            Next::Archive => (Outcome::GiveUp, None),
        };
        Became {
            alert: is_dead(&becomes).then(|| telling::dead_letter(work, number, why)),
            becomes,
            reason: None,
            tried: Try {
                next_after,
                ..tried.as_kept(FAILED, Some(why))
            },
        }
    }

    /// Metrics and logs of what is written, and the dead letters among it.
    async fn tell(&self, written: &[Became<'_>]) {
        let mut letters = Vec::new();
        for Became { tried, becomes, .. } in written {
            let (work, number, how) = (tried.work, tried.number, tried.outcome);
            counter!(COMPENSATION_ATTEMPT_TOTAL, "outcome" => how.to_owned()).increment(1);
            if let Outcome::Settled(_) = becomes {
                counter!(COMPENSATION_SUCCESS_TOTAL).increment(1);
                histogram!(COMPENSATION_RETRY_NUMBER).record(f64::from(number));
                info!(order.id = %work.order_id, gid = %work.gid, "Order {} is {how} in its try {number}", work.order_id);
                continue;
            }
            let error = tried.error.unwrap_or_default();
            warn!(order.id = %work.order_id, gid = %work.gid, "Order {} failed in its try {number}: {error}", work.order_id);
            self.0.passed(Step::WrittenDown).await;
            if is_dead(becomes) && !work.published {
                letters.push(Letter {
                    work,
                    number,
                    error,
                });
            }
        }
        self.0.publish_dead_letters(&letters).await;
    }
}

impl Tried {
    fn settled<'a>(&'a self, outcome: &'a OrderOutcome) -> Became<'a> {
        let (how, reason) = told(outcome);
        Became {
            tried: self.as_kept(how, reason),
            becomes: Outcome::Settled(how.to_owned()),
            reason,
            alert: None,
        }
    }

    fn as_kept<'a>(&'a self, outcome: &'a str, error: Option<&'a str>) -> Try<'a> {
        let work = &self.work;
        Try {
            work,
            lane: if work.state == State::Dead {
                Lane::DeadLetter
            } else {
                Lane::Retry
            },
            number: work.attempts + 1,
            started_at: self.started_at,
            took: self.took,
            outcome,
            error,
            next_after: None,
        }
    }
}

const fn is_dead(becomes: &Outcome) -> bool {
    matches!(
        becomes,
        Outcome::Again {
            event: Event::FailedAsDeadLetter,
            ..
        }
    )
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
