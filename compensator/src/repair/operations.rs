//! Moves on what operators asked for on many orders at once, a little at a time: selects items, adds up what has ended, begins as many
//! as rate and ladder let it. What is begun is carried out by [`super::Replays`].
//!
//! A tick is one transaction under the operation's row, so any number of processes keep one rate, and one that dies in the middle of
//! a tick did nothing of it.

use super::{Step, Tools, audited::write_down};
use anyhow::Context as _;
use audit::{Entry, Outcome};
use compensation::operations::{
    State,
    tick::{self, Due},
};
use sqlx::MySqlConnection;
use tracing::{info, warn};

/// Operations that may be looked at before the lane rests.
const TURNS: usize = 20;

/// Moves operations on.
pub struct Operations(Tools);

impl Operations {
    /// Any number may run at once, in any process.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self(tools)
    }

    /// Gives those that are due a turn each; how many selected or began items, and so have more to do.
    ///
    /// # Errors
    /// When nothing could be looked at.
    pub async fn run_batch(&self) -> anyhow::Result<usize> {
        let mut busy = 0;
        for _ in 0..TURNS {
            match self.turn().await? {
                None => break,
                Some(moved) => busy += usize::from(moved),
            }
        }
        Ok(busy)
    }

    /// One turn of the one that is due the longest: whether it selected something. `None`: nothing is due.
    async fn turn(&self) -> anyhow::Result<Option<bool>> {
        let tools = &self.0;
        let mut tx = tools.db.begin().await?;
        let Some(mut due) = tick::due(&mut tx)
            .await
            .context("MySQL does not give the operations that are due")?
        else {
            // What cannot be read was put off.
            tx.commit().await?;
            return Ok(None);
        };
        let before = due.state;
        match self.move_on(&mut tx, &mut due).await {
            Ok(moved) => {
                tx.commit().await?;
                if due.state != before {
                    tell(&due);
                }
                Ok(Some(moved))
            }
            Err(cause) => {
                tx.rollback().await?;
                tick::put_off(&tools.db, due.id).await?;
                warn!(operation.id = %due.id, "Operation {} has to wait: {cause:#}", due.id);
                Ok(Some(false))
            }
        }
    }

    async fn move_on(&self, db: &mut MySqlConnection, due: &mut Due) -> anyhow::Result<bool> {
        if due.state == State::Waiting && !due.selected_all {
            tick::select_some(&mut *db, due).await?;
            self.0.passed(Step::Selected).await;
            tick::save(db, due).await?;
            return Ok(true);
        }
        let before = due.state;
        let ends = tick::add_up(&mut *db, due).await?;
        tick::judge(due)?;
        let begun = tick::begin_some(&mut *db, due).await?;
        tick::save(&mut *db, due).await?;
        if begun > 0 {
            self.0.passed(Step::Begun).await;
        }
        write_down(db, &ends)
            .await
            .context("the ends of its items cannot be written down in the audit")?;
        if due.state == State::Expired && before != State::Expired {
            expired(db, due)
                .await
                .context("that nobody confirmed it cannot be written down in the audit")?;
        }
        if !ends.all().is_empty() {
            self.0.passed(Step::AddedUp).await;
        }
        Ok(false)
    }
}

/// Writes down that nobody confirmed it, as the last that is done in the turn.
async fn expired(db: &mut MySqlConnection, due: &Due) -> sqlx::Result<()> {
    let entry = Entry {
        operator: "",
        role: "",
        act: "operation.expire",
        subject: &due.id.to_string(),
        outcome: Outcome::Refused,
        detail: "no second operator confirmed it in time: nothing was done",
        address: "",
        operation: Some(due.id),
    };
    audit::record(db, entry).await
}

fn tell(due: &Due) {
    let (id, counts) = (due.id, &due.counts);
    info!(
        operation.id = %id,
        "Operation {id} is {}: {} of {} items have ended, {} failed again, {} were refused",
        due.state,
        counts.ended(),
        counts.selected,
        counts.archived,
        counts.refused
    );
}
