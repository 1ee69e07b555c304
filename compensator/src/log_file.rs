//! Keeps the file of tries as whole as the table, and has people told when one of the two is behind. One that begins tells that it is
//! over, too, for one that died before it could.

use crate::{findings::Findings, schedule::Scan};
use compensation::{
    alerts::{Alert, Severity, Spool, incidents, raise},
    log::LogFile,
};
use sqlx::MySqlPool;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// How long a side may be behind before people are told: a restart of MySQL is shorter.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the alerts are about.
const SUBJECT: &str = "compensation log";
/// Their group.
const GROUP: &str = "system/compensation log";

/// See the module.
pub struct LogInBoth {
    /// `None`: only one of the two is wanted.
    file: Option<LogFile>,
    db: MySqlPool,
    spool: Spool,
    patience: Duration,
    behind: Option<Behind>,
    /// Whether what a process before this one told of was looked for.
    knows_the_past: bool,
}

struct Behind {
    since: Instant,
    occasion: Uuid,
    told: bool,
}

impl LogInBoth {
    /// `None`: only one of the two is wanted.
    #[must_use]
    pub fn new(file: Option<LogFile>, db: MySqlPool, spool: Spool) -> Self {
        Self {
            file,
            db,
            spool,
            patience: PATIENCE,
            behind: None,
            knows_the_past: false,
        }
    }

    /// The same with another patience.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    async fn tell_of_trouble(&mut self, why: &str) -> anyhow::Result<()> {
        let behind = self.behind.get_or_insert_with(|| Behind {
            since: Instant::now(),
            occasion: Uuid::now_v7(),
            told: false,
        });
        if behind.told || behind.since.elapsed() < self.patience {
            return Ok(());
        }
        let alert = Alert::new(
            "system",
            Severity::Warning,
            SUBJECT,
            "The log of tries is behind",
        )
        .text("Tries go on, and nothing of them is lost: the other side has them, and this one catches up by itself once it can.")
        .fact("why", why)
        .once(&format!("{}: behind", behind.occasion));
        raise(&self.db, &self.spool, &alert).await?;
        behind.told = true;
        Ok(())
    }

    async fn tell_that_it_is_over(&mut self) -> anyhow::Result<()> {
        let title = "The log of tries has caught up";
        let over = Alert::new("system", Severity::Info, SUBJECT, title).resolves();
        let alert = match &self.behind {
            Some(behind) if behind.told => {
                let seconds = behind.since.elapsed().as_secs();
                over.fact("behind for", format!("{seconds} s"))
                    .once(&format!("{}: over", behind.occasion))
            }
            _ if !self.knows_the_past && incidents::stands(&self.db, GROUP).await? => over,
            _ => {
                (self.behind, self.knows_the_past) = (None, true);
                return Ok(());
            }
        };
        raise(&self.db, &self.spool, &alert).await?;
        (self.behind, self.knows_the_past) = (None, true);
        Ok(())
    }
}

impl Scan for LogInBoth {
    const NAME: &'static str = "compensation_log";

    async fn run_once(&mut self) -> anyhow::Result<Findings> {
        let Some(file) = &mut self.file else {
            // It may have been wanted before.
            self.tell_that_it_is_over().await?;
            return Ok(Findings::nothing());
        };
        match file.catch_up().await {
            Ok(_) => {
                self.tell_that_it_is_over().await?;
                Ok(Findings::nothing())
            }
            Err(cause) => {
                self.tell_of_trouble(&cause.to_string()).await?;
                Err(cause.into())
            }
        }
    }
}
