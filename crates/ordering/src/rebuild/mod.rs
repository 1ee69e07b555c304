//! Rebuilds a stock node, or one sale on it, from MySQL and from the reservations that survived, while orders that were accepted
//! go on being settled.
//!
//! Nothing is drained and nobody is waited for. A sale is closed; what survived is read; MySQL's row lock and a snapshot draw the
//! line between decisions that the rebuild counts and those that will be completed in the new epoch; the new generation is
//! written beside the old one under names of its own; one script opens it. Whatever was on its way meanwhile is absorbed by the
//! scripts' rules for missing records.
//!
//! Many sales are rebuilt at once, and each by itself: small ones do not wait for large ones, and what goes wrong with one leaves
//! the others alone.
//!
//! Two rebuilders do no harm: the higher number wins in Redis, and the other is refused at its flip. Any error ends the rebuild of
//! a sale where it stands, the sale closed; it is begun anew with the next number. Orders that wait elsewhere to be tried again
//! count as survivors, also where Redis has lost them.

mod lanes;
mod measures;
mod node;
mod open_work;
mod plan;
mod snapshot;
mod survivors;
mod written;

use crate::{ids::SaleId, keys::Names};
use futures::future::BoxFuture;
pub use measures::{SALE_CLOSED_SECONDS, describe};
use node::Node;
pub use node::NodeIds;
pub use open_work::{OpenWork, Waiting};
use plan::{Closed, Planned};
use snapshot::{Readers, Snapshot};
use sqlx::MySqlPool;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tracing::{info, warn};

/// How long any one answer of the node may take. Batches are small; only loading a huge script cache could come near.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Where a rebuild stands with one sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The sale is closed, and of a whole node the scripts are loaded.
    Closed,
    /// Reservations that survived were read.
    SurvivorsRead,
    /// The epoch is raised and the snapshot stands.
    SnapshotOpened,
    /// All is written under the new epoch's names.
    Loaded,
    /// The sale is open.
    Flipped,
}

/// Told of each step of each sale, and waited for.
pub type Observer = Arc<dyn Fn(SaleId, Step) -> BoxFuture<'static, ()> + Send + Sync>;

/// Why a rebuild ended early. Begin anew, unless it is [`RebuildError::Superseded`].
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// A newer rebuild holds the sale: this one stops.
    #[error("a newer rebuild holds sale {0}")]
    Superseded(SaleId),
    /// The one connection to the node broke, or the node refused.
    #[error("the stock node failed during its rebuild")]
    Redis(#[from] redis::RedisError),
    /// MySQL failed.
    #[error("MySQL failed during a rebuild")]
    Mysql(#[from] sqlx::Error),
    /// There is no such sale.
    #[error("there is no sale {0}")]
    UnknownSale(SaleId),
    /// What survived vanished while it was copied: the node was emptied again.
    #[error("sale {0} lost reservations during its rebuild")]
    LostAgain(SaleId),
    /// The node's memory is full. What was written of the sale is removed again.
    #[error(
        "the stock node has no room for sale {0}: free memory there or raise its maxmemory, and the sale opens by itself"
    )]
    NoRoom(SaleId),
}

impl RebuildError {
    /// Whether it says nothing of one sale: no other would fare better on the same connections.
    fn is_of_every_sale(&self) -> bool {
        match self {
            Self::Redis(cause) => !node::refused(cause),
            Self::Mysql(cause) => {
                matches!(cause, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed)
            }
            Self::Superseded(_) | Self::UnknownSale(_) | Self::LostAgain(_) | Self::NoRoom(_) => {
                false
            }
        }
    }

    /// The same, told apart where it is the memory of the node that keeps `sale` closed.
    fn of(self, sale: SaleId) -> Self {
        match self {
            Self::Redis(cause) if node::out_of_memory(&cause) => Self::NoRoom(sale),
            other => other,
        }
    }
}

/// What came of the rebuild of many sales.
#[derive(Debug, Default)]
pub struct Rebuilt {
    /// Sales that were opened, with their new epochs.
    pub opened: HashMap<SaleId, i64>,
    /// Sales that stay closed, and why: each is to be rebuilt anew, or is in the hands of a newer rebuild.
    pub failed: Vec<(SaleId, RebuildError)>,
}

impl Rebuilt {
    fn add(&mut self, sale: SaleId, outcome: Result<i64, RebuildError>) {
        match outcome {
            Ok(epoch) => {
                self.opened.insert(sale, epoch);
            }
            Err(cause) => self.failed.push((sale, cause)),
        }
    }

    fn left_to_newer(&mut self, sales: Vec<SaleId>) {
        for sale in sales {
            self.add(sale, Err(RebuildError::Superseded(sale)));
        }
    }
}

/// Rebuilds sales of one stock node.
#[derive(Clone)]
pub struct Rebuilder {
    db: MySqlPool,
    client: redis::Client,
    held_max: u32,
    open_work: Option<Arc<dyn OpenWork>>,
    observer: Option<Observer>,
}

impl Rebuilder {
    /// `db` needs three free connections; with fourteen it rebuilds four sales at once. `held_max` is written to every sale it
    /// opens.
    #[must_use]
    pub fn new(db: MySqlPool, client: redis::Client, held_max: u32) -> Self {
        Self {
            db,
            client,
            held_max,
            open_work: None,
            observer: None,
        }
    }

    /// The same, counting as held what waits in `open_work`.
    #[must_use]
    pub fn with_open_work(self, open_work: Arc<dyn OpenWork>) -> Self {
        Self {
            open_work: Some(open_work),
            ..self
        }
    }

    /// The same, telling `observer` of each step.
    #[must_use]
    pub fn observed_by(self, observer: Observer) -> Self {
        Self {
            observer: Some(observer),
            ..self
        }
    }

    /// Rebuilds every sale of the node, those that sell now first, and keeps the node's ids as they were at the beginning: if they
    /// changed since, the next look sees it.
    ///
    /// The ids are kept once every sale is closed: from then on each sale that is not open shows by its hash, and is rebuilt by
    /// itself if this rebuild ends early.
    ///
    /// # Errors
    /// [`RebuildError`], when it was not one sale's alone; sales opened so far stay open.
    pub async fn node(&self) -> Result<Rebuilt, RebuildError> {
        let mut node = Node::connect(&self.client).await?;
        let ids = node.ids().await?;
        let number = self.next_number().await?;
        node.flush_scripts().await?;
        let sales = plan::every_sale(&self.db).await?;
        let (closed, refused) = node.close(sales, number).await?;
        node.load_scripts().await?;
        remember(&self.db, &node_name(&self.client), &ids).await?;
        let mut rebuilt = self.rebuild(&node, number, closed).await?;
        rebuilt.left_to_newer(refused);
        node.sweep("{*}:*", &rebuilt.opened).await?;
        Ok(rebuilt)
    }

    /// Rebuilds these sales, while the rest of the node is left alone: no script is loaded, for where they are missing they are the
    /// fence of every other sale.
    ///
    /// # Errors
    /// [`RebuildError`], when it was not one sale's alone; sales opened so far stay open.
    pub async fn sales(&self, sales: &[SaleId]) -> Result<Rebuilt, RebuildError> {
        let planned = plan::among(&self.db, sales).await?;
        let there: HashSet<SaleId> = planned.iter().map(|planned| planned.sale).collect();
        let mut node = Node::connect(&self.client).await?;
        let number = self.next_number().await?;
        let (closed, refused) = node.close(planned, number).await?;
        let mut rebuilt = self.rebuild(&node, number, closed).await?;
        rebuilt.left_to_newer(refused);
        for sale in sales.iter().filter(|sale| !there.contains(sale)) {
            rebuilt.add(*sale, Err(RebuildError::UnknownSale(*sale)));
        }
        let names = match *sales {
            [sale] => crate::keys::everything_of(sale),
            _ => "{*}:*".to_owned(),
        };
        node.sweep(&names, &rebuilt.opened).await?;
        Ok(rebuilt)
    }

    /// Rebuilds one sale as [`Self::sales`] does. Returns its new epoch.
    ///
    /// # Errors
    /// [`RebuildError`].
    pub async fn sale(&self, sale: SaleId) -> Result<i64, RebuildError> {
        let Rebuilt { opened, failed } = self.sales(&[sale]).await?;
        match failed.into_iter().next() {
            Some((_, cause)) => Err(cause),
            None => opened
                .get(&sale)
                .copied()
                .ok_or(RebuildError::UnknownSale(sale)),
        }
    }

    async fn rebuild_closed(
        &self,
        node: &mut Node,
        number: i64,
        closed: &Closed,
    ) -> Result<i64, RebuildError> {
        let Closed {
            planned, old_epoch, ..
        } = *closed;
        let Planned { sale, .. } = planned;
        self.tell(sale, Step::Closed).await;
        let mut survivors = node.survivors(sale, old_epoch).await?;
        self.tell(sale, Step::SurvivorsRead).await;
        let readers = if planned.is_large() {
            Readers::Two
        } else {
            Readers::One
        };
        let mut snapshot = Snapshot::open(&self.db, sale, old_epoch, readers)
            .await?
            .ok_or(RebuildError::UnknownSale(sale))?;
        self.tell(sale, Step::SnapshotOpened).await;
        if let Some(open_work) = &self.open_work {
            snapshot.add_waiting(&**open_work, &mut survivors).await?;
        }
        let open = snapshot.undecided(survivors).await?;
        let names = snapshot.names();
        let numbers = match node.write(&mut snapshot, old_epoch, &open).await {
            Ok(numbers) => numbers,
            Err(cause) => return Err(self.without_room(node, names, cause).await),
        };
        self.tell(sale, Step::Loaded).await;
        node.flip(&snapshot, number, &numbers, self.held_max)
            .await?;
        let closed_for = closed.since.elapsed();
        measures::opened_after(closed_for);
        // The sale is open: what became of the sessions it was read in is no trouble of its.
        if let Err(cause) = snapshot.close().await {
            warn!(sale.id = %sale, "A session that read sale {sale} had ended: {cause}");
        }
        self.tell(sale, Step::Flipped).await;
        info!(
            sale.id = %sale, epoch = names.epoch, held = numbers.held, owed = numbers.owed, sold = planned.sold,
            closed_ms = closed_for.as_millis(),
            "Rebuilt sale {sale} at epoch {}: {} of its units are held, {} owed; it was closed for {} ms",
            names.epoch, numbers.held, numbers.owed, closed_for.as_millis()
        );
        Ok(names.epoch)
    }

    /// Gives back the room that was taken in vain, or the other sales would not find any.
    async fn without_room(
        &self,
        node: &mut Node,
        names: Names,
        cause: RebuildError,
    ) -> RebuildError {
        let cause = cause.of(names.sale);
        if matches!(cause, RebuildError::NoRoom(_))
            && let Err(cause) = node.forget(names).await
        {
            return cause.into();
        }
        cause
    }

    /// Higher than every number taken before, also by rebuilders that still sleep.
    async fn next_number(&self) -> sqlx::Result<i64> {
        let taken = sqlx::query!(
            "update rebuild_numbers set number = last_insert_id(number + 1) where id = 1"
        )
        .execute(&self.db)
        .await?;
        Ok(i64::try_from(taken.last_insert_id()).unwrap_or(i64::MAX))
    }

    async fn tell(&self, sale: SaleId, step: Step) {
        if let Some(observer) = &self.observer {
            observer(sale, step).await;
        }
    }
}

/// Sales made so long ago that whoever made them has brought them to Redis, or has died: what of them is not there is lost. By
/// MySQL's clock.
///
/// # Errors
/// What the database says.
pub async fn long_made(db: &MySqlPool) -> sqlx::Result<HashSet<SaleId>> {
    let sales = sqlx::query_scalar!(
        r#"select id as "id: SaleId" from sales where created_at < utc_timestamp(3) - interval 10 second"#
    )
    .fetch_all(db)
    .await?;
    Ok(sales.into_iter().collect())
}

/// Whether the node has every script. One that restarted has none, and neither has one on which somebody flushed them.
///
/// # Errors
/// [`redis::RedisError`].
pub async fn scripts_are_loaded(
    connection: &mut impl redis::aio::ConnectionLike,
) -> redis::RedisResult<bool> {
    let mut ask = redis::cmd("SCRIPT");
    ask.arg("EXISTS");
    for digest in crate::stock::scripts::digests() {
        ask.arg(digest);
    }
    let there: Vec<bool> = ask.query_async(connection).await?;
    Ok(there.into_iter().all(|there| there))
}

/// A node's name in MySQL: its address, without credentials.
#[must_use]
pub fn node_name(client: &redis::Client) -> String {
    client.get_connection_info().addr().to_string()
}

/// The ids a node had when it was last loaded.
///
/// # Errors
/// What the database says.
pub async fn remembered(db: &MySqlPool, node: &str) -> sqlx::Result<Option<NodeIds>> {
    sqlx::query_as!(
        NodeIds,
        "select run_id, replication_id from redis_nodes where node = ?",
        node
    )
    .fetch_optional(db)
    .await
}

async fn remember(db: &MySqlPool, node: &str, ids: &NodeIds) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into redis_nodes (node, run_id, replication_id, loaded_at) values (?, ?, ?, utc_timestamp(3))
         on duplicate key update run_id = values(run_id), replication_id = values(replication_id), loaded_at = values(loaded_at)",
        node,
        ids.run_id,
        ids.replication_id
    )
    .execute(db)
    .await?;
    Ok(())
}
