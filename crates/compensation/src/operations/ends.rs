//! What has ended and has to be told: each item of an operation has its line in the audit, written with the end of the item, or, of an
//! operation on many, with its being added up.
//!
//! Who writes it is the caller's matter: it is the last thing the transaction does, and here nobody knows what else is in it.

use super::Kind;
use uuid::Uuid;

/// Items that have ended. Whoever gets them writes them down in the same transaction.
#[must_use = "the end of an item has its line in the audit, in the same transaction"]
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ends(Vec<End>);

/// An item that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Its operation.
    pub operation: Uuid,
    /// What was to be done to it.
    pub kind: Kind,
    /// Who asked for that.
    pub asked_by: String,
    /// What it was to be done to.
    pub archive_id: Uuid,
    /// How it ended: `confirmed`, `rejected`, `archived`, `refused`, `discarded`.
    pub state: String,
    /// Why it ended so.
    pub reason: Option<String>,
}

impl Ends {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[End] {
        &self.0
    }

    /// With those.
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }
}

impl FromIterator<End> for Ends {
    fn from_iter<T: IntoIterator<Item = End>>(ends: T) -> Self {
        Self(ends.into_iter().collect())
    }
}
