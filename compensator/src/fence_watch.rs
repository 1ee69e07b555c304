//! The fence's watch: sees what the script cache does not show, and has it rebuilt.
//!
//! A node that is not the one MySQL remembers, or lacks scripts, is rebuilt whole. A sale that no script can work on is rebuilt
//! without the rest of its node: at the first look, unless it may have met a sale that is just being made; those are given a second
//! one. A sale whose rebuild fails keeps no other closed: it is tried again by itself, after a pause that grows.
//!
//! Looking needs no lease; rebuilding does, so that two watches do not rebuild in turns. Losing the lease on the way is harmless:
//! the newer rebuild wins in Redis.

mod put_off;

use crate::{findings::Findings, repair::OpenCompensations, schedule::Scan};
use anyhow::Context as _;
use ordering::{
    SaleId,
    leases::{Held, Leases},
    rebuild::{
        NodeIds, RebuildError, Rebuilder, Rebuilt, long_made, node_name, remembered,
        scripts_are_loaded,
    },
    reconcile,
};
use put_off::PutOff;
use redis::aio::ConnectionManager;
use sqlx::MySqlPool;
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tracing::{info, warn};

/// A rebuilder that has not renewed its lease for so long is gone.
const LEASE: Duration = Duration::from_secs(5);

/// Whether the stock node was seen open since this process started.
#[derive(Debug, Clone, Default)]
pub struct Opened(Arc<AtomicBool>);

impl Opened {
    /// Whether it was.
    #[must_use]
    pub fn yet(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Watches one stock node.
pub struct FenceWatch {
    db: MySqlPool,
    redis: ConnectionManager,
    node: String,
    rebuilder: Rebuilder,
    leases: Leases,
    opened: Opened,
    /// Sales that could not be worked on at the last look.
    fenced: HashSet<SaleId>,
    /// Sales whose last rebuild failed.
    put_off: PutOff,
}

/// What is wrong with the node as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// MySQL never saw it loaded.
    New,
    /// It restarted, or was promoted.
    Changed,
    /// Scripts are missing.
    NoScripts,
}

impl FenceWatch {
    /// Watches the node behind `redis` and `client`.
    #[must_use]
    pub fn new(
        db: MySqlPool,
        redis: ConnectionManager,
        client: redis::Client,
        held_max: u32,
        leases: Leases,
    ) -> Self {
        Self {
            node: node_name(&client),
            rebuilder: Rebuilder::new(db.clone(), client, held_max)
                .with_open_work(Arc::new(OpenCompensations)),
            db,
            redis,
            leases,
            opened: Opened::default(),
            fenced: HashSet::new(),
            put_off: PutOff::default(),
        }
    }

    /// Tells when the node was seen open.
    #[must_use]
    pub fn opened(&self) -> Opened {
        self.opened.clone()
    }

    /// What is wrong with the node, if anything is.
    async fn fault(&self) -> anyhow::Result<Option<Fault>> {
        let mut redis = self.redis.clone();
        let mut ids = NodeIds::read(&mut redis).await;
        if ids.is_err() {
            // A connection that broke with the node's last life is only noticed, and made anew, by a call that fails on it.
            ids = NodeIds::read(&mut redis).await;
        }
        let ids =
            ids.with_context(|| format!("the stock node {} does not answer: start it", self.node))?;
        let fault = match remembered(&self.db, &self.node)
            .await
            .context("MySQL does not tell what the stock node was")?
        {
            None => Some(Fault::New),
            Some(known) if known != ids => Some(Fault::Changed),
            Some(_)
                if !scripts_are_loaded(&mut redis)
                    .await
                    .context("the stock node does not tell its scripts")? =>
            {
                Some(Fault::NoScripts)
            }
            Some(_) => None,
        };
        Ok(fault)
    }

    async fn rebuild_node(&mut self) -> anyhow::Result<()> {
        let work = async {
            let Some(fault) = self.fault().await? else {
                return Ok(None);
            };
            let why = match fault {
                Fault::New => "was never loaded",
                Fault::Changed => "restarted or was promoted",
                Fault::NoScripts => "lost its scripts",
            };
            warn!(node = %self.node, "The stock node {} {why}: rebuilding its sales", self.node);
            let begun = Instant::now();
            let rebuilt = self
                .rebuilder
                .node()
                .await
                .context("the stock node's sales stay closed until a rebuild gets through")?;
            let sales = rebuilt.opened.len();
            info!(
                node = %self.node, sales, took_ms = begun.elapsed().as_millis(),
                "The stock node {} is open again with {sales} sales, after {} ms", self.node, begun.elapsed().as_millis()
            );
            Ok(Some(rebuilt))
        };
        if let Some(rebuilt) = self.under_lease(work).await? {
            self.keep(rebuilt);
        }
        Ok(())
    }

    /// Does `work` while this process may rebuild; nothing where another one does.
    async fn under_lease<T>(
        &self,
        work: impl Future<Output = anyhow::Result<Option<T>>>,
    ) -> anyhow::Result<Option<T>> {
        match self
            .leases
            .under(Self::NAME, LEASE, work)
            .await
            .context("MySQL gives no lease for a rebuild")?
        {
            Held::Done(done) => done,
            Held::Busy | Held::Lost => Ok(None),
        }
    }

    /// Rebuilds those of `sales` that still need it.
    async fn rebuild_sales(&mut self, sales: &HashSet<SaleId>) -> anyhow::Result<()> {
        let work = async {
            let mut fenced = reconcile::fenced(&self.db, &self.redis).await?;
            fenced.retain(|sale| sales.contains(sale));
            if fenced.is_empty() {
                return Ok(None);
            }
            for sale in &fenced {
                warn!(sale.id = %sale, "Redis lost sale {sale}: rebuilding it");
            }
            let rebuilt = self
                .rebuilder
                .sales(&fenced)
                .await
                .context("sales that Redis lost stay closed until a rebuild gets through")?;
            Ok(Some(rebuilt))
        };
        if let Some(rebuilt) = self.under_lease(work).await? {
            self.keep(rebuilt);
        }
        Ok(())
    }

    /// Which of the sales that are fenced now are not there for a moment only.
    async fn lost(&self, fenced: &HashSet<SaleId>) -> anyhow::Result<HashSet<SaleId>> {
        if fenced.is_empty() {
            return Ok(HashSet::new());
        }
        let long_made = long_made(&self.db)
            .await
            .context("MySQL does not tell its sales")?;
        Ok(fenced
            .iter()
            .filter(|sale| self.fenced.contains(sale) || long_made.contains(sale))
            .copied()
            .collect())
    }

    fn keep(&mut self, rebuilt: Rebuilt) {
        self.put_off.opened(rebuilt.opened.keys());
        for (sale, cause) in rebuilt.failed {
            // A newer rebuild has the sale; if it does not get through, the next look sees that.
            if !matches!(cause, RebuildError::Superseded(_)) {
                self.put_off.failed(sale, Instant::now(), cause);
            }
        }
    }
}

impl Scan for FenceWatch {
    const NAME: &'static str = "fence_watch";

    async fn run_once(&mut self) -> anyhow::Result<Findings> {
        if self.fault().await?.is_some() {
            self.fenced.clear();
            self.rebuild_node().await?;
            // Another process may be at it, and the node may have gone again: open is what is seen to be.
            if self.fault().await?.is_some() {
                return Ok(Findings::nothing());
            }
        }
        self.opened.now();
        let fenced: HashSet<SaleId> = reconcile::fenced(&self.db, &self.redis)
            .await?
            .into_iter()
            .collect();
        self.put_off.keep_only(&fenced);
        let mut lost = self.lost(&fenced).await?;
        self.put_off.leave_out(&mut lost, Instant::now());
        self.fenced = fenced;
        if !lost.is_empty() {
            self.rebuild_sales(&lost).await?;
        }
        self.put_off.trouble()?;
        Ok(Findings::nothing())
    }
}
