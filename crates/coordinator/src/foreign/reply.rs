//! What a foreign participant is asked, and what its answers mean.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// How a participant takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// It reserves first: try, then confirm or cancel.
    Tcc,
    /// It acts at once, and takes it back where the transaction is rolled back: action, then compensate.
    Saga,
}

/// Where a transaction is when a participant is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It is asked for its promise.
    Ask,
    /// The decision was to commit.
    Commit,
    /// The decision was to roll back.
    RollBack,
}

/// What a participant is called for; its name travels with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Reserve.
    Try,
    /// Make the reservation good.
    Confirm,
    /// Give the reservation back.
    Cancel,
    /// Do it.
    Action,
    /// Undo it.
    Compensate,
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done, now or before.
    Done,
    /// Surely not done, and never will be: a short code of at most 64 letters, digits, '_', '-', '.' and ':'.
    No(String),
    /// Still at it: ask again, after so long where it said so: from 0.1 s to a minute.
    Running(Option<Duration>),
    /// It may have been done or not.
    Unknown(String),
    /// It is known to be away, or asks to be left alone, so long where that is known. Says nothing of the branch: mostly it was not
    /// called, but what stands in its way may say so too, of a call that got through.
    Away(String, Option<Duration>),
}

/// One call as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// When it began, by this process's clock.
    pub at: DateTime<Utc>,
    /// How long it took, the wait for its turn not counted.
    pub took: Duration,
    /// What came of it.
    pub reply: Reply,
}

impl Op {
    /// As it stands in a request's path and headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Try => "try",
            Self::Confirm => "confirm",
            Self::Cancel => "cancel",
            Self::Action => "action",
            Self::Compensate => "compensate",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Called {
    /// Whether a request was sent: only then it says anything of the branch.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        !(matches!(self.reply, Reply::Away(..)) && self.took.is_zero())
    }
}

impl Style {
    /// What a participant of this style is called for; nothing where there is nothing to do: what a saga did stays done.
    #[must_use]
    pub const fn op(self, phase: Phase) -> Option<Op> {
        Some(match (self, phase) {
            (Self::Tcc, Phase::Ask) => Op::Try,
            (Self::Tcc, Phase::Commit) => Op::Confirm,
            (Self::Tcc, Phase::RollBack) => Op::Cancel,
            (Self::Saga, Phase::Ask) => Op::Action,
            (Self::Saga, Phase::Commit) => return None,
            (Self::Saga, Phase::RollBack) => Op::Compensate,
        })
    }
}
