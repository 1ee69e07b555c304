//! When scans run: each at its own pace, never beside itself, and told of in the log only when something changes.

use crate::findings::Findings;
use anyhow::Context as _;
use futures::FutureExt as _;
use ordering::leases::{Held, Leases};
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::sync::Mutex;
use tokio_cron_scheduler::{Job, JobScheduler};
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

/// A scan that has not renewed its lease for so long is gone.
const LEASE: Duration = Duration::from_secs(5);

/// One look at something that must be put right when it is not.
pub trait Scan: Send + 'static {
    /// Its name in the log, and the end of its lease row's name.
    const NAME: &'static str;

    /// Looks once, and tells what it found and did. Safe while other processes do the same.
    ///
    /// # Errors
    /// What kept it from its work. It is tried again at its next turn, so the text says what a person may do meanwhile.
    fn run_once(&mut self) -> impl Future<Output = anyhow::Result<Findings>> + Send;
}

/// Does `work` while this process holds the scan's lease; nothing where another one does.
///
/// # Errors
/// What `work` says, or MySQL of the lease.
pub async fn under_lease(
    leases: &Leases,
    scan: &str,
    work: impl Future<Output = anyhow::Result<Findings>>,
) -> anyhow::Result<Findings> {
    match leases
        .under(scan, LEASE, Box::pin(work))
        .await
        .context("MySQL gives no lease")?
    {
        Held::Done(done) => done,
        Held::Busy | Held::Lost => Ok(Findings::elsewhere()),
    }
}

/// Runs scans until it is stopped.
pub struct Schedule {
    scheduler: JobScheduler,
    turns: TaskTracker,
}

struct Turn<S> {
    scan: S,
    /// What went wrong the last time, so that the same trouble is told once.
    trouble: Option<String>,
}

impl Schedule {
    /// An empty schedule that runs.
    ///
    /// # Errors
    /// When the scheduler does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let mut scheduler = JobScheduler::new().await?;
        scheduler.init().await?;
        scheduler.start().await?;
        Ok(Self {
            scheduler,
            turns: TaskTracker::new(),
        })
    }

    /// Runs `scan` now, and again every `pace`, in whole seconds. A turn that comes while the last one still works is left out.
    ///
    /// # Errors
    /// When the scheduler does not take it.
    pub async fn every<S: Scan>(&self, pace: Duration, scan: S) -> anyhow::Result<()> {
        let turn = Arc::new(Mutex::new(Turn {
            scan,
            trouble: None,
        }));
        let turns = self.turns.clone();
        turns.spawn(one(Arc::clone(&turn)));
        let job = Job::new_repeated_async(pace, move |_, _| {
            // After a stop there are no more turns, whatever the scheduler still has under way.
            if turns.is_closed() {
                Box::pin(async {})
            } else {
                Box::pin(turns.track_future(one(Arc::clone(&turn))))
            }
        })?;
        self.scheduler.add(job).await?;
        Ok(())
    }

    /// Begins no more turns, and waits for those in hand, at most `within`. What is left can be left: every scan may die anywhere.
    pub async fn stop(mut self, within: Duration) {
        self.turns.close();
        if let Err(cause) = self.scheduler.shutdown().await {
            warn!("The scheduler did not stop: {cause}");
        }
        if tokio::time::timeout(within, self.turns.wait())
            .await
            .is_err()
        {
            warn!(
                "Scans were left in the middle of their work after {} s",
                within.as_secs()
            );
        }
    }
}

async fn one<S: Scan>(turn: Arc<Mutex<Turn<S>>>) {
    let Ok(mut turn) = turn.try_lock() else {
        return;
    };
    // A panic would be lost in the scheduler's task, and the scan with it.
    let ended = AssertUnwindSafe(turn.scan.run_once()).catch_unwind().await;
    let trouble = match ended {
        Ok(Ok(findings)) => {
            for sentence in findings.did {
                info!(scan = S::NAME, "{sentence}");
            }
            None
        }
        Ok(Err(cause)) => Some(format!("{cause:#}")),
        Err(_) => Some("it panicked: see above".to_owned()),
    };
    match (&trouble, &turn.trouble) {
        (Some(now), before) if before.as_ref() != Some(now) => {
            error!(
                scan = S::NAME,
                "The scan {} cannot do its work, and goes on trying: {now}",
                S::NAME
            );
        }
        (None, Some(_)) => info!(scan = S::NAME, "The scan {} works again", S::NAME),
        _ => {}
    }
    turn.trouble = trouble;
}
