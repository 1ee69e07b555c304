//! Keeps the counts of groups of failures in step with the archive.

use crate::{findings::Findings, schedule::Scan};
use anyhow::Context as _;
use compensation::archive::Counting;

/// Batches a turn, at most: the turn after goes on.
const BATCHES: usize = 200;

/// Counts what changed in the archive.
pub struct Grouping(Counting);

impl Grouping {
    /// Any number may run at once, in any process.
    #[must_use]
    pub const fn new(counting: Counting) -> Self {
        Self(counting)
    }
}

impl Scan for Grouping {
    const NAME: &'static str = "grouping";

    async fn run_once(&mut self) -> anyhow::Result<Findings> {
        for _ in 0..BATCHES {
            let counted = self
                .0
                .run_batch()
                .await
                .context("MySQL does not let archived rows be counted in their groups")?;
            if counted == 0 {
                break;
            }
        }
        Ok(Findings::nothing())
    }
}
