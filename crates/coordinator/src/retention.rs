//! Forgets finished transactions once nobody can ask for them again.
//!
//! A gid is known by its row; without it, the last resource is the barrier (`AlreadySettled`). So rows are kept for longer than any
//! message that carries their gid. They go in small batches by primary key, found by the index that recovery goes by: a row that
//! finished long ago is touched by nobody else, and no lock is held for longer than a few hundred deletions.

use crate::{ids::Gid, log, state::Direction};
use sqlx::MySqlPool;
use std::time::Duration;

/// Rows deleted by one statement.
const BATCH: u32 = 500;

/// Removes what finished long ago. Any number may run at once, in any process: one of them deletes a row.
pub struct Retention {
    db: MySqlPool,
    keep: Duration,
}

impl Retention {
    /// Keeps what finished within `keep`, by the database's clock; at least as long as messages are kept. `db` must be a pool at
    /// READ COMMITTED.
    #[must_use]
    pub const fn new(db: MySqlPool, keep: Duration) -> Self {
        Self { db, keep }
    }

    /// Removes up to 500 transactions of each direction, those that are oldest. Tells how many; call it again while it removes any,
    /// with a pause.
    ///
    /// # Errors
    /// What the database says. What was removed stays removed.
    pub async fn run_batch(&self) -> sqlx::Result<u64> {
        let mut removed = 0;
        for direction in [Direction::Commit, Direction::RollBack] {
            let gids: Vec<Gid> =
                log::finished_before(&self.db, direction, self.keep, BATCH).await?;
            removed += log::forget(&self.db, direction, self.keep, &gids).await?;
        }
        Ok(removed)
    }
}
