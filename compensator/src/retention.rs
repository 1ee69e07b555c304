//! What nobody can ask for again, removed a few rows at a time so that those who work never wait: finished transactions, settled work,
//! lines of its log, alerts that arrived, and what was handled in the archive.

use crate::schedule::Scan;
use anyhow::Context as _;
use compensation::archive::Expiry;
use ordering::leases::{Held, Leases};
use std::time::Duration;

/// A scan that has not renewed its lease for so long is gone.
const LEASE: Duration = Duration::from_secs(5);
/// Batches a turn, at most: 100,000 transactions a minute, more than are ever decided for long.
const BATCHES: usize = 100;
/// Room for everybody else between two batches.
const PAUSE: Duration = Duration::from_millis(50);

/// Removes old records.
pub struct OldRecords {
    transactions: coordinator::Retention,
    work: compensation::retention::Retention,
    archive: Expiry,
    leases: Leases,
}

impl OldRecords {
    /// Removes through these, one process at a time.
    #[must_use]
    pub const fn new(
        transactions: coordinator::Retention,
        work: compensation::retention::Retention,
        archive: Expiry,
        leases: Leases,
    ) -> Self {
        Self {
            transactions,
            work,
            archive,
            leases,
        }
    }
}

impl OldRecords {
    /// Last: an archive that is down keeps nothing else from going.
    async fn archived(&self) -> anyhow::Result<()> {
        for _ in 0..BATCHES {
            if self.archive.run_batch().await? == 0 {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.archive.sweep().await?;
        Ok(())
    }
}

impl Scan for OldRecords {
    const NAME: &'static str = "old_records";

    async fn run_once(&mut self) -> anyhow::Result<()> {
        let work = async {
            for _ in 0..BATCHES {
                if self.transactions.run_batch().await? + self.work.run_batch().await? == 0 {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
            anyhow::Ok(self.archived().await?)
        };
        match self
            .leases
            .under(Self::NAME, LEASE, work)
            .await
            .context("MySQL gives no lease")?
        {
            Held::Done(done) => done.context("old records cannot be removed"),
            Held::Busy | Held::Lost => Ok(()),
        }
    }
}
