//! Rebuilds a stock node, or one sale on it, from MySQL and from the reservations that survived, while orders that were accepted
//! go on being settled.
//!
//! Nothing is drained and nobody is waited for. A sale is closed; what survived is read; MySQL's row lock and a snapshot draw the
//! line between decisions that the rebuild counts and those that will be completed in the new epoch; the new generation is
//! written beside the old one under names of its own; one script opens it. Whatever was on its way meanwhile is absorbed by the
//! scripts' rules for missing records.
//!
//! Two rebuilders do no harm: the higher number wins in Redis, and the other is refused at its flip. Any error ends a rebuild
//! where it stands, its sales closed; it is begun anew with the next number. Orders that wait elsewhere to be tried again count as
//! survivors, also where Redis has lost them.

mod node;
mod open_work;
mod snapshot;

use crate::ids::SaleId;
use futures::future::BoxFuture;
use node::Node;
pub use node::NodeIds;
pub use open_work::{OpenWork, Waiting};
use snapshot::Snapshot;
use sqlx::MySqlPool;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tracing::info;

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

/// Told of each step, and waited for.
pub type Observer = Arc<dyn Fn(Step) -> BoxFuture<'static, ()> + Send + Sync>;

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
    /// `db` needs two free connections a rebuild; `held_max` is written to every sale it opens.
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

    /// Rebuilds every sale of the node, the latest to end first, and keeps the node's ids as they were at the beginning: if they
    /// changed since, the next look sees it. Returns how many sales were opened.
    ///
    /// # Errors
    /// [`RebuildError`]; sales opened so far stay open.
    pub async fn node(&self) -> Result<usize, RebuildError> {
        let mut node = Node::connect(&self.client).await?;
        let ids = node.ids().await?;
        let number = self.next_number().await?;
        node.flush_scripts().await?;
        let sales: Vec<SaleId> =
            sqlx::query_scalar!(r#"select id as "id: SaleId" from sales order by ends_at desc"#)
                .fetch_all(&self.db)
                .await?;
        let closed = close(&mut node, number, &sales).await?;
        node.load_scripts().await?;
        let epochs = self.rebuild(&mut node, number, closed).await?;
        remember(&self.db, &node_name(&self.client), &ids).await?;
        node.sweep("{*}:*", &epochs).await?;
        Ok(epochs.len())
    }

    /// Rebuilds one sale, while the rest of the node is left alone: no script is loaded, for where they are missing they are the
    /// fence of every other sale. Returns its new epoch.
    ///
    /// # Errors
    /// [`RebuildError`].
    pub async fn sale(&self, sale: SaleId) -> Result<i64, RebuildError> {
        let mut node = Node::connect(&self.client).await?;
        let number = self.next_number().await?;
        let closed = close(&mut node, number, &[sale]).await?;
        let epochs = self.rebuild(&mut node, number, closed).await?;
        node.sweep(&crate::keys::everything_of(sale), &epochs)
            .await?;
        epochs
            .get(&sale)
            .copied()
            .ok_or(RebuildError::UnknownSale(sale))
    }

    async fn rebuild(
        &self,
        node: &mut Node,
        number: i64,
        closed: Vec<Closed>,
    ) -> Result<HashMap<SaleId, i64>, RebuildError> {
        let mut epochs = HashMap::with_capacity(closed.len());
        for (sale, old_epoch) in closed {
            epochs.insert(
                sale,
                self.rebuild_closed(node, number, sale, old_epoch).await?,
            );
        }
        Ok(epochs)
    }

    async fn rebuild_closed(
        &self,
        node: &mut Node,
        number: i64,
        sale: SaleId,
        old_epoch: Option<i64>,
    ) -> Result<i64, RebuildError> {
        self.tell(Step::Closed).await;
        let mut survivors = node.survivors(sale, old_epoch).await?;
        self.tell(Step::SurvivorsRead).await;
        let mut snapshot = Snapshot::open(&self.db, sale, old_epoch)
            .await?
            .ok_or(RebuildError::UnknownSale(sale))?;
        self.tell(Step::SnapshotOpened).await;
        if let Some(open_work) = &self.open_work {
            snapshot.add_waiting(&**open_work, &mut survivors).await?;
        }
        let open = snapshot.undecided(survivors).await?;
        let numbers = node.write(&mut snapshot, old_epoch, &open).await?;
        self.tell(Step::Loaded).await;
        node.flip(&snapshot, number, &numbers, self.held_max)
            .await?;
        let epoch = snapshot.epoch();
        snapshot.close().await?;
        self.tell(Step::Flipped).await;
        info!(
            sale.id = %sale, epoch, held = numbers.held, owed = numbers.owed,
            "Rebuilt sale {sale} at epoch {epoch}: {} of its units are held, {} owed", numbers.held, numbers.owed
        );
        Ok(epoch)
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

    async fn tell(&self, step: Step) {
        if let Some(observer) = &self.observer {
            observer(step).await;
        }
    }
}

/// A sale that scripts cannot touch, and the epoch its hash had, if there was one.
type Closed = (SaleId, Option<i64>);

async fn close(
    node: &mut Node,
    number: i64,
    sales: &[SaleId],
) -> Result<Vec<Closed>, RebuildError> {
    let mut closed = Vec::with_capacity(sales.len());
    for &sale in sales {
        closed.push((sale, node.close(sale, number).await?));
    }
    Ok(closed)
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
