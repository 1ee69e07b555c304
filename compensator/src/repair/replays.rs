//! Carries out what operators asked for, item by item: an archived order becomes its next generation, reserves its units again, and
//! goes the way of every retry; or it is [discarded](super::discards), or
//! [reconciled](super::reconciles).
//!
//! The new gid was stored with the request, so a replay that died after its reservation finds it again.

use super::{Step, Tools, audited::write_down, orders::told};
use anyhow::{Context as _, bail};
use compensation::{
    archive::{
        self, Archived,
        versions::{self, Version},
    },
    headers::Headers,
    operations::{self, Kind, Requested},
    queue::{self, NewWork},
    state::State,
};
use coordinator::Gid;
use futures::{StreamExt as _, stream};
use ordering::{
    OrderId, OrderStatus,
    message::OrderMessage,
    replay::{self, NotReserved},
    standing::{self, Standing},
};
use std::time::Duration;
use tracing::{error, info, warn};

/// How long claimed items are left alone by others.
const LEASE: Duration = Duration::from_secs(20);
/// Items claimed, and carried out, at once: nothing claimed waits for its turn.
const AT_ONCE: u32 = 8;
/// When an item is looked at again that could not be begun.
const NOT_NOW: Duration = Duration::from_secs(1);

/// Carries out requested items.
pub struct Replays(Tools);

impl Replays {
    /// Any number may run at once, in any process.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self(tools)
    }

    /// Claims what was requested, and begins it; how much that was.
    ///
    /// # Errors
    /// When nothing could be claimed.
    pub async fn run_batch(&self) -> anyhow::Result<usize> {
        let requested = operations::claim_requested(&self.0.db, LEASE, AT_ONCE)
            .await
            .context("MySQL does not give what operators asked for")?;
        let found = requested.len();
        stream::iter(requested)
            .for_each_concurrent(AT_ONCE as usize, async |item| self.one(&item).await)
            .await;
        Ok(found)
    }

    async fn one(&self, item: &Requested) {
        let done = match item.kind {
            Kind::Replay => self.begin(item).await,
            Kind::Discard => self.0.discard(item).await,
            Kind::Reconcile => self.0.reconcile(item).await,
        };
        if let Err(cause) = done {
            warn!(order.id = %item.archive_id, "The {} of order {} has to wait: {cause:#}", item.kind, item.archive_id);
        }
    }

    async fn begin(&self, item: &Requested) -> anyhow::Result<()> {
        let db = &self.0.db;
        let archived = archive::find(db, item.archive_id)
            .await?
            .context("the archive has no such order")?;
        if archived.held {
            return self.resume(item).await;
        }
        let order_id = OrderId::from_uuid(item.archive_id);
        match standing::find(db, order_id).await? {
            None => return self.0.refuse(item, "not_found").await,
            Some(row) if row.status != OrderStatus::Failed => {
                return self.settled_elsewhere(item, &archived, &row).await;
            }
            Some(_) => {}
        }
        let version = self.version(item, &archived).await?;
        let kept = match self.0.store.message(&archived).await {
            Ok(kept) => Some(kept),
            Err(cause) if cause.passes() => return Err(cause.into()),
            // What came is not needed any more, but for its headers.
            Err(_) if version.is_some() => None,
            Err(cause) => {
                error!(order.id = %item.archive_id, "The message of order {} cannot be read: {:#}", item.archive_id, anyhow::Error::new(cause));
                return self.0.refuse(item, "message_unreadable").await;
            }
        };
        let payload = version.as_ref().map(|version| &version.payload);
        let payload = payload.or(kept.as_ref().map(|kept| &kept.payload));
        let order = payload.and_then(|payload| OrderMessage::parse(payload).ok());
        let Some(order) = order.filter(|order| order.order_id == order_id) else {
            return self.0.refuse(item, "message_unreadable").await;
        };
        let number = version.map(|version| version.number);
        let headers = kept.map(|kept| kept.headers).unwrap_or_default();
        let order = OrderMessage {
            gid: Gid::from_uuid(item.gid),
            generation: item.generation,
            idempotency: None,
            ..order
        };
        match replay::reserve(&self.0.stock, &order).await {
            Ok(()) => {
                self.0.passed(Step::Reserved).await;
                self.enqueue(item, number, &archived, &order, headers).await
            }
            Err(NotReserved::Refused(reason)) => self.0.refuse(item, reason).await,
            Err(NotReserved::AskAgain(why)) => {
                let mut db = db.acquire().await?;
                operations::look_again(&mut db, item, NOT_NOW).await?;
                bail!("{why}")
            }
        }
    }

    /// The version that is taken: the one that was asked for, else the newest one. While the item is in hand nobody makes another, so a
    /// repeat takes the same, and finds the units it reserved.
    async fn version(
        &self,
        item: &Requested,
        archived: &Archived,
    ) -> anyhow::Result<Option<Version>> {
        let newest = (archived.version > 0).then_some(archived.version);
        let Some(number) = item.version.or(newest) else {
            return Ok(None);
        };
        let mut db = self.0.db.acquire().await?;
        let found = versions::find(&mut db, item.archive_id, number).await?;
        found.map(Some).with_context(|| {
            format!(
                "the archive has no version {number} of order {}",
                item.archive_id
            )
        })
    }

    /// Another way was faster: this replay's own reservation was published by the scan for overdue ones, or another transaction
    /// settled the order. The archive's row follows the order.
    async fn settled_elsewhere(
        &self,
        item: &Requested,
        archived: &Archived,
        row: &Standing,
    ) -> anyhow::Result<()> {
        let mut tx = self.0.db.begin().await?;
        let ends = if row.gid.as_uuid() == item.gid {
            let outcome = row.outcome();
            let (how, reason) = told(&outcome);
            operations::settled(
                &mut tx,
                item.gid,
                item.archive_id,
                how,
                reason,
                &archived.history,
            )
            .await?
        } else {
            let ends = operations::refuse(&mut tx, item, "already_resolved").await?;
            archive::resolve(
                &mut tx,
                item.archive_id,
                row.status.as_str(),
                &archived.history,
            )
            .await?;
            ends
        };
        write_down(&mut tx, &ends).await?;
        tx.commit().await?;
        info!(order.id = %item.archive_id, "Order {} is {} already", item.archive_id, row.status);
        Ok(())
    }

    async fn enqueue(
        &self,
        item: &Requested,
        version: Option<u32>,
        archived: &Archived,
        order: &OrderMessage,
        headers: Headers,
    ) -> anyhow::Result<()> {
        let work = NewWork {
            gid: item.gid,
            kind: "order",
            order_id: item.archive_id,
            generation: item.generation,
            sale_id: order.sale_id.as_uuid(),
            user_id: order.user_id.as_uuid(),
            state: State::Scheduled,
            attempts: 0,
            due_after: Duration::ZERO,
            payload: order.to_bytes(),
            headers,
            history: archived.history.clone(),
            error: None,
        };
        let mut tx = self.0.db.begin().await?;
        if !operations::processing(&mut tx, item, version).await? {
            return Ok(());
        }
        if !queue::enqueue(&mut tx, &work).await? && !queue::is_known(&mut tx, item.gid).await? {
            bail!(
                "another transaction of generation {} is open",
                item.generation
            );
        }
        tx.commit().await?;
        info!(order.id = %item.archive_id, gid = %item.gid, "Order {} is replayed as generation {}", item.archive_id, item.generation);
        Ok(())
    }

    /// What was held has its reservation still, and no decision: its own transaction goes on.
    async fn resume(&self, item: &Requested) -> anyhow::Result<()> {
        let mut tx = self.0.db.begin().await?;
        if !operations::processing(&mut tx, item, None).await? {
            return Ok(());
        }
        queue::replay_held(&mut tx, item.gid).await?;
        tx.commit().await?;
        info!(order.id = %item.archive_id, gid = %item.gid, "Order {}, which was held, is tried again", item.archive_id);
        Ok(())
    }
}
