//! What nobody can ask for again, removed a few rows at a time so that those who work never wait: finished transactions, settled work,
//! lines of its log, alerts that arrived.

use crate::{
    findings::Findings,
    schedule::{Scan, under_lease},
};
use anyhow::Context as _;
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
    leases: Leases,
}

impl OldRecords {
    /// Removes through these, one process at a time.
    #[must_use]
    pub const fn new(
        transactions: coordinator::Retention,
        work: compensation::retention::Retention,
        leases: Leases,
    ) -> Self {
        Self {
            transactions,
            work,
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
        let mut findings = Findings::nothing()
            .count("transactions", transactions)
            .count("settled_work_tries_and_alerts", work);
        if transactions + work > 0 {
            findings = findings.did(format!(
                "Removed {transactions} old transactions, and {work} rows of settled work, tries and alerts"
            ));
        }
        Ok(match (more, transactions + work) {
            (true, _) => findings.found("There is more to remove: the next turn goes on"),
            (false, 0) => findings.found("Nothing is old enough to be removed"),
            (false, _) => findings.found("Nothing more is old enough to be removed"),
        })
    }
}

impl Scan for OldRecords {
    const NAME: &'static str = "old_records";

    async fn run_once(&mut self) -> anyhow::Result<Findings> {
        under_lease(&self.leases, Self::NAME, self.remove()).await
    }
}
