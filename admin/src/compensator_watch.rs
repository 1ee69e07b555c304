//! Notices that no compensator runs. Nobody else would: it is the compensator that retries, watches and tells people.
//!
//! While none gives a sign of life the admin delivers alerts itself, this one first of all, each channel at its own pace. Several admins
//! tell once, for the alert's id is made of the last sign. It leaves the work alone: what waits is safe, and goes on when a compensator
//! runs again. One that begins tells that one runs, too, for an admin that died before it could.

use anyhow::Context as _;
use compensation::alerts::{Alert, Channels, Courier, Folder, Severity, Spool, incidents, raise};
use service_kit::{heartbeat, settings::Settings};
use sqlx::MySqlPool;
use std::time::Duration;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, error, info};

/// As it signs.
const COMPENSATOR: &str = "compensator";
/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);
/// The group of what is told.
const GROUP: &str = "system/compensator";

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
    /// Whether what an admin before this one told of was looked for.
    knows_the_past: bool,
    delivering: Option<Delivering>,
}

/// The delivery of alerts, until it is dropped or ended.
struct Delivering {
    stop: DropGuard,
    work: JoinHandle<()>,
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
            knows_the_past: false,
            delivering: None,
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
        self.deliver_no_more().await;
    }

    /// One look. Whether a compensator gave a sign lately; while none does, alerts are delivered beside.
    ///
    /// # Errors
    /// When MySQL does not tell, or nobody can be told.
    pub async fn look(&mut self) -> anyhow::Result<bool> {
        let seen = match heartbeat::last_seen(&self.db, COMPENSATOR).await {
            Ok(seen) => seen,
            Err(cause) => {
                self.deliver_unless_one_may();
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
            self.deliver_no_more().await;
            // What this process could not write down while MySQL was away.
            self.courier.hand_over().await;
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
        self.deliver();
        Ok(false)
    }

    /// Where MySQL has been silent for longer than a compensator may be, nobody knows whether one runs. One that does has the spool.
    fn deliver_unless_one_may(&mut self) {
        if self.answered.elapsed() > self.patience {
            self.deliver();
        }
    }

    /// In a task of its own, each channel at its own pace: a receiver that hangs keeps neither the others nor the next look waiting.
    fn deliver(&mut self) {
        let runs = |it: &Delivering| !it.work.is_finished();
        if self.delivering.as_ref().is_some_and(runs) {
            return;
        }
        let stop = CancellationToken::new();
        let (folder, courier, token) = (self.folder.clone(), self.courier.clone(), stop.clone());
        // Without incidents what is in the outbox and the spool goes out all the same.
        let work = tokio::spawn(async move {
            tokio::join!(folder.run(token.clone()), courier.run(token));
        });
        let stop = stop.drop_guard();
        self.delivering = Some(Delivering { stop, work });
    }

    /// What is being sent is finished first, and the spool is the compensator's again.
    async fn deliver_no_more(&mut self) {
        let Some(Delivering { stop, work }) = self.delivering.take() else {
            return;
        };
        drop(stop);
        if let Err(cause) = work.await {
            error!("The delivery of alerts did not end well: {cause}");
        }
    }

    async fn tell_that_one_runs(&mut self, occasion: &str) -> anyhow::Result<()> {
        let runs = Alert::new("system", Severity::Info, COMPENSATOR, "A compensator runs")
            .text("What waited goes on by itself.")
            .fact("seen", occasion);
        let alert = match &self.told {
            Some(since) => runs
                .fact("silent since", since)
                .once(&format!("over since {since}")),
            None if !self.knows_the_past && incidents::stands(&self.db, GROUP).await? => runs,
            None => {
                self.knows_the_past = true;
                return Ok(());
            }
        };
        info!("A compensator runs again");
        raise(&self.db, &self.spool, &alert.resolves()).await?;
        (self.told, self.knows_the_past) = (None, true);
        Ok(())
    }
}
