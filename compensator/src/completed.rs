//! Dead letters of transactions that went on and finished: nothing is left to do, and the archive says so.

use crate::{findings::Findings, schedule::Scan};
use anyhow::Context as _;
use compensation::archive::transaction::{self, Open};
use coordinator::{Gid, TxState, control};
use sqlx::MySqlPool;
use tracing::info;
use uuid::Uuid;

/// Rows a turn looks at. The next turn goes on behind them.
const AT_ONCE: u32 = 200;

/// Closes the archive's rows of transactions that finished.
pub struct Completed {
    db: MySqlPool,
    /// The last row of the turn before.
    after: Option<Uuid>,
}

impl Completed {
    /// Looks through `db`. Any number may run at once, in any process.
    #[must_use]
    pub const fn new(db: MySqlPool) -> Self {
        Self { db, after: None }
    }

    async fn look(&self, row: Open) -> sqlx::Result<()> {
        let found = control::get(&self.db, Gid::from_uuid(row.gid)).await?;
        // Retention removes only what has finished.
        let finished = found.is_none_or(|it| is_final(it.transaction.state));
        if finished {
            transaction::completed(&mut *self.db.acquire().await?, row.id).await?;
            info!(gid = %row.gid, "Transaction {}, which was stuck, has finished", row.gid);
        }
        Ok(())
    }
}

const fn is_final(state: TxState) -> bool {
    matches!(state, TxState::Committed | TxState::RolledBack)
}

impl Scan for Completed {
    const NAME: &'static str = "completed_transactions";

    async fn run_once(&mut self) -> anyhow::Result<Findings> {
        let rows = transaction::open(&self.db, self.after, AT_ONCE)
            .await
            .context("MySQL does not tell which transactions were archived")?;
        for row in &rows {
            self.look(*row)
                .await
                .context("MySQL does not tell how archived transactions stand")?;
        }
        let more = rows.len() == AT_ONCE as usize;
        self.after = rows.last().filter(|_| more).map(|row| row.id);
        Ok(Findings::nothing())
    }
}
