//! Has people told when the place where the archive keeps messages does not answer, and when it does again.
//!
//! What is to be given up waits meanwhile, and none of its tries is used up; messages that are no orders go into the table. Several
//! processes that see it tell of one incident. One that begins tells that it is over, too, for one that died before it could.

use crate::{findings::Findings, schedule::Scan};
use anyhow::bail;
use compensation::{
    alerts::{Alert, Severity, Spool, incidents, raise},
    archive::{Store, StoreError},
};
use sqlx::MySqlPool;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// How long it may be away before people are told: a restart is shorter.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the alerts are about.
const SUBJECT: &str = "archive";
/// Their group.
const GROUP: &str = "system/archive";

/// See the module.
pub struct ArchiveWatch {
    store: Store,
    db: MySqlPool,
    spool: Spool,
    patience: Duration,
    away: Option<Away>,
    /// Whether what a process before this one told of was looked for.
    knows_the_past: bool,
}

struct Away {
    since: Instant,
    occasion: Uuid,
    told: bool,
}

impl ArchiveWatch {
    /// One that has seen nothing yet.
    #[must_use]
    pub const fn new(store: Store, db: MySqlPool, spool: Spool) -> Self {
        Self {
            store,
            db,
            spool,
            patience: PATIENCE,
            away: None,
            knows_the_past: false,
        }
    }

    /// The same with another patience.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    async fn tell_of_trouble(&mut self, why: &str) -> anyhow::Result<()> {
        let storage = self.store.keeps_in();
        let away = self.away.get_or_insert_with(|| Away {
            since: Instant::now(),
            occasion: Uuid::now_v7(),
            told: false,
        });
        if away.told || away.since.elapsed() < self.patience {
            return Ok(());
        }
        let title = "The archive does not answer";
        let alert = Alert::new("system", Severity::Urgent, SUBJECT, title)
            .text("Orders that are to be given up wait until it is back, and nothing is lost. Their messages are in MySQL.")
            .fact("kept in", storage)
            .fact("why", why)
            .once(&format!("{}: away", away.occasion));
        raise(&self.db, &self.spool, &alert).await?;
        away.told = true;
        Ok(())
    }

    async fn tell_that_it_is_back(&mut self) -> anyhow::Result<()> {
        let back = Alert::new("system", Severity::Info, SUBJECT, "The archive is back").resolves();
        let alert = match &self.away {
            Some(away) if away.told => back
                .fact("away for", format!("{} s", away.since.elapsed().as_secs()))
                .once(&format!("{}: back", away.occasion)),
            _ if !self.knows_the_past && incidents::stands(&self.db, GROUP).await? => back,
            _ => {
                (self.away, self.knows_the_past) = (None, true);
                return Ok(());
            }
        };
        raise(&self.db, &self.spool, &alert).await?;
        (self.away, self.knows_the_past) = (None, true);
        Ok(())
    }
}

impl Scan for ArchiveWatch {
    const NAME: &'static str = "archive_watch";

    async fn run_once(&mut self) -> anyhow::Result<Findings> {
        match self.store.ping().await {
            Ok(()) => self.tell_that_it_is_back().await?,
            // Others tell of MySQL.
            Err(StoreError::Database(_)) => {}
            Err(cause) => {
                let why = format!("{:#}", anyhow::Error::new(cause));
                self.tell_of_trouble(&why).await?;
                bail!("{why}")
            }
        }
        Ok(Findings::nothing())
    }
}
