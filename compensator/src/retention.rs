//! What nobody can ask for again, removed a few rows at a time so that those who work never wait: finished transactions, settled work,
//! lines of its log, alerts that arrived, and what was handled in the archive.

use crate::{
    findings::Findings,
    schedule::{Scan, under_lease},
};
use anyhow::Context as _;
use compensation::archive::{Expiry, StoreError};
use ordering::leases::Leases;
use std::time::Duration;

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

    async fn remove(&self) -> anyhow::Result<Findings> {
        let (mut transactions, mut work) = (0, 0);
        let mut more = true;
        for _ in 0..BATCHES {
            let removed = async {
                let of_transactions = self.transactions.run_batch().await?;
                let of_work = self.work.run_batch().await?;
                Ok::<_, sqlx::Error>((of_transactions, of_work))
            };
            let (of_transactions, of_work) = removed
                .await
                .context("MySQL does not let old records be removed")?;
            transactions += of_transactions;
            work += of_work;
            more = of_transactions + of_work > 0;
            if !more {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        let archived = self
            .archived()
            .await
            .context("what was handled in the archive is not removed yet")?;
        let mut findings = Findings::nothing()
            .count("archived", archived)
            .count("transactions", transactions)
            .count("settled_work_tries_and_alerts", work);
        if transactions + work > 0 {
            findings = findings.did(format!(
                "Removed {transactions} old transactions, and {work} rows of settled work, tries and alerts"
            ));
        }
        if archived > 0 {
            findings = findings.did(format!(
                "Removed {archived} rows and messages from the archive"
            ));
        }
        Ok(match (more, transactions + work + archived) {
            (true, _) => findings.found("There is more to remove: the next turn goes on"),
            (false, 0) => findings.found("Nothing is old enough to be removed"),
            (false, _) => findings.found("Nothing more is old enough to be removed"),
        })
    }
}

impl OldRecords {
    /// Last: an archive that is down keeps nothing else from going. How many rows, and messages that no row named.
    async fn archived(&self) -> Result<u64, StoreError> {
        let mut removed = 0;
        for _ in 0..BATCHES {
            let batch = self.archive.run_batch().await?;
            removed += batch;
            if batch == 0 {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(removed + self.archive.sweep().await?)
    }
}

impl Scan for OldRecords {
    const NAME: &'static str = "old_records";

    async fn run_once(&mut self) -> anyhow::Result<Findings> {
        under_lease(&self.leases, Self::NAME, self.remove()).await
    }
}
