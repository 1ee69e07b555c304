//! A transaction that is stuck gets its dead letter: a row in the archive that lists what is not done, and an urgent alert.
//!
//! What was decided stays decided: the order of a stuck commit stays confirmed, and nothing here is given back or tried again. A
//! person resumes the transaction once what fails is mended; it goes on the way it was decided.
//!
//! Row, alert and the note that both are there are one database transaction, in which the transaction's row is locked: whoever dies
//! leaves all of it or nothing, and of several at once each takes others. Stuck again after it was resumed, it is told of again.

use super::{Step, Tools, telling};
use anyhow::Context as _;
use compensation::{
    archive::{
        self,
        transaction::{NOT_KNOWN, StuckTransaction, Uncompensated},
    },
    attempt::{Attempt, FAILED, Lane},
};
use coordinator::{
    BranchState, Direction, Participant as _,
    control::{self, BranchDetails, Details},
};
use sqlx::MySqlConnection;
use tracing::info;

/// Transactions archived at once: a few rows and their alerts each.
const AT_ONCE: u32 = 50;
/// The answer to a call that did what it was for.
const DONE: &str = "done";

/// Archives transactions that are stuck.
pub struct StuckTransactions(Tools);

impl StuckTransactions {
    /// Any number may run at once, in any process.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self(tools)
    }

    /// Archives what is stuck and has no dead letter yet; how much that was.
    ///
    /// # Errors
    /// When MySQL does not take it; nothing was archived then.
    pub async fn run_batch(&self) -> anyhow::Result<usize> {
        let tools = &self.0;
        let mut tx = tools.db.begin().await?;
        let stuck = control::stuck_to_hand_over(&mut tx, AT_ONCE)
            .await
            .context("MySQL does not tell which transactions are stuck")?;
        if stuck.is_empty() {
            return Ok(0);
        }
        tools.passed(Step::FoundStuck).await;
        for one in &stuck {
            self.put_away(&mut tx, one).await?;
        }
        let gids: Vec<_> = stuck.iter().map(|one| one.transaction.gid).collect();
        control::handed_over(&mut tx, &gids).await?;
        tools.passed(Step::LetterWritten).await;
        tx.commit().await?;
        for gid in gids {
            info!(gid = %gid, "Transaction {gid}, which is stuck, was archived: a person has to resume it");
        }
        tools.passed(Step::HandedOver).await;
        Ok(stuck.len())
    }

    async fn put_away(&self, tx: &mut MySqlConnection, details: &Details) -> anyhow::Result<()> {
        let tools = &self.0;
        let known = self.known(details);
        let calls = not_done(details).flat_map(calls).collect();
        let what = known.to_archive(&details.payload, calls, details.transaction.created_at);
        let kept = tools.store.keep_now(&what).await?;
        archive::put(&mut *tx, &what, &kept).await?;
        tools.tell(tx, &telling::stuck(what.id, &known)).await?;
        Ok(())
    }

    fn known(&self, details: &Details) -> StuckTransaction {
        let transaction = &details.transaction;
        StuckTransaction {
            gid: transaction.gid.as_uuid(),
            kind: transaction.kind.clone(),
            label: transaction.label.as_uuid(),
            state: transaction.state.to_string(),
            direction: match transaction.direction {
                Some(Direction::RollBack) => "roll_back",
                Some(Direction::Commit) | None => "commit",
            }
            .to_owned(),
            epoch: transaction.epoch,
            reason: transaction.reason.clone(),
            attempts: transaction.attempts,
            last_error: transaction.last_error.clone(),
            uncompensated: self.uncompensated(details),
        }
    }

    /// The participants that are known not to have done their part; and the one inside, of which nothing is recorded as long as it
    /// did not fail, where nobody is known to have called it either.
    fn uncompensated(&self, details: &Details) -> Vec<Uncompensated> {
        let mut owed: Vec<_> = not_done(details).map(owed).collect();
        let inside = self.0.stock.name();
        let is_recorded = details.branches.iter().any(|it| it.participant == inside);
        if !is_recorded && (owed.is_empty() || details.transaction.attempts == 0) {
            owed.push(Uncompensated {
                participant: inside.to_owned(),
                state: NOT_KNOWN.to_owned(),
                attempts: 0,
                last_error: None,
            });
        }
        owed
    }
}

/// For whoever refused nothing is left to do.
fn not_done(details: &Details) -> impl Iterator<Item = &BranchDetails> {
    let is_over = |state| matches!(state, BranchState::Done | BranchState::Refused);
    details
        .branches
        .iter()
        .filter(move |branch| !is_over(branch.state))
}

fn owed(branch: &BranchDetails) -> Uncompensated {
    Uncompensated {
        participant: branch.participant.clone(),
        state: branch.state.to_string(),
        attempts: branch.attempts,
        last_error: branch.last_error.clone(),
    }
}

/// The latest calls to a participant, as the archive's history keeps them.
fn calls(branch: &BranchDetails) -> Vec<Attempt> {
    let kept = u32::try_from(branch.history.len()).unwrap_or(u32::MAX);
    let before = branch.attempts.saturating_sub(kept);
    let numbered = (before + 1..).zip(&branch.history);
    numbered
        .map(|(number, call)| Attempt {
            generation: 0,
            attempt: number,
            lane: Lane::Call,
            started_at: call.at,
            duration_ms: u32::try_from(call.took_ms).unwrap_or(u32::MAX),
            worker: branch.participant.clone(),
            outcome: if call.answer == DONE { DONE } else { FAILED }.to_owned(),
            error: Some(format!("{}: {}", call.op, call.answer)),
            next_after_ms: None,
        })
        .collect()
}
