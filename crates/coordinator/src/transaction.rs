//! What is coordinated, and what is said about it: votes, rulings, outcomes, completions.

use crate::{
    ids::{Gid, Label},
    state::Direction,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, time::Duration};

/// The kind of work an engine coordinates. The engine hands it through and never looks inside.
///
/// It is stored as JSON, of at most 64 KiB, while a transaction is begun and not decided: whoever finds it can go on with it.
pub trait Work: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What participants need to complete their branches, also after a crash; foreign participants are sent it. Stored with the
    /// decision as JSON of at most 1,000 bytes, so it names things and does not copy them.
    type Branch: Clone + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// A short name for operators, at most 16 ASCII characters.
    fn kind(&self) -> &'static str;

    /// What is stored for completion.
    fn branch(&self) -> Self::Branch;

    /// Names of the foreign participants it has, each once, at most 255: none, unless it says so. They are written down with it; a
    /// repeat that names others changes nothing.
    fn foreign(&self) -> Vec<String> {
        Vec::new()
    }

    /// The W3C trace context of whoever asked for it, where there is one: foreign participants and spans are told.
    fn traceparent(&self) -> Option<&str> {
        None
    }
}

/// One transaction as it is submitted.
#[derive(Debug, Clone)]
pub struct Transaction<W> {
    /// Its name: a repeat carries the same one.
    pub gid: Gid,
    /// What it contends for.
    pub label: Label,
    /// The work itself.
    pub work: W,
}

/// A participant's answer to prepare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vote {
    /// Can be completed either way; also what silence means where the last resource decides alone.
    Yes,
    /// Surely cannot be committed, and why: a short code.
    No(String),
}

/// What the last resource says of one transaction, inside the deciding database transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// The ruling.
    pub verdict: Verdict,
    /// The label's epoch, read under the lock that guards it. Stored with the decision, handed to completions.
    pub epoch: i64,
}

/// Granted, refused, or known already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its rows were written.
    Granted,
    /// Refused for this reason (a short code); its rows say so.
    Refused(String),
    /// The last resource had settled this gid before its transaction was known here: nothing is left to complete.
    AlreadySettled(Outcome),
}

/// How a transaction ended, as every caller is told, the first time and every time after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Decided to commit.
    Committed,
    /// Decided to roll back, and why: a short code.
    RolledBack {
        /// At most 64 characters.
        reason: String,
    },
}

impl Outcome {
    /// The direction of this outcome.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        match self {
            Self::Committed => Direction::Commit,
            Self::RolledBack { .. } => Direction::RollBack,
        }
    }
}

/// One branch to complete.
#[derive(Debug, Clone)]
pub struct Completion<B> {
    /// The transaction.
    pub gid: Gid,
    /// Which way it was decided.
    pub direction: Direction,
    /// The label's epoch at the decision.
    pub epoch: i64,
    /// What [`Work::branch`] gave.
    pub branch: B,
}

/// A participant's answer to a completing call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Applied, now or before.
    Done,
    /// Not now, whatever the branch: no answer, or the participant is away or being repaired. Asked again, counted as nothing, and
    /// never a reason to give up.
    NotYet(String),
    /// It was tried and failed, and why. Asked again with growing waits; after
    /// [`RetryPolicy::max_attempts`](crate::RetryPolicy::max_attempts) the transaction is stuck.
    Failed(String),
}

/// What became of one submitted transaction in a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The transaction.
    pub gid: Gid,
    /// Its stored outcome.
    pub outcome: Outcome,
    /// What this decision leaves to complete, or nothing when it was settled before.
    pub to_complete: Option<Rest>,
}

/// What is left to do once a transaction is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// The label's epoch at the decision.
    pub epoch: i64,
    /// How many foreign participants have to be told.
    pub branches: u8,
}

/// A transaction that was decided, with what is left to do.
#[derive(Debug, Clone)]
pub struct Owed<W> {
    /// The transaction.
    pub transaction: Transaction<W>,
    /// Which way it was decided.
    pub direction: Direction,
    /// What is left.
    pub rest: Rest,
}

/// What is missing from a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotPromised {
    /// Who has not promised, and why.
    pub why: String,
    /// How long it asks to be left alone, where it says so: the longest of all who have not promised.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for NotPromised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// Why [`Engine::submit`](crate::Engine::submit) gave no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The log cannot be reached or does not make progress. Nothing was decided; it is nobody's fault in the batch.
    #[error("the transaction log is unavailable: {0}")]
    Unavailable(String),
    /// This transaction alone cannot be written. Nothing was decided.
    #[error("the transaction cannot be decided: {0}")]
    CannotDecide(String),
    /// A foreign participant of this transaction has not promised. Nothing was decided; it stays begun.
    #[error("{0}")]
    NotPromised(NotPromised),
    /// The engine is stopping and took nothing new.
    #[error("the engine is stopping")]
    Stopped,
}
