//! What the engine needs from those it makes agree.

use crate::{
    foreign::ForeignParticipants,
    transaction::{Answer, Completion, Ruling, Transaction, Vote, Work},
};
use futures::future::BoxFuture;
use sqlx::MySqlConnection;
use std::sync::Arc;

/// One resource that takes part in transactions: it can promise, then apply or undo, each as often as it is asked.
///
/// Calls are batches; the answers stand in the order of the batch, one each. A participant bounds its own waiting.
pub trait Participant<W: Work>: Send + Sync + 'static {
    /// Its name in logs and metrics.
    fn name(&self) -> &'static str;

    /// Asks for promises. Where the last resource decides alone, no answer is [`Vote::Yes`], and so is a panic.
    fn prepare<'a>(&'a self, batch: &'a [Transaction<W>]) -> BoxFuture<'a, Vec<Vote>>;

    /// Applies or undoes branches that were decided. What it gives no answer for is [`Answer::NotYet`]; a panic is
    /// [`Answer::Failed`].
    fn complete<'a>(&'a self, batch: &'a [Completion<W::Branch>]) -> BoxFuture<'a, Vec<Answer>>;
}

/// Everyone an engine makes agree, but the last resource: an engine and its recoveries have the same.
pub struct Participants<W: Work> {
    pub(crate) own: Vec<Arc<dyn Participant<W>>>,
    pub(crate) foreign: ForeignParticipants,
}

impl<W: Work> Participants<W> {
    /// With these foreign ones besides; each takes part where [`Work::foreign`] names it.
    #[must_use]
    pub fn and_foreign(mut self, foreign: ForeignParticipants) -> Self {
        self.foreign = foreign;
        self
    }
}

/// These take part in every transaction.
impl<W: Work> From<Vec<Arc<dyn Participant<W>>>> for Participants<W> {
    fn from(own: Vec<Arc<dyn Participant<W>>>) -> Self {
        Self {
            own,
            foreign: ForeignParticipants::default(),
        }
    }
}

/// A transaction before the last resource, with what the participants said.
#[derive(Debug, Clone)]
pub struct Ballot<W> {
    /// The transaction.
    pub transaction: Transaction<W>,
    /// The first participant's no, if there was one: then it may only be refused, for this reason.
    pub refused: Option<String>,
}

/// The resource whose rows commit in the same database transaction as the decision.
pub trait LastResource<W: Work>: Send + Sync + 'static {
    /// Locks what it needs, rules on each ballot in order and writes the rows of its rulings. It neither commits nor rolls back.
    /// The rows of `transactions` are locked already: it locks its own after them, always in the same order.
    ///
    /// # Errors
    /// Whatever the database says; the engine classes it, rolls back and tries again as a whole or in smaller parts. A row that
    /// has to be there and is not ([`sqlx::Error::RowNotFound`]) is blamed on the ballots, and so is a panic.
    fn rule<'a>(
        &'a self,
        db: &'a mut MySqlConnection,
        ballots: &'a [Ballot<W>],
    ) -> BoxFuture<'a, Result<Vec<Ruling>, sqlx::Error>>;
}
