//! One try at work that failed, as it is kept for ever: in the history of its order, in the log, in the archive.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Where a try was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// By whoever took the work first.
    First,
    /// From the retry queue.
    Retry,
    /// As a dead letter.
    DeadLetter,
    /// Not a try of the work: it was given up, or that failed.
    Archive,
    /// A call to a participant of a transaction that is stuck. Its worker is the participant.
    Call,
}

impl Lane {
    /// How it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Retry => "retry",
            Self::DeadLetter => "dead_letter",
            Self::Archive => "archive",
            Self::Call => "call",
        }
    }
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// 0 is the buyer's own request; each replay is the next one.
    pub generation: u32,
    /// Of this generation, the first being 1.
    pub attempt: u32,
    /// Where it was made.
    pub lane: Lane,
    /// By the clock of the process that made it.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub duration_ms: u32,
    /// The process that made it.
    pub worker: String,
    /// `failed`, or how the work was settled.
    pub outcome: String,
    /// What went wrong.
    pub error: Option<String>,
    /// How long until the next try; nothing where there is none.
    pub next_after_ms: Option<u64>,
}

/// The longest error a history keeps, in characters.
const ERROR_AT_MOST: usize = 1_000;
/// The longest name of a worker that is kept.
const WORKER_AT_MOST: usize = 64;

impl Attempt {
    /// The same with texts as long as the log's columns take.
    #[must_use]
    pub fn fit_to_be_stored(mut self) -> Self {
        self.error = self
            .error
            .map(|error| error.chars().take(ERROR_AT_MOST).collect());
        self.worker = self.worker.chars().take(WORKER_AT_MOST).collect();
        self
    }
}

/// The outcome of a try that failed.
pub const FAILED: &str = "failed";

/// Every try of every generation so far, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(Vec<Attempt>);

impl History {
    /// Reads what [`History::to_json`] wrote.
    ///
    /// # Errors
    /// When it is no history.
    pub fn from_json(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// How it is stored.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self)
            .unwrap_or_else(|cause| unreachable!("a history is plain data: {cause}"))
    }

    /// Adds the latest one.
    pub fn push(&mut self, attempt: Attempt) {
        self.0.push(attempt);
    }

    /// The same with a later one.
    #[must_use]
    pub fn and(&self, attempt: Attempt) -> Self {
        let mut longer = self.clone();
        longer.push(attempt);
        longer
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.0
    }

    /// How often the work itself was tried, all generations together.
    #[must_use]
    pub fn tries(&self) -> u32 {
        let tries = self
            .0
            .iter()
            .filter(|attempt| attempt.lane != Lane::Archive);
        u32::try_from(tries.count()).unwrap_or(u32::MAX)
    }

    /// When the first try was made.
    #[must_use]
    pub fn began_at(&self) -> Option<DateTime<Utc>> {
        self.0.first().map(|attempt| attempt.started_at)
    }
}
