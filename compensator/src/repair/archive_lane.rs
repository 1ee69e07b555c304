//! Giving up: the order becomes `failed` by a decision of its own, its units are given back, the archive keeps it with its whole
//! history, and people are told.
//!
//! The decision comes first and under the order's own gid: whoever was faster with another one has settled the order, and nothing
//! is archived. A process that died after it finds the order `failed` and goes on from there.

use super::{
    Step, Tools,
    audited::write_down,
    dead_letters::Letter,
    orders::{NoOutcome, told},
    settling::Try,
    telling,
};
use crate::metrics::FAILED_ORDER_ARCHIVED_TOTAL;
use anyhow::{Context as _, bail};
use chrono::Utc;
use compensation::{
    archive::{self, ArchivedOrder, Envelope, Subject, ToArchive},
    attempt::{FAILED, Lane},
    operations,
    queue::{self, Claimed, Outcome},
    state::{Event, State},
};
use futures::{StreamExt as _, stream};
use metrics::counter;
use ordering::{OrderId, OrderOutcome, message::OrderMessage, standing};
use std::time::Duration;
use tracing::{error, info};

/// How long claimed work is left alone by others: longer than giving up takes.
const LEASE: Duration = Duration::from_secs(20);
/// Work claimed, and orders given up, at once: nothing claimed waits for its turn.
const AT_ONCE: u32 = 8;
/// When work is looked at again that could not be given up for everyone's reasons.
const NOT_NOW: Duration = Duration::from_secs(1);
/// The first wait after an order could not be given up by itself; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

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
        if let Some((why, _)) = self.0.store.pause() {
            bail!("nothing is given up while its messages cannot be kept: {why}");
        }
        let due = queue::claim_due(&self.0.db, State::Archiving, LEASE, AT_ONCE)
            .await
            .context("MySQL does not give the work that is to be archived")?;
        let found = due.len();
        let given_up = stream::iter(due.into_iter().map(|work| self.one(work)))
            .buffer_unordered(AT_ONCE as usize)
            .collect::<Vec<_>>()
            .await;
        given_up.into_iter().collect::<anyhow::Result<()>>()?;
        Ok(found)
    }

    async fn one(&self, work: Claimed) -> anyhow::Result<()> {
        match self.give_up(&work).await? {
            GivenUp::Archived => Ok(()),
            GivenUp::SettledBefore(outcome) => self.settled(&work, &outcome).await,
            GivenUp::Failed(why) => self.failed(&work, &why).await,
            GivenUp::NotNow(why) => {
                let pause = self
                    .0
                    .store
                    .pause()
                    .map_or(NOT_NOW, |(_, rest)| rest.max(NOT_NOW));
                queue::put_back(&self.0.db, &work, pause).await?;
                bail!("nothing can be given up now: {why}")
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
        let letter = [Letter::of(work)];
        if !work.published && tools.publish_dead_letters(&letter).await.is_empty() {
            return Ok(GivenUp::NotNow(
                "the dead letter is not published".to_owned(),
            ));
        }
        let decided = if tools.hold_stock && !work.given_up {
            self.decided_before(work).await?
        } else {
            match tools.orders.archive(&order, archivings(work) + 1).await {
                Ok(outcome) => Some(outcome),
                Err(NoOutcome::Failed(why)) => return Ok(GivenUp::Failed(why)),
                Err(NoOutcome::NotNow(why)) => return Ok(GivenUp::NotNow(why)),
            }
        };
        tools.passed(Step::GivenUp).await;
        match decided {
            None | Some(OrderOutcome::Failed) => self.put_away(work, &order, decided).await,
            Some(settled) => Ok(GivenUp::SettledBefore(settled)),
        }
    }

    /// What is to be held may have a decision all the same: a try whose answer was lost, or a redelivery.
    async fn decided_before(&self, work: &Claimed) -> anyhow::Result<Option<OrderOutcome>> {
        let row = standing::find(&self.0.db, OrderId::from_uuid(work.order_id)).await?;
        Ok(row.and_then(|row| {
            if row.gid.as_uuid() == work.gid {
                Some(row.outcome())
            } else {
                (row.generation >= work.generation).then_some(OrderOutcome::Superseded)
            }
        }))
    }

    /// The archive's row, the alert and the end of the compensation are one transaction.
    async fn put_away(
        &self,
        work: &Claimed,
        order: &OrderMessage,
        decided: Option<OrderOutcome>,
    ) -> anyhow::Result<GivenUp> {
        let (tools, held) = (&self.0, decided.is_none());
        let mut what = ToArchive {
            id: work.order_id,
            subject: Subject::Order(ArchivedOrder {
                gid: work.gid,
                generation: work.generation,
                sale_id: work.sale_id,
                user_id: work.user_id,
                quantity: order.quantity.get(),
            }),
            step: "decide",
            error: work.error.clone().unwrap_or_default(),
            first_failed_at: work.history.began_at().unwrap_or_else(Utc::now),
            history: work.history.clone(),
            payload: work.payload.clone(),
            headers: work.headers.clone(),
            envelope: Envelope::default(),
            held,
        };
        let kept = match tools.store.keep(&what).await {
            Ok(kept) => kept,
            Err(cause) => {
                let passes = cause.passes();
                let why = format!("{:#}", anyhow::Error::new(cause));
                // Where the archive is down, that is no try of this order.
                return Ok(if passes {
                    GivenUp::NotNow(why)
                } else {
                    GivenUp::Failed(why)
                });
            }
        };
        tools.passed(Step::Kept).await;
        let becomes = if held {
            Outcome::Held
        } else {
            Outcome::Archived
        };
        let mut tx = tools.db.begin().await?;
        let tried = tried(work, operations::ARCHIVED, None);
        let Some(history) = tools.write_try(&mut tx, tried, &becomes).await? else {
            return Ok(GivenUp::Archived);
        };
        let archived = operations::ARCHIVED;
        let (gid, order_id) = (work.gid, work.order_id);
        let ends = operations::settled(&mut tx, gid, order_id, archived, None, &history).await?;
        what.history = history;
        archive::put(&mut tx, &what, &kept).await?;
        let alert = telling::archived(work, what.fingerprint(), held);
        tools.tell(&mut tx, &alert).await?;
        write_down(&mut tx, &ends).await?;
        tx.commit().await?;
        counter!(FAILED_ORDER_ARCHIVED_TOTAL).increment(1);
        error!(order.id = %work.order_id, "Order {} was given up after {} tries and archived: {}", work.order_id, work.history.tries(), what.error);
        Ok(GivenUp::Archived)
    }

    /// Somebody else's decision was faster: there is nothing to give up.
    async fn settled(&self, work: &Claimed, outcome: &OrderOutcome) -> anyhow::Result<()> {
        let (how, reason) = told(outcome);
        if self.0.close(tried(work, how, reason), outcome).await? {
            info!(order.id = %work.order_id, "Order {} was settled before it could be given up: it is {how}", work.order_id);
        }
        Ok(())
    }

    /// It stays open and people are told, the first time.
    async fn failed(&self, work: &Claimed, why: &str) -> anyhow::Result<()> {
        let wait = FIRST_WAIT
            .saturating_mul(1 << archivings(work).min(16))
            .min(LONGEST_WAIT);
        let again = Outcome::Again {
            event: Event::FailedToArchive,
            after: wait,
        };
        let tried = Try {
            next_after: Some(wait),
            ..tried(work, FAILED, Some(why))
        };
        let mut tx = self.0.db.begin().await?;
        if self.0.write_try(&mut tx, tried, &again).await?.is_none() {
            return Ok(());
        }
        self.0
            .tell(&mut tx, &telling::cannot_archive(work, why))
            .await?;
        tx.commit().await?;
        error!(order.id = %work.order_id, "Order {} cannot be given up, it is tried again in {} s: {why}", work.order_id, wait.as_secs());
        Ok(())
    }
}

/// Giving up is no try of the work: the number stays that of the last one.
fn tried<'a>(work: &'a Claimed, outcome: &'a str, error: Option<&'a str>) -> Try<'a> {
    Try {
        work,
        lane: Lane::Archive,
        number: work.attempts,
        started_at: Utc::now(),
        took: Duration::ZERO,
        outcome,
        error,
        next_after: None,
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
