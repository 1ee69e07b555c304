//! The moments between which a process may die. A test stops the lanes at each of them in turn; in production nobody watches.

use super::Tools;
use futures::future::BoxFuture;
use std::sync::Arc;

/// What was just done, and is not followed up yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// MySQL has what was handed on; its offset is not committed.
    TakenIn,
    /// A try was made; nothing about it is written.
    Tried,
    /// A failed try is written; the dead letter is not published.
    WrittenDown,
    /// The dead letter is on its topic; MySQL does not know.
    Published,
    /// The order is `failed`; the archive has no row.
    GivenUp,
    /// The archive keeps the message; no row names it.
    Kept,
    /// A replay has its units; it is in no queue.
    Reserved,
    /// Items of an operation are written; nothing is committed.
    Selected,
    /// Items of an operation are claimed; nothing is committed.
    Begun,
    /// What a reconcile is about to do elsewhere is noted; it is not done.
    Noted,
    /// It is done; the truth was not looked at again.
    Mended,
    /// Items of an operation that have ended are added up, and in the audit; nothing is committed.
    AddedUp,
    /// A stuck transaction is read and locked; nothing of it is written.
    FoundStuck,
    /// Its dead letter and its alert are written; nothing is committed.
    LetterWritten,
    /// All of it is committed.
    HandedOver,
}

impl Step {
    /// Those of an order, in the order of its way.
    pub const ALL: [Self; 7] = [
        Self::TakenIn,
        Self::Tried,
        Self::WrittenDown,
        Self::Published,
        Self::GivenUp,
        Self::Kept,
        Self::Reserved,
    ];

    /// Those of an operation on many.
    pub const OF_AN_OPERATION: [Self; 4] =
        [Self::Selected, Self::Begun, Self::Reserved, Self::AddedUp];

    /// Those of a reconcile.
    pub const OF_A_RECONCILE: [Self; 2] = [Self::Noted, Self::Mended];

    /// Those of a transaction that is stuck.
    pub const OF_A_STUCK_TRANSACTION: [Self; 3] =
        [Self::FoundStuck, Self::LetterWritten, Self::HandedOver];
}

/// Told of each step, and waited for.
pub type Observer = Arc<dyn Fn(Step) -> BoxFuture<'static, ()> + Send + Sync>;

impl Tools {
    pub(super) async fn passed(&self, step: Step) {
        if let Some(observer) = &self.observer {
            observer(step).await;
        }
    }
}
