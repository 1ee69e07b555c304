//! Giving up: the order becomes `failed` by a decision of its own, its units are given back, the archive keeps it with its whole
//! history, and people are told.
//!
//! The decision comes first and under the order's own gid: whoever was faster with another one has settled the order, and nothing
//! is archived. A process that died after it finds the order `failed` and goes on from there.

use super::{
    Tools,
    orders::{NoOutcome, told},
    telling,
};
use crate::metrics::FAILED_ORDER_ARCHIVED_TOTAL;
use anyhow::Context as _;
use chrono::Utc;
use compensation::{
    archive::{self, ArchivedOrder, ToArchive},
    attempt::{Attempt, FAILED, Lane},
    operations,
    queue::{self, Claimed, Outcome},
    state::{Event, State},
};
use futures::{StreamExt as _, stream};
use metrics::counter;
use ordering::{OrderOutcome, message::OrderMessage};
use std::time::Duration;
use tracing::{error, info, warn};

/// How long claimed work is left alone by others: longer than giving up takes.
const LEASE: Duration = Duration::from_secs(20);
/// Work claimed at once.
const BATCH: u32 = 50;
/// Orders given up at once.
const AT_ONCE: usize = 8;
/// When work is looked at again that could not be given up for everyone's reasons.
const NOT_NOW: Duration = Duration::from_secs(1);
/// The first wait after an order could not be given up by itself; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// Gives up what all tries were used up for.
pub struct ArchiveLane(Tools);

/// How giving up ended.
enum GivenUp {
    Archived,
    SettledBefore(OrderOutcome),
    Failed(String),
    NotNow(String),
}

impl ArchiveLane {
    /// Any number may run at once, in any process.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self(tools)
    }

    /// Claims what is to be given up, and does it; how much that was.
    ///
    /// # Errors
    /// When nothing could be claimed.
    pub async fn run_batch(&self) -> anyhow::Result<usize> {
        let due = queue::claim_due(&self.0.db, State::Archiving, LEASE, BATCH)
            .await
            .context("MySQL does not give the work that is to be archived")?;
        let found = due.len();
        stream::iter(due)
            .for_each_concurrent(AT_ONCE, |work| async move {
                let gid = work.gid;
                if let Err(cause) = self.one(work).await {
                    warn!(%gid, "An order could not be given up yet: {cause:#}");
                }
            })
            .await;
        Ok(found)
    }

    async fn one(&self, work: Claimed) -> anyhow::Result<()> {
        match self.give_up(&work).await? {
            GivenUp::Archived => Ok(()),
            GivenUp::SettledBefore(outcome) => self.settled(&work, &outcome).await,
            GivenUp::Failed(why) => self.failed(&work, &why).await,
            GivenUp::NotNow(why) => {
                queue::put_back(&self.0.db, &work, NOT_NOW).await?;
                anyhow::bail!("{why}")
            }
        }
    }

    async fn give_up(&self, work: &Claimed) -> anyhow::Result<GivenUp> {
        let tools = &self.0;
        let order = match OrderMessage::parse(&work.payload) {
            Ok(order) => order,
            Err(cause) => {
                return Ok(GivenUp::Failed(format!(
                    "the message cannot be read: {cause}"
                )));
            }
        };
        if !work.published && !tools.publish_dead_letter(work).await {
            return Ok(GivenUp::NotNow(
                "the dead letter is not published".to_owned(),
            ));
        }
        if !tools.hold_stock {
            match tools.orders.archive(&order, archivings(work) + 1).await {
                Ok(OrderOutcome::Failed) => {}
                Ok(settled) => return Ok(GivenUp::SettledBefore(settled)),
                Err(NoOutcome::Failed(why)) => return Ok(GivenUp::Failed(why)),
                Err(NoOutcome::NotNow(why)) => return Ok(GivenUp::NotNow(why)),
            }
        }
        self.put_away(work, &order).await
    }

    /// The archive's row, the alert and the end of the compensation are one transaction.
    async fn put_away(&self, work: &Claimed, order: &OrderMessage) -> anyhow::Result<GivenUp> {
        let (tools, held) = (&self.0, self.0.hold_stock);
        let attempt = self.attempt(work, "archived", None);
        let mut history = work.history.clone();
        history.push(attempt.clone());
        let what = ToArchive {
            id: work.order_id,
            order: Some(ArchivedOrder {
                gid: work.gid,
                generation: work.generation,
                sale_id: work.sale_id,
                user_id: work.user_id,
                quantity: order.quantity.get(),
            }),
            step: "decide",
            error: work.error.clone().unwrap_or_default(),
            first_failed_at: history.began_at().unwrap_or_else(Utc::now),
            history: history.clone(),
            payload: work.payload.clone(),
            headers: work.headers.clone(),
            held,
        };
        let kept = match tools.store.keep(&what).await {
            Ok(kept) => kept,
            Err(cause) => {
                return Ok(GivenUp::NotNow(format!("{:#}", anyhow::Error::new(cause))));
            }
        };
        let mut tx = tools.db.begin().await?;
        let outcome = if held {
            Outcome::Held
        } else {
            Outcome::Archived
        };
        if !queue::settle(&mut tx, work, work.attempts, &history, None, &outcome).await? {
            return Ok(GivenUp::Archived);
        }
        tools
            .log
            .write(&mut tx, work.gid, work.order_id, &attempt)
            .await?;
        let archived = operations::ARCHIVED;
        operations::settled(&mut tx, work.gid, work.order_id, archived, None, &history).await?;
        archive::put(&mut tx, &what, &kept).await?;
        tools.tell(&mut tx, &telling::archived(work, held)).await?;
        tx.commit().await?;
        counter!(FAILED_ORDER_ARCHIVED_TOTAL).increment(1);
        error!(order.id = %work.order_id, "Order {} was given up after {} tries and archived: {}", work.order_id, work.history.tries(), what.error);
        Ok(GivenUp::Archived)
    }

    /// Somebody else's decision was faster: there is nothing to give up.
    async fn settled(&self, work: &Claimed, outcome: &OrderOutcome) -> anyhow::Result<()> {
        let (how, reason) = told(outcome);
        let attempt = self.attempt(work, how, None);
        let mut history = work.history.clone();
        history.push(attempt.clone());
        let mut tx = self.0.db.begin().await?;
        let closed = Outcome::Settled(how.to_owned());
        if !queue::settle(&mut tx, work, work.attempts, &history, None, &closed).await? {
            return Ok(());
        }
        self.0
            .log
            .write(&mut tx, work.gid, work.order_id, &attempt)
            .await?;
        let ended = if *outcome == OrderOutcome::Superseded {
            "rejected"
        } else {
            how
        };
        operations::settled(&mut tx, work.gid, work.order_id, ended, reason, &history).await?;
        tx.commit().await?;
        info!(order.id = %work.order_id, "Order {} was settled before it could be given up: it is {how}", work.order_id);
        Ok(())
    }

    /// It stays open, its units held, and people are told the first time.
    async fn failed(&self, work: &Claimed, why: &str) -> anyhow::Result<()> {
        let attempt = self.attempt(work, FAILED, Some(why));
        let mut history = work.history.clone();
        history.push(attempt.clone());
        let wait = FIRST_WAIT
            .saturating_mul(1 << archivings(work).min(16))
            .min(LONGEST_WAIT);
        let again = Outcome::Again {
            event: Event::FailedToArchive,
            after: wait,
        };
        let mut tx = self.0.db.begin().await?;
        if !queue::settle(&mut tx, work, work.attempts, &history, None, &again).await? {
            return Ok(());
        }
        self.0
            .log
            .write(&mut tx, work.gid, work.order_id, &attempt)
            .await?;
        self.0
            .tell(&mut tx, &telling::cannot_archive(work, why))
            .await?;
        tx.commit().await?;
        error!(order.id = %work.order_id, "Order {} cannot be given up, its units stay held, it is tried again in {} s: {why}", work.order_id, wait.as_secs());
        Ok(())
    }

    fn attempt(&self, work: &Claimed, outcome: &str, error: Option<&str>) -> Attempt {
        Attempt {
            generation: work.generation,
            attempt: work.attempts,
            lane: Lane::Archive,
            started_at: Utc::now(),
            duration_ms: 0,
            worker: self.0.worker.clone(),
            outcome: outcome.to_owned(),
            error: error.map(ToOwned::to_owned),
            next_after_ms: None,
        }
    }
}

/// How often this generation could not be given up.
fn archivings(work: &Claimed) -> u32 {
    let of_this =
        work.history.attempts().iter().filter(|attempt| {
            attempt.lane == Lane::Archive && attempt.generation == work.generation
        });
    u32::try_from(of_this.count()).unwrap_or(u32::MAX)
}
