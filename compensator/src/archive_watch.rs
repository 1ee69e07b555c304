//! Has people told when the place where the archive keeps messages does not answer, and when it does again.
//!
//! What is to be given up waits meanwhile, and none of its tries is used up; messages that are no orders go into the table.

use crate::{findings::Findings, schedule::Scan};
use anyhow::bail;
use chrono::Utc;
use compensation::{
    alerts::{Alert, Severity, Spool, raise},
    archive::{Store, StoreError},
};
use sqlx::MySqlPool;
use std::time::Duration;
use tokio::time::Instant;

/// How long it may be away before people are told: a restart is shorter.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of several processes that notice it within the same five minutes one tells.
const SAME_OUTAGE_S: i64 = 300;
/// What the alerts are about.
const SUBJECT: &str = "archive";

/// See the module.
pub struct ArchiveWatch {
    store: Store,
    db: MySqlPool,
    spool: Spool,
    patience: Duration,
    away: Option<Away>,
}

struct Away {
    since: Instant,
    occasion: String,
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
            occasion: format!("{storage} {}", Utc::now().timestamp() / SAME_OUTAGE_S),
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
        let Some(away) = self.away.take().filter(|away| away.told) else {
            return Ok(());
        };
        let seconds = away.since.elapsed().as_secs();
        let alert = Alert::new("system", Severity::Info, SUBJECT, "The archive is back")
            .fact("away for", format!("{seconds} s"))
            .once(&format!("{}: back", away.occasion))
            .resolves();
        raise(&self.db, &self.spool, &alert).await?;
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
