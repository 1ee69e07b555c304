//! Carries out what operators asked for: an archived order becomes its next generation, reserves its units again, and goes the way
//! of every retry.
//!
//! The new gid was stored with the request, so a replay that died after its reservation finds it again.

use super::Tools;
use anyhow::Context as _;
use compensation::{
    archive::{self, Archived},
    headers::Headers,
    operations::{self, Requested},
    queue::{self, NewWork},
    state::State,
};
use coordinator::Gid;
use ordering::{
    OrderId,
    message::OrderMessage,
    replay::{self, NotReserved},
};
use std::time::Duration;
use tracing::{info, warn};

/// How long claimed items are left alone by others.
const LEASE: Duration = Duration::from_secs(10);
/// Items claimed at once.
const BATCH: u32 = 50;
/// When an item is looked at again that could not be begun.
const NOT_NOW: Duration = Duration::from_secs(1);

/// Begins requested replays.
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
        let requested = operations::claim_requested(&self.0.db, LEASE, BATCH)
            .await
            .context("MySQL does not give the replays that were asked for")?;
        for item in &requested {
            if let Err(cause) = self.begin(item).await {
                warn!(order.id = %item.archive_id, "The replay of order {} has to wait: {cause:#}", item.archive_id);
            }
        }
        Ok(requested.len())
    }

    async fn begin(&self, item: &Requested) -> anyhow::Result<()> {
        let db = &self.0.db;
        let archived = archive::find(db, item.archive_id)
            .await?
            .context("the archive has no such order")?;
        if archived.held {
            return self.resume(item).await;
        }
        let kept = archive::message(db, &archived).await?;
        let order =
            OrderMessage::parse(&kept.payload).context("the archived message is no order")?;
        let refusal = replay::refusal(db, OrderId::from_uuid(item.archive_id)).await?;
        // A limit, or an empty stock, may be this very replay's doing, by a reservation it made before it died: Redis knows it.
        if let Some(reason @ ("already_resolved" | "not_found" | "sale_not_found")) = refusal {
            return self.refuse(item, reason).await;
        }
        let order = OrderMessage {
            gid: Gid::from_uuid(item.gid),
            generation: item.generation,
            idempotency: None,
            ..order
        };
        match replay::reserve(&self.0.stock, &order).await {
            Ok(()) => self.enqueue(item, &archived, &order, kept.headers).await,
            Err(NotReserved::Refused(reason)) => self.refuse(item, reason).await,
            Err(NotReserved::AskAgain(why)) => {
                let mut db = db.acquire().await?;
                operations::look_again(&mut db, item, NOT_NOW).await?;
                anyhow::bail!("{why}")
            }
        }
    }

    async fn enqueue(
        &self,
        item: &Requested,
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
        queue::enqueue(&mut tx, &work).await?;
        operations::processing(&mut tx, item).await?;
        tx.commit().await?;
        info!(order.id = %item.archive_id, gid = %item.gid, "Order {} is replayed as generation {}", item.archive_id, item.generation);
        Ok(())
    }

    /// What was held has its reservation still, and no decision: its own transaction goes on.
    async fn resume(&self, item: &Requested) -> anyhow::Result<()> {
        let mut tx = self.0.db.begin().await?;
        queue::replay_held(&mut tx, item.gid).await?;
        operations::processing(&mut tx, item).await?;
        tx.commit().await?;
        info!(order.id = %item.archive_id, gid = %item.gid, "Order {}, which was held, is tried again", item.archive_id);
        Ok(())
    }

    async fn refuse(&self, item: &Requested, reason: &str) -> anyhow::Result<()> {
        let mut tx = self.0.db.begin().await?;
        operations::refuse(&mut tx, item, reason).await?;
        tx.commit().await?;
        info!(order.id = %item.archive_id, "The replay of order {} was refused: {reason}", item.archive_id);
        Ok(())
    }
}
