//! The public engine: what callers ask for. Its mind is the core, its hands carry out what that decides, and a task between them
//! hands on events and effects.

mod driver;
mod hands;

use crate::{
    core::{Limits, ToBegin, Wanted},
    ids::Gid,
    participant::{Ballot, LastResource, Participants},
    sessions::Sessions,
    state::TxState,
    transaction::{Outcome, SubmitError, Transaction, Work},
};
use driver::{Caller, drive};
use hands::{Found, Hands};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

/// The reason of a transaction that was rolled back without another one.
const ROLLED_BACK: &str = "rolled_back";

/// Decides transactions, gathered into batches. Cloning shares it; dropping the last clone lets it finish and end.
pub struct Engine<W: Work> {
    inbox: mpsc::Sender<Wanted<W, Caller>>,
    hands: Arc<Hands<W>>,
    tasks: TaskTracker,
}

impl<W: Work> Clone for Engine<W> {
    fn clone(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
            hands: Arc::clone(&self.hands),
            tasks: self.tasks.clone(),
        }
    }
}

impl<W: Work> Engine<W> {
    /// Starts the engine's task on the current runtime. Nothing is opened before the first transaction.
    #[must_use]
    pub fn start(
        limits: Limits,
        sessions: Sessions,
        participants: impl Into<Participants<W>>,
        last_resource: Arc<dyn LastResource<W>>,
    ) -> Self {
        let (inbox, submitted) = mpsc::channel(limits.batch_size.max(1));
        let tasks = TaskTracker::new();
        let hands = Hands::new(limits, sessions, participants.into(), last_resource, &tasks);
        let hands = Arc::new(hands);
        tasks.spawn(drive(limits, Arc::clone(&hands), submitted));
        Self {
            inbox,
            hands,
            tasks,
        }
    }

    /// Decides one transaction and gives its outcome once that is durable; its branches are completed afterwards, by the engine
    /// or by recovery. A repeat gets the stored outcome. Waits while the queue is full.
    ///
    /// The decision goes on when the caller goes away.
    ///
    /// # Errors
    /// [`SubmitError`]: nothing was decided, and the same transaction may be submitted again. One with foreign participants is
    /// begun then, until it is decided after all.
    pub async fn submit(&self, transaction: Transaction<W>) -> Result<Outcome, SubmitError> {
        self.decide(Ballot {
            transaction,
            refused: None,
        })
        .await
    }

    /// Writes a transaction down and asks nobody yet: it is seen from now on, and overdue after [`Limits::timeout`]. Gives its state,
    /// which is another one where it was known. To be followed by [`commit`](Self::commit) or [`roll_back`](Self::roll_back), by
    /// whomever.
    ///
    /// # Errors
    /// [`SubmitError`]: it may be written down or not, and begun again.
    pub async fn begin(&self, transaction: Transaction<W>) -> Result<TxState, SubmitError> {
        let gid = transaction.gid;
        let foreign = transaction.work.foreign();
        let to_begin = ToBegin {
            transaction,
            foreign,
        };
        let Hands {
            outside,
            overdue_after,
            ..
        } = &*self.hands;
        outside.begin(vec![to_begin], *overdue_after).await?;
        let stored = self.hands.stored(gid).await?;
        stored.map_or(Ok(TxState::Begun), |row| Ok(row.state))
    }

    /// Decides a transaction that was [begun](Self::begin): as [`submit`](Self::submit) with the same one. Of one that was decided, the
    /// stored outcome.
    ///
    /// # Errors
    /// [`DecideError`]
    pub async fn commit(&self, gid: Gid) -> Result<Outcome, DecideError> {
        match self.hands.find(gid).await? {
            Found::Undecided(transaction) => Ok(self.submit(*transaction).await?),
            Found::Decided(outcome) => Ok(outcome),
        }
    }

    /// Rolls a transaction back that was [begun](Self::begin) or left undecided, for this reason (a short code); again, the same. The
    /// last resource refuses it, and whoever may have promised is told.
    ///
    /// # Errors
    /// [`DecideError`]; [`DecideError::AlreadyCommitted`] when it was decided before: what is decided is never turned round.
    pub async fn roll_back(&self, gid: Gid, reason: Option<&str>) -> Result<(), DecideError> {
        let outcome = match self.hands.find(gid).await? {
            Found::Undecided(transaction) => {
                self.refuse(*transaction, reason.unwrap_or(ROLLED_BACK))
                    .await?
            }
            Found::Decided(outcome) => outcome,
        };
        match outcome {
            Outcome::Committed => Err(DecideError::AlreadyCommitted(gid)),
            Outcome::RolledBack { .. } => Ok(()),
        }
    }

    /// Rolls this transaction back, known or not, for this reason (a short code): the last resource may only refuse it. Of one that
    /// was decided, the stored outcome.
    ///
    /// # Errors
    /// [`SubmitError`]
    pub async fn refuse(
        &self,
        transaction: Transaction<W>,
        reason: &str,
    ) -> Result<Outcome, SubmitError> {
        self.decide(Ballot {
            transaction,
            refused: Some(reason.chars().take(64).collect()),
        })
        .await
    }

    async fn decide(&self, ballot: Ballot<W>) -> Result<Outcome, SubmitError> {
        let (caller, answer) = oneshot::channel();
        let foreign = ballot.transaction.work.foreign();
        let wanted = Wanted {
            ballot,
            foreign,
            caller,
        };
        let sent = self.inbox.send(wanted).await;
        sent.map_err(|_| SubmitError::Stopped)?;
        answer.await.unwrap_or(Err(SubmitError::Stopped))
    }

    /// Takes no more, and returns once all that was taken is decided and its completion was tried.
    pub async fn drain(self) {
        let Self { inbox, tasks, .. } = self;
        drop(inbox);
        tasks.close();
        tasks.wait().await;
    }
}

/// Why a transaction that was to be begun before was not decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// There is no such transaction, or retention removed it.
    #[error("there is no transaction {0}")]
    NotFound(Gid),
    /// It was to be rolled back, and had been committed.
    #[error("transaction {0} is committed")]
    AlreadyCommitted(Gid),
    /// Nothing was decided.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}
