//! Transactions that were decided and not completed, because a process died or Redis did not answer.

use crate::schedule::Scan;
use anyhow::Context as _;
use coordinator::Recovered;
use ordering::{
    engine::Recovery,
    leases::{Held, Leases},
};
use std::time::Duration;

/// A scan that has not renewed its lease for so long is gone.
const LEASE: Duration = Duration::from_secs(5);
/// Batches a turn, at most: beyond it the backlog's figures would grow old.
const BATCHES: usize = 40;

/// Batches a turn that may finish nothing: what waits for one participant does not hide what another would do at once.
const FRUITLESS: usize = 3;

/// Completes unfinished transactions.
pub struct Unfinished {
    recovery: Recovery,
    leases: Leases,
}

impl Unfinished {
    /// Completes through `recovery`, one process at a time.
    #[must_use]
    pub fn new(recovery: Recovery, leases: Leases) -> Self {
        Self { recovery, leases }
    }
}

impl Scan for Unfinished {
    const NAME: &'static str = "unfinished_transactions";

    async fn run_once(&mut self) -> anyhow::Result<()> {
        let work = async {
            let mut fruitless = 0;
            for _ in 0..BATCHES {
                let recovered = self.recovery.run_batch().await?;
                if recovered.finished + recovered.telling == 0 {
                    fruitless += 1;
                }
                if recovered == Recovered::default() || fruitless == FRUITLESS {
                    break;
                }
            }
            Ok::<_, sqlx::Error>(())
        };
        match self
            .leases
            .under(Self::NAME, LEASE, work)
            .await
            .context("MySQL gives no lease")?
        {
            Held::Done(done) => done.context("MySQL does not let transactions be completed")?,
            Held::Busy | Held::Lost => {}
        }
        self.recovery
            .observe()
            .await
            .context("MySQL does not tell what is unfinished")
    }
}
