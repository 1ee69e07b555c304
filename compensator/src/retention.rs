//! Finished transactions that nobody can ask for again, removed a few at a time so that those who decide never wait.

use crate::schedule::Scan;
use anyhow::Context as _;
use coordinator::Retention;
use ordering::leases::{Held, Leases};
use std::time::Duration;

/// A scan that has not renewed its lease for so long is gone.
const LEASE: Duration = Duration::from_secs(5);
/// Batches a turn, at most: 100,000 transactions a minute, more than are ever decided for long.
const BATCHES: usize = 100;
/// Room for everybody else between two batches.
const PAUSE: Duration = Duration::from_millis(50);

/// Removes finished transactions.
pub struct OldTransactions {
    retention: Retention,
    leases: Leases,
}

impl OldTransactions {
    /// Removes through `retention`, one process at a time.
    #[must_use]
    pub const fn new(retention: Retention, leases: Leases) -> Self {
        Self { retention, leases }
    }
}

impl Scan for OldTransactions {
    const NAME: &'static str = "old_transactions";

    async fn run_once(&mut self) -> anyhow::Result<()> {
        let work = async {
            for _ in 0..BATCHES {
                if self.retention.run_batch().await? == 0 {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
            Ok::<_, sqlx::Error>(())
        };
        match self
            .leases
            .under(Self::NAME, LEASE, work)
            .await
            .context("MySQL gives no lease")?
        {
            Held::Done(done) => done.context("MySQL does not let old transactions be removed"),
            Held::Busy | Held::Lost => Ok(()),
        }
    }
}
