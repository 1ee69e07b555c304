//! The fence's watch: sees what the script cache does not show, and has it rebuilt.
//!
//! A node that is not the one MySQL remembers, or lacks scripts, is rebuilt whole; a sale that no script can work on at two looks
//! running is rebuilt alone. Looking needs no lease; rebuilding does, so that two watches do not rebuild in turns. Losing the
//! lease on the way is harmless: the newer rebuild wins in Redis.

use crate::{findings::Findings, repair::OpenCompensations, schedule::Scan};
use anyhow::Context as _;
use ordering::{
    SaleId,
    leases::{Held, Leases},
    rebuild::{NodeIds, Rebuilder, node_name, remembered, scripts_are_loaded},
    reconcile,
};
use redis::aio::ConnectionManager;
use sqlx::MySqlPool;
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
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

    async fn rebuild_node(&self) -> anyhow::Result<()> {
        let work = async {
            let Some(fault) = self.fault().await? else {
                return Ok(());
            };
            let why = match fault {
                Fault::New => "was never loaded",
                Fault::Changed => "restarted or was promoted",
                Fault::NoScripts => "lost its scripts",
            };
            warn!(node = %self.node, "The stock node {} {why}: rebuilding its sales", self.node);
            let sales = self
                .rebuilder
                .node()
                .await
                .context("the stock node's sales stay closed until a rebuild gets through")?;
            info!(node = %self.node, sales, "The stock node {} is open again with {sales} sales", self.node);
            Ok(())
        };
        self.under_lease(work).await
    }

    /// Does `work` while this process may rebuild; nothing where another one does.
    async fn under_lease(
        &self,
        work: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        match self
            .leases
            .under(Self::NAME, LEASE, work)
            .await
            .context("MySQL gives no lease for a rebuild")?
        {
            Held::Done(done) => done,
            Held::Busy | Held::Lost => Ok(()),
        }
    }

    /// Rebuilds those of `sales` that still need it, each by itself.
    async fn rebuild_sales(&self, sales: &HashSet<SaleId>) -> anyhow::Result<()> {
        let work = async {
            let mut first = None;
            let mut failed = 0;
            for sale in reconcile::fenced(&self.db, &self.redis).await? {
                if !sales.contains(&sale) {
                    continue;
                }
                warn!(sale.id = %sale, "Redis lost sale {sale}: rebuilding it");
                if let Err(cause) = self.rebuilder.sale(sale).await {
                    failed += 1;
                    first.get_or_insert((sale, cause));
                }
            }
            first.map_or(Ok(()), |(sale, cause)| {
                Err(anyhow::Error::new(cause)
                    .context(format!("{failed} sales stay closed, among them {sale}")))
            })
        };
        self.under_lease(work).await
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
        let twice: HashSet<SaleId> = fenced.intersection(&self.fenced).copied().collect();
        self.fenced = fenced;
        if !twice.is_empty() {
            self.rebuild_sales(&twice).await?;
        }
        Ok(Findings::nothing())
    }
}
