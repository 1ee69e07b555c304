//! Finishes what an engine decided and did not complete, because it died or a participant did not answer.
//!
//! Any number of these may run at once, in any process: rows are claimed with a lease by the database's clock, and a
//! completing call that was applied before changes nothing.

use crate::{
    engine::complete_branches,
    log,
    metrics::{TX_OLDEST_UNFINISHED_SECONDS, TX_UNFINISHED},
    participant::Participant,
    state::{Direction, TxState},
    transaction::{Completion, Work},
};
use metrics::gauge;
use sqlx::MySqlPool;
use std::{sync::Arc, time::Duration};
use tracing::error;

/// Transactions claimed at once.
const BATCH: u32 = 500;

/// How recovery paces itself.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long claimed rows are left alone by others: longer than a participant may take to answer.
    pub lease: Duration,
    /// When a row that could not be finished is looked at again.
    pub again_after: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            again_after: Duration::from_secs(1),
        }
    }
}

/// See the module's documentation.
pub struct Recovery<W: Work> {
    db: MySqlPool,
    participants: Vec<Arc<dyn Participant<W>>>,
    pace: Pace,
}

/// What a run of [`Recovery::run_batch`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// Transactions that are finished now.
    pub finished: usize,
    /// Transactions that stay unfinished for now.
    pub waiting: usize,
}

impl<W: Work> Recovery<W> {
    /// `db` must be a pool at READ COMMITTED.
    #[must_use]
    pub fn new(db: MySqlPool, participants: Vec<Arc<dyn Participant<W>>>, pace: Pace) -> Self {
        Self {
            db,
            participants,
            pace,
        }
    }

    /// Claims due transactions of both directions, oldest first, and completes them. Call it again while it finishes any.
    ///
    /// # Errors
    /// What the database says; what was claimed comes back after its lease.
    pub async fn run_batch(&self) -> sqlx::Result<Recovered> {
        let (commits, rollbacks) = tokio::try_join!(
            self.run_direction(Direction::Commit),
            self.run_direction(Direction::RollBack)
        )?;
        Ok(Recovered {
            finished: commits.finished + rollbacks.finished,
            waiting: commits.waiting + rollbacks.waiting,
        })
    }

    /// Publishes how much is unfinished, and for how long.
    ///
    /// # Errors
    /// What the database says.
    pub async fn observe(&self) -> sqlx::Result<()> {
        let backlog = log::backlog(&self.db).await?;
        for state in TxState::ALL
            .into_iter()
            .filter(|state| !matches!(state, TxState::Committed | TxState::RolledBack))
        {
            let count = backlog
                .iter()
                .find(|row| row.state == state.as_str())
                .map_or(0, |row| row.count);
            gauge!(TX_UNFINISHED, "state" => state.as_str()).set(count as f64);
        }
        let oldest = backlog
            .iter()
            .map(|row| row.oldest_s)
            .max()
            .unwrap_or_default();
        gauge!(TX_OLDEST_UNFINISHED_SECONDS).set(oldest as f64);
        Ok(())
    }

    async fn run_direction(&self, direction: Direction) -> sqlx::Result<Recovered> {
        let due = log::claim_due(&self.db, direction, self.pace.lease, BATCH).await?;
        if due.is_empty() {
            return Ok(Recovered {
                finished: 0,
                waiting: 0,
            });
        }
        let mut unreadable = Vec::new();
        let mut branches = Vec::with_capacity(due.len());
        for row in due {
            match serde_json::from_str::<W::Branch>(&row.payload) {
                Ok(branch) => branches.push(Completion {
                    gid: row.gid,
                    direction,
                    epoch: row.epoch,
                    branch,
                }),
                Err(cause) => {
                    error!(gid = %row.gid, "The payload of transaction {} cannot be read: {cause}", row.gid);
                    unreadable.push((row.gid, format!("unreadable payload: {cause}")));
                }
            }
        }
        let completed = complete_branches(&self.participants, &branches).await;
        let mut session = self.db.acquire().await?;
        let finished = completed.done.values().map(Vec::len).sum();
        for (direction, gids) in &completed.done {
            log::finish(&mut session, *direction, gids).await?;
        }
        let not_yet: Vec<_> = completed.not_yet.into_iter().chain(unreadable).collect();
        if let Some((_, why)) = not_yet.first() {
            let gids: Vec<_> = not_yet.iter().map(|(gid, _)| *gid).collect();
            log::postpone(&mut session, &gids, self.pace.again_after, Some(why)).await?;
        }
        Ok(Recovered {
            finished,
            waiting: not_yet.len(),
        })
    }
}
