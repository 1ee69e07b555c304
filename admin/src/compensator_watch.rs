//! Notices that no compensator runs. Nobody else would: it is the compensator that retries, watches and tells people.
//!
//! While none gives a sign of life the admin delivers alerts itself, this one first of all. Several admins tell once, for the alert's id
//! is made of the last sign. It leaves the work alone: what waits is safe, and goes on when a compensator runs again.

use anyhow::Context as _;
use compensation::alerts::{Alert, Channels, Courier, Folder, Severity, Spool, raise};
use service_kit::{heartbeat, settings::Settings};
use sqlx::MySqlPool;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

/// As it signs.
const COMPENSATOR: &str = "compensator";
/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);

/// See the module.
pub struct CompensatorWatch {
    db: MySqlPool,
    spool: Spool,
    folder: Folder,
    courier: Courier,
    patience: Duration,
    started: Instant,
    /// When MySQL last told of signs of life.
    answered: Instant,
    /// The occasion people were told of.
    told: Option<String>,
}

impl CompensatorWatch {
    /// One that has seen nothing yet.
    ///
    /// # Errors
    /// When a channel of the settings cannot be used.
    pub fn new(db: MySqlPool, settings: &Settings) -> anyhow::Result<Self> {
        let channels = Channels::from_settings(settings)?;
        let spool = Spool::new(&settings.alerts.spool);
        Ok(Self {
            folder: Folder::new(db.clone(), &settings.alerts, &channels),
            courier: Courier::new(db.clone(), &channels, spool.clone(), "admin"),
            patience: Duration::from_secs(settings.watch.compensator_silent_s),
            started: Instant::now(),
            answered: Instant::now(),
            told: None,
            spool,
            db,
        })
    }

    /// Looks until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(cause) = self.look().await {
                debug!("Whether a compensator runs cannot be told: {cause:#}");
            }
            stop.run_until_cancelled(sleep(EVERY)).await;
        }
    }

    /// One look. Whether a compensator gave a sign lately.
    ///
    /// # Errors
    /// When MySQL does not tell, or nobody can be told.
    pub async fn look(&mut self) -> anyhow::Result<bool> {
        let seen = match heartbeat::last_seen(&self.db, COMPENSATOR).await {
            Ok(seen) => seen,
            Err(cause) => {
                self.deliver_unless_one_may().await;
                return Err(cause).context("MySQL does not tell of signs of life");
            }
        };
        self.answered = Instant::now();
        let (occasion, silent) = match seen {
            Some((at, silent)) => (at.to_rfc3339(), silent),
            None => ("never".to_owned(), self.started.elapsed()),
        };
        if silent <= self.patience {
            self.tell_that_one_runs(&occasion).await?;
            self.courier.release().await;
            return Ok(true);
        }
        if self.told.is_none() {
            error!(
                "No compensator has given a sign of life for {} s",
                silent.as_secs()
            );
            let alert = Alert::new(
                "system",
                Severity::Urgent,
                COMPENSATOR,
                "No compensator runs",
            )
            .text(
                "What fails is not tried again, nothing is archived and figures are not watched until one runs. Nothing is lost: what waits \
                 is kept. This alert comes from the admin.",
            )
            .fact("last sign of life", &occasion)
            .once(&format!("silent since {occasion}"));
            raise(&self.db, &self.spool, &alert).await?;
            self.told = Some(occasion);
        }
        self.deliver().await;
        Ok(false)
    }

    /// Where MySQL has been silent for longer than a compensator may be, nobody knows whether one runs. One that does has the spool.
    async fn deliver_unless_one_may(&self) {
        if self.answered.elapsed() > self.patience {
            self.deliver().await;
        }
    }

    async fn deliver(&self) {
        // Without incidents what is in the outbox and the spool goes out all the same.
        if let Err(cause) = self.folder.run_once().await {
            warn!("Incidents wait: {cause:#}");
        }
        if let Err(cause) = self.courier.run_once().await {
            warn!("Alerts wait: {cause:#}");
        }
    }

    async fn tell_that_one_runs(&mut self, occasion: &str) -> anyhow::Result<()> {
        let Some(since) = self.told.take() else {
            return Ok(());
        };
        info!("A compensator runs again");
        let alert = Alert::new("system", Severity::Info, COMPENSATOR, "A compensator runs")
            .text("What waited goes on by itself.")
            .fact("silent since", &since)
            .fact("seen", occasion)
            .once(&format!("over since {since}"))
            .resolves();
        raise(&self.db, &self.spool, &alert).await?;
        Ok(())
    }
}
