//! Makes what is written of one order agree: looks at the truth, puts right what is wrong, one thing a turn, and looks again.
//!
//! Each mend is one that happens by itself elsewhere, and may be repeated: a stuck transaction is resumed, a reservation is told what was
//! decided, an order nobody decided is given up, the archive's row is closed, a sale is fenced and made anew from MySQL. It is noted in
//! the item before it is done, or with it where it is done in MySQL; whoever comes after a worker that died looks first. What a person
//! has to look at, and what does not come right in time, ends with the reason.

use super::{Step, Tools, audited::write_down, orders::NoOutcome};
use crate::comparison::{self, OnDrift};
use anyhow::{Context as _, bail};
use compensation::{
    archive::{self, Archived, Pending, Stage},
    operations::{self, Notes, Requested},
    queue,
};
use coordinator::{Gid, ResumeError};
use ordering::{
    OrderStatus, Quantity, drift,
    message::OrderMessage,
    reconcile::Compared,
    stock::{Completed, Completion, Op},
    truth::{self, Asked, Mend, Repairs, Truth, Verdict},
};
use std::time::Duration;
use tokio::time::sleep;
use tracing::{error, info};

/// When an order is looked at again that waits for something.
const NOT_NOW: Duration = Duration::from_secs(1);
/// Between two looks at a sale that differs: the first may be wrong.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
/// After this time nothing more is waited for: the order can be replayed again, or looked at by a person.
const GIVE_UP_AFTER: Duration = Duration::from_mins(2);

impl Tools {
    /// One turn of a reconcile.
    pub(super) async fn reconcile(&self, item: &Requested) -> anyhow::Result<()> {
        let archived = archive::find(&self.db, item.archive_id)
            .await?
            .context("the archive has no such row")?;
        let Some(known) = operations::begin(&mut *self.db.acquire().await?, item).await? else {
            return Ok(());
        };
        // Closed by this operation, it is claimed by nobody; archived anew, it is not what was asked for.
        let is_ours = archived.operation_id == Some(item.operation_id)
            || (archived.operation_id.is_none() && archived.handled);
        let Some(asked) = self.asked(item, &archived).await?.filter(|_| is_ours) else {
            return self.ends_undone(item, &known, "archived_again").await;
        };
        let seen = self.look(&asked).await?;
        let verdict = truth::verdict(&seen);
        match verdict.mend() {
            Some(mend) if !repeats(mend, &seen, &known) => {
                self.mend(item, &archived, &known, &seen, mend).await
            }
            Some(_) => self.ends_undone(item, &known, verdict.as_str()).await,
            None if !verdict.wrong.is_empty() => {
                self.ends_undone(item, &known, verdict.as_str()).await
            }
            None if verdict.waits.is_none() && verdict.unknown.is_none() => {
                self.ends_reconciled(item).await
            }
            None if known.age > GIVE_UP_AFTER => {
                self.ends_undone(item, &known, verdict.as_str()).await
            }
            None => self.look_again(item, NOT_NOW).await,
        }
    }

    /// What is asked of the truth; `None`: the row is no order's.
    async fn asked(&self, item: &Requested, archived: &Archived) -> sqlx::Result<Option<Asked>> {
        let (Some(order), Some(sale), Some(user)) =
            (archived.order_id, archived.sale_id, archived.user_id)
        else {
            return Ok(None);
        };
        let pending = Pending::of(&self.db, archived, Some(item.operation_id)).await?;
        let repairs = match pending.stage {
            Stage::UnderWay => Repairs::UnderWay,
            Stage::Held => Repairs::Held,
            Stage::Open => Repairs::GivenUp,
            Stage::Over => Repairs::Over,
        };
        Ok(Some(Asked::of(order, sale, user, pending.gids, repairs)))
    }

    async fn look(&self, asked: &Asked) -> sqlx::Result<Truth> {
        truth::of_order(&self.db, Some(&self.stock), asked.clone()).await
    }

    async fn mend(
        &self,
        item: &Requested,
        archived: &Archived,
        known: &Notes,
        seen: &Truth,
        mend: Mend,
    ) -> anyhow::Result<()> {
        let note = note_of(mend, seen);
        let done = match mend {
            Mend::Resume(gid) => self.resume_stuck(item, gid, &note).await?,
            Mend::CloseArchive(status) => self.close_row(item, archived, status, &note).await?,
            Mend::Complete(gid, op) => {
                self.noted(item, &note).await? && self.complete(seen, gid, op).await
            }
            Mend::Fence => {
                sleep(BETWEEN_LOOKS).await;
                let again = self.look(&seen.asked).await?;
                let verdict = truth::verdict(&again);
                let still = verdict.mend() == Some(mend) && note_of(mend, &again) == note;
                still && self.noted(item, &note).await? && self.fence(&again, &verdict).await?
            }
            Mend::GiveUp(gid) => {
                if !self.noted(item, &note).await? {
                    return Ok(());
                }
                match self.give_up(item, archived, gid).await? {
                    None => true,
                    Some(why) => return self.ends_undone(item, known, why).await,
                }
            }
        };
        if !done {
            return self.look_again(item, NOT_NOW).await;
        }
        self.passed(Step::Mended).await;
        info!(order.id = %item.archive_id, "Reconciling order {}: {}", item.archive_id, mend.as_str());
        let after = match mend {
            Mend::CloseArchive(_) | Mend::Complete(..) | Mend::GiveUp(_) => Duration::ZERO,
            Mend::Resume(_) | Mend::Fence => NOT_NOW,
        };
        self.look_again(item, after).await
    }

    async fn noted(&self, item: &Requested, note: &str) -> anyhow::Result<bool> {
        let written = operations::note(&mut *self.db.acquire().await?, item, note).await?;
        self.passed(Step::Noted).await;
        Ok(written)
    }

    /// Together with its note: it is resumed once.
    async fn resume_stuck(&self, item: &Requested, gid: Gid, note: &str) -> anyhow::Result<bool> {
        let mut tx = self.db.begin().await?;
        if !operations::note(&mut tx, item, note).await? {
            return Ok(false);
        }
        match coordinator::resume(&mut tx, gid).await {
            Ok(_) => {
                tx.commit().await?;
                Ok(true)
            }
            // Somebody else resumed it, or it has its dead letter in a moment: the next look tells.
            Err(
                ResumeError::NotFound(_) | ResumeError::NotStuck(_) | ResumeError::NotHandedOver(_),
            ) => {
                tx.rollback().await?;
                Ok(false)
            }
            Err(ResumeError::Database(cause)) => Err(cause.into()),
        }
    }

    /// Together with its note.
    async fn close_row(
        &self,
        item: &Requested,
        archived: &Archived,
        status: OrderStatus,
        note: &str,
    ) -> anyhow::Result<bool> {
        let mut tx = self.db.begin().await?;
        if !operations::note(&mut tx, item, note).await? {
            return Ok(false);
        }
        let how = status.as_str();
        archive::resolve(&mut tx, item.archive_id, how, &archived.history).await?;
        queue::close_held(&mut tx, item.gid, how).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// In the epoch it was seen in: in any other, a rebuild has counted it, and nothing is done.
    async fn complete(&self, seen: &Truth, gid: Gid, op: Op) -> bool {
        let Ok(redis) = &seen.redis else { return false };
        let Some(reservation) = redis.reservations.get(&gid) else {
            return false;
        };
        let Ok(units) = Quantity::try_from(reservation.units) else {
            error!(gid = %gid, "The reservation of transaction {gid} has {} units: it is left as it is", reservation.units);
            return false;
        };
        let completion = Completion {
            sale: seen.asked.sale,
            gid,
            order: reservation.order,
            user: reservation.user,
            units,
            epoch: redis.epoch,
            op,
        };
        let told = self.stock.complete(&[completion]).await;
        for done in &told {
            if let Completed::NotYet(why) = done {
                info!(gid = %gid, "Redis does not settle the reservation of transaction {gid} yet: {why}");
            }
        }
        told.iter().all(|done| *done == Completed::Done)
    }

    /// Whoever watches the fence makes the sale anew.
    async fn fence(&self, seen: &Truth, verdict: &Verdict) -> anyhow::Result<bool> {
        let sale = seen.asked.sale;
        let drifts = verdict.wrong.iter().find_map(|wrong| match wrong {
            truth::Wrong::SaleDrifts { units } => Some(*units),
            _ => None,
        });
        if let (Some(units), Ok(redis), Some(row), Some(said)) =
            (drifts, &seen.redis, seen.sale, seen.compared)
        {
            let compared = Compared {
                sale,
                redis: redis.numbers,
                mysql_available: row.available,
                mysql_sold: row.sold,
                long_over: false,
                verdict: said,
            };
            let repair = comparison::Repair {
                db: self.db.clone(),
                redis: self.redis.clone(),
                on_drift: OnDrift::Fence,
            };
            return repair.begin(&compared, units).await.map(|_| true);
        }
        drift::fence(&self.redis, sale)
            .await
            .context("Redis does not let the sale be fenced")?;
        Ok(true)
    }

    /// Nobody decided it: it is given up under its own gid, and what was decided meanwhile is found. `Some`: why it cannot be.
    async fn give_up(
        &self,
        item: &Requested,
        archived: &Archived,
        gid: Gid,
    ) -> anyhow::Result<Option<&'static str>> {
        let kept = match self.store.message(archived).await {
            Ok(kept) => kept,
            Err(cause) if cause.passes() => return Err(cause.into()),
            Err(cause) => {
                error!(order.id = %item.archive_id, "The message of order {} cannot be read: {:#}", item.archive_id, anyhow::Error::new(cause));
                return Ok(Some("message_unreadable"));
            }
        };
        let order = match OrderMessage::parse(&kept.payload) {
            Ok(order) if order.gid == gid => order,
            _ => return Ok(Some("message_unreadable")),
        };
        match self.orders.archive(&order, 1).await {
            Ok(_) => Ok(None),
            Err(NoOutcome::Failed(why)) => {
                error!(order.id = %item.archive_id, "Order {} cannot be given up: {why}", item.archive_id);
                Ok(Some("cannot_be_given_up"))
            }
            Err(NoOutcome::NotNow(why)) => {
                self.look_again(item, NOT_NOW).await?;
                bail!("{why}")
            }
        }
    }

    async fn look_again(&self, item: &Requested, after: Duration) -> anyhow::Result<()> {
        let mut db = self.db.acquire().await?;
        Ok(operations::look_again(&mut db, item, after).await?)
    }

    async fn ends_reconciled(&self, item: &Requested) -> anyhow::Result<()> {
        let mut tx = self.db.begin().await?;
        if let Some(ends) = operations::reconciled(&mut tx, item).await? {
            write_down(&mut tx, &ends).await?;
            tx.commit().await?;
            info!(order.id = %item.archive_id, "Order {} is reconciled", item.archive_id);
        }
        Ok(())
    }

    /// What was done before stands in the reason, too.
    async fn ends_undone(&self, item: &Requested, known: &Notes, why: &str) -> anyhow::Result<()> {
        let mut reason = known.notes.clone();
        reason.push(why.to_owned());
        self.refuse(item, &reason.join(", ")).await
    }
}

/// What is noted of a mend. Of a fence also the epoch it was for: made anew, a sale that still differs is not made anew for ever.
fn note_of(mend: Mend, seen: &Truth) -> String {
    match (mend, &seen.sale) {
        (Mend::Fence, Some(sale)) => format!("{}@{}", mend.as_str(), sale.epoch),
        _ => mend.as_str().to_owned(),
    }
}

/// Whether a mend was made before, and did not help.
fn repeats(mend: Mend, seen: &Truth, known: &Notes) -> bool {
    let mut notes = known.notes.iter();
    match mend {
        Mend::Resume(_) => notes.any(|note| note == mend.as_str()),
        Mend::Fence => {
            notes.any(|note| note.starts_with(mend.as_str()) && *note != note_of(mend, seen))
        }
        // Noted before it is done: whoever died in between left it to be done.
        Mend::Complete(..) | Mend::GiveUp(_) | Mend::CloseArchive(_) => {
            known.age > GIVE_UP_AFTER && notes.any(|note| note == mend.as_str())
        }
    }
}
