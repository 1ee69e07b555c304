//! Gives archived work up for good: nothing is left to do, and units that are still held are given back.
//!
//! An order whose units are held has no decision yet, so it is given up by one, under its own gid: a repeat finds it, and whoever was
//! faster with another one has settled the order. Any other order must be `failed`; what it came to meanwhile is told instead.

use super::{
    Step, Tools,
    audited::write_down,
    orders::{NoOutcome, told},
};
use anyhow::{Context as _, bail};
use compensation::{
    archive::{self, Archived, Kind},
    operations::{self, Requested},
    queue,
};
use ordering::{OrderId, OrderOutcome, OrderStatus, message::OrderMessage, standing};
use std::time::Duration;
use tracing::{error, info};

/// When an item is looked at again that could not be given up.
const NOT_NOW: Duration = Duration::from_secs(1);

impl Tools {
    /// Carries out one discard.
    pub(super) async fn discard(&self, item: &Requested) -> anyhow::Result<()> {
        let archived = archive::find(&self.db, item.archive_id)
            .await?
            .context("the archive has no such row")?;
        if archived.operation_id != Some(item.operation_id) {
            // It came back to the archive meanwhile, and is not what was claimed.
            return self.refuse(item, "archived_again").await;
        }
        match archived.kind() {
            Kind::Transaction => self.refuse(item, "a_transaction").await,
            Kind::Message => self.put_away_for_good(item).await,
            Kind::Order if archived.held => self.give_back(item, &archived).await,
            Kind::Order => self.discard_order(item, &archived).await,
        }
    }

    async fn discard_order(&self, item: &Requested, archived: &Archived) -> anyhow::Result<()> {
        let order = OrderId::from_uuid(item.archive_id);
        match standing::find(&self.db, order).await? {
            None => self.refuse(item, "not_found").await,
            Some(row) if row.status == OrderStatus::Failed => self.put_away_for_good(item).await,
            Some(row) => {
                self.settled_meanwhile(item, archived, row.status.as_str())
                    .await
            }
        }
    }

    /// Its units are held: the decision that gives it up comes first, then Redis releases them.
    async fn give_back(&self, item: &Requested, archived: &Archived) -> anyhow::Result<()> {
        let kept = match self.store.message(archived).await {
            Ok(kept) => kept,
            Err(cause) if cause.passes() => return Err(cause.into()),
            Err(cause) => {
                error!(order.id = %item.archive_id, "The message of order {} cannot be read: {:#}", item.archive_id, anyhow::Error::new(cause));
                return self.refuse(item, "message_unreadable").await;
            }
        };
        let order = match OrderMessage::parse(&kept.payload) {
            Ok(order) if order.gid.as_uuid() == item.gid => order,
            _ => return self.refuse(item, "message_unreadable").await,
        };
        match self.orders.archive(&order, 1).await {
            Ok(OrderOutcome::Failed) => {
                self.passed(Step::GivenUp).await;
                self.put_away_for_good(item).await
            }
            Ok(OrderOutcome::Superseded) => self.refuse(item, operations::SUPERSEDED).await,
            Ok(settled) => {
                let (how, _) = told(&settled);
                self.settled_meanwhile(item, archived, how).await
            }
            Err(NoOutcome::Failed(why)) => {
                error!(order.id = %item.archive_id, "Order {} cannot be given up: {why}", item.archive_id);
                self.refuse(item, "cannot_be_given_up").await
            }
            Err(NoOutcome::NotNow(why)) => {
                let mut db = self.db.acquire().await?;
                operations::look_again(&mut db, item, NOT_NOW).await?;
                bail!("{why}")
            }
        }
    }

    /// The end of the item, of its row in the archive, and of what was held are one transaction.
    async fn put_away_for_good(&self, item: &Requested) -> anyhow::Result<()> {
        let mut tx = self.db.begin().await?;
        let Some(ends) = operations::discarded(&mut tx, item).await? else {
            return Ok(());
        };
        queue::close_held(&mut tx, item.gid, operations::DISCARDED).await?;
        write_down(&mut tx, &ends).await?;
        tx.commit().await?;
        info!(order.id = %item.archive_id, "{} was discarded", item.archive_id);
        Ok(())
    }

    /// It is not `failed` any more: the archive's row follows the order, and nothing is discarded.
    async fn settled_meanwhile(
        &self,
        item: &Requested,
        archived: &Archived,
        how: &str,
    ) -> anyhow::Result<()> {
        let mut tx = self.db.begin().await?;
        let ends = operations::refuse(&mut tx, item, "already_resolved").await?;
        archive::resolve(&mut tx, item.archive_id, how, &archived.history).await?;
        queue::close_held(&mut tx, item.gid, how).await?;
        write_down(&mut tx, &ends).await?;
        tx.commit().await?;
        info!(order.id = %item.archive_id, "Order {} is {how}, and was not discarded", item.archive_id);
        Ok(())
    }

    /// Ends an item that cannot be carried out.
    pub(super) async fn refuse(&self, item: &Requested, reason: &str) -> anyhow::Result<()> {
        let mut tx = self.db.begin().await?;
        let ends = operations::refuse(&mut tx, item, reason).await?;
        write_down(&mut tx, &ends).await?;
        tx.commit().await?;
        info!(order.id = %item.archive_id, "The {} of {} was refused: {reason}", item.kind, item.archive_id);
        Ok(())
    }
}
