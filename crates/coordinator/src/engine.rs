//! The core's hands: a task that feeds it events and carries out its effects on a real database and real participants.

use crate::{
    core::{BatchId, Core, Effect, Event, Limits, NotWritten, ToBegin, Wanted},
    decision,
    epochs::Epochs,
    ids::Gid,
    log,
    metrics::{TX_COMMIT_SECONDS, TX_TOTAL},
    outside::{self, Outside},
    participant::{Ballot, LastResource, Participant, Participants},
    sessions::Sessions,
    state::{Direction, TxState},
    trace::{Phase, span},
    transaction::{Answer, Completion, Outcome, Owed, SubmitError, Transaction, Vote, Work},
};
use futures::{FutureExt as _, future::join_all};
use metrics::{counter, histogram};
use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, debug, warn};

/// The pause before a decision whose reply was lost is read again.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// The reason of a transaction that was rolled back without another one.
const ROLLED_BACK: &str = "rolled_back";

type Caller = oneshot::Sender<Result<Outcome, SubmitError>>;

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
        let Participants { own, foreign } = participants.into();
        let hands = Arc::new(Hands {
            outside: Outside::new(foreign, sessions.clone()),
            sessions,
            participants: own,
            last_resource,
            epochs: Epochs::default(),
            overdue_after: limits.timeout,
            tasks: tasks.clone(),
        });
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

struct Hands<W: Work> {
    sessions: Sessions,
    participants: Vec<Arc<dyn Participant<W>>>,
    outside: Outside,
    last_resource: Arc<dyn LastResource<W>>,
    epochs: Epochs,
    overdue_after: Duration,
    tasks: TaskTracker,
}

/// A transaction that is known to the log.
enum Found<W> {
    Undecided(Box<Transaction<W>>),
    Decided(Outcome),
}

async fn drive<W: Work>(
    limits: Limits,
    hands: Arc<Hands<W>>,
    mut submitted: mpsc::Receiver<Wanted<W, Caller>>,
) {
    let mut core: Core<W, Caller> = Core::new(limits);
    let (done, mut happened) = mpsc::unbounded_channel();
    let started = Instant::now();
    let mut effects = Vec::new();
    let mut open = true;
    let warm = tokio::spawn(hands.sessions.clone().keep_warm());
    while open || !core.is_idle() {
        let wake_at = core.wake_at();
        let event = tokio::select! {
            Some(event) = happened.recv() => event,
            taken = submitted.recv(), if open && core.has_room() => if let Some(wanted) = taken {
                Event::Submitted(wanted)
            } else {
                open = false;
                Event::Tick
            },
            () = tokio::time::sleep_until(started + wake_at.unwrap_or_default()), if wake_at.is_some() => Event::Tick,
        };
        let now = started.elapsed();
        core.on(event, now, &mut effects);
        // What else is there already is taken together, so that a batch holds all who wait.
        while let Ok(event) = happened.try_recv() {
            core.on(event, now, &mut effects);
        }
        while core.has_room()
            && let Ok(wanted) = submitted.try_recv()
        {
            core.on(Event::Submitted(wanted), now, &mut effects);
        }
        core.start(now, &mut effects);
        for effect in effects.drain(..) {
            carry_out(&hands, effect, started, &done);
        }
    }
    warm.abort();
}

fn carry_out<W: Work>(
    hands: &Arc<Hands<W>>,
    effect: Effect<W, Caller>,
    started: Instant,
    done: &mpsc::UnboundedSender<Event<W, Caller>>,
) {
    let (hands, done) = (Arc::clone(hands), done.clone());
    let report = move |event| {
        // Nobody listens only after the engine's task ended, which waits for everything in flight.
        let _ = done.send(event);
    };
    match effect {
        Effect::Answer(caller, result) => {
            counter!(TX_TOTAL, "outcome" => outcome_label(&result)).increment(1);
            // A caller that went away is told by the next repeat.
            let _ = caller.send(result);
        }
        Effect::Begin(to_begin) => {
            let span = span(
                Phase::Begin,
                None,
                to_begin.iter().map(|one| &one.transaction),
            );
            let work = async move {
                let writing = hands.outside.begin(to_begin, hands.overdue_after);
                let written = AssertUnwindSafe(writing).catch_unwind().await;
                report(Event::Begun(written.unwrap_or_else(|_| Err(panicked()))));
            };
            tokio::spawn(work.instrument(span));
        }
        Effect::Ask(transaction, names) => {
            let span = span(Phase::Ask, None, [&transaction]);
            let work = async move {
                let asking = hands.outside.ask(&transaction, names.clone());
                let calls = AssertUnwindSafe(asking).catch_unwind().await;
                let calls = calls.unwrap_or_else(|_| outside::nobody_knows(names));
                report(Event::Asked(transaction.gid, calls));
            };
            tokio::spawn(work.instrument(span));
        }
        Effect::Note(votes) => {
            let span = span::<W>(Phase::Note, None, []);
            let work = async move { report(Event::Noted(hands.outside.note(&votes).await)) };
            tokio::spawn(work.instrument(span));
        }
        Effect::Prepare(id, batch) => {
            let span = span(Phase::Prepare, Some(id), &batch);
            let work = async move { report(Event::Prepared(id, hands.prepare(&batch).await)) };
            tokio::spawn(work.instrument(span));
        }
        Effect::Decide(id, token, ballots) => {
            let span = span(
                Phase::Decide,
                Some(id),
                ballots.iter().map(|it| &it.transaction),
            );
            let work = async move {
                let Hands {
                    sessions,
                    last_resource,
                    epochs,
                    ..
                } = &*hands;
                let committing = || report(Event::Committing(id));
                let batch = (token, ballots);
                let tried =
                    decision::try_once(sessions, &**last_resource, epochs, batch, committing).await;
                if let Some(why) = tried.why_not() {
                    warn!("A decision did not go through: {why}");
                }
                report(Event::Decided(id, tried));
            };
            tokio::spawn(work.instrument(span));
        }
        Effect::ReadBack(id, token, gids) => {
            tokio::spawn(async move {
                let read = decision::read_back(&hands.sessions, token, &gids).await;
                if let Err(why) = &read {
                    warn!("A decision whose reply was lost cannot be read back yet: {why}");
                    tokio::time::sleep(READ_AGAIN_AFTER).await;
                }
                report(Event::ReadBack(id, read));
            });
        }
        Effect::Complete(id, owed, prepared_at) => {
            let span = span(
                Phase::Complete,
                Some(id),
                owed.iter().map(|it| &it.transaction),
            );
            let prepared_at = started + prepared_at;
            let work = async move { report(hands.complete(id, owed, prepared_at).await) };
            tokio::spawn(work.instrument(span));
        }
    }
}

impl<W: Work> Hands<W> {
    async fn stored(&self, gid: Gid) -> Result<Option<log::Stored>, SubmitError> {
        let reading = async |db: &mut _| log::read(db, &[gid]).await;
        let rows = self.sessions.lend(reading).await;
        rows.map(|mut rows| rows.pop())
            .map_err(|cause| SubmitError::Unavailable(cause.to_string()))
    }

    async fn find(&self, gid: Gid) -> Result<Found<W>, DecideError> {
        let reading = async |db: &mut _| log::find_work(db, gid).await;
        match self.sessions.lend(reading).await {
            Ok(Some((label, work))) => {
                Ok(Found::Undecided(Box::new(Transaction { gid, label, work })))
            }
            Ok(None) => {
                let outcome = self.stored(gid).await?.and_then(|row| row.outcome());
                outcome
                    .map(Found::Decided)
                    .ok_or(DecideError::NotFound(gid))
            }
            Err(cause @ sqlx::Error::Decode(_)) => {
                Err(SubmitError::CannotDecide(cause.to_string()).into())
            }
            Err(cause) => Err(SubmitError::Unavailable(cause.to_string()).into()),
        }
    }

    /// All participants at once; the first no of each transaction counts.
    async fn prepare(&self, batch: &[Transaction<W>]) -> Vec<Vote> {
        let mut votes = vec![Vote::Yes; batch.len()];
        let asked = self.participants.iter().map(async |participant| {
            AssertUnwindSafe(participant.prepare(batch))
                .catch_unwind()
                .await
                .unwrap_or_default()
        });
        for answers in join_all(asked).await {
            for (vote, answer) in votes.iter_mut().zip(answers) {
                if *vote == Vote::Yes {
                    *vote = answer;
                }
            }
        }
        votes
    }

    /// Foreign participants are told once the others are done, and hold up no batch.
    async fn complete(
        self: Arc<Self>,
        id: BatchId,
        owed: Vec<Owed<W>>,
        prepared_at: Instant,
    ) -> Event<W, Caller> {
        let has_foreign: HashMap<Gid, bool> = owed
            .iter()
            .map(|it| (it.transaction.gid, it.rest.branches > 0))
            .collect();
        let branches: Vec<Completion<W::Branch>> = owed
            .into_iter()
            .map(|it| Completion {
                gid: it.transaction.gid,
                direction: it.direction,
                epoch: it.rest.epoch,
                branch: it.transaction.work.branch(),
            })
            .collect();
        let answers = joined(
            branches.len(),
            complete(&self.participants, &branches).await,
        );
        for (direction, gids) in done_of(&branches, &answers) {
            let (outside, here): (Vec<Gid>, Vec<Gid>) =
                gids.into_iter().partition(|gid| has_foreign[gid]);
            if let Err(cause) = self.finish(direction, &here).await {
                debug!("Finished transactions could not be marked, recovery will: {cause}");
            }
            if !outside.is_empty() {
                let hands = Arc::clone(&self);
                let telling = async move { hands.tell(direction, outside).await };
                self.tasks.spawn(telling);
            }
        }
        histogram!(TX_COMMIT_SECONDS).record(prepared_at.elapsed());
        Event::Completed(id)
    }

    /// Who does not answer is told by recovery.
    async fn tell(&self, direction: Direction, gids: Vec<Gid>) {
        let telling = async {
            let answers = self.outside.tell(direction, &gids).await?;
            let writing = async |db: &mut _| self.outside.write_open(db, &answers).await;
            self.sessions.lend(writing).await?;
            self.outside.write_done(&answers).await?;
            let told = answers.together(&gids).into_iter();
            let done = told.filter(|told| told.answer == Answer::Done);
            let done: Vec<Gid> = done.map(|told| told.gid).collect();
            self.finish(direction, &done).await
        };
        if let Err(cause) = telling.await {
            debug!(
                "What foreign participants were told could not be written, recovery tells them: {cause}"
            );
        }
    }

    async fn finish(&self, direction: Direction, gids: &[Gid]) -> sqlx::Result<()> {
        if gids.is_empty() {
            return Ok(());
        }
        let finishing = async |db: &mut _| log::finish(db, direction, gids).await;
        self.sessions.lend(finishing).await
    }
}

fn panicked() -> NotWritten {
    NotWritten::BadData("it panicked".to_owned())
}

/// Asks all participants to complete all branches: what each says of them, in their order.
pub(crate) async fn complete<'a, W: Work>(
    participants: &'a [Arc<dyn Participant<W>>],
    branches: &[Completion<W::Branch>],
) -> Vec<(&'a str, Vec<Answer>)> {
    let asked = participants.iter().map(async |participant| {
        let answers = AssertUnwindSafe(participant.complete(branches))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| vec![Answer::Failed("it panicked".to_owned()); branches.len()]);
        (participant.name(), answers)
    });
    join_all(asked).await
}

/// What all participants together say of each branch: done once all of them are, failed where one of them did. Whoever says
/// nothing of a branch is not done.
pub(crate) fn joined(branches: usize, answers: Vec<(&str, Vec<Answer>)>) -> Vec<Answer> {
    let mut all = vec![Answer::Done; branches];
    for (name, answers) in answers {
        let silence = std::iter::repeat(Answer::NotYet("no answer".to_owned()));
        for (so_far, answer) in all.iter_mut().zip(answers.into_iter().chain(silence)) {
            match (&*so_far, answer) {
                (Answer::Done, Answer::NotYet(why)) => {
                    *so_far = Answer::NotYet(format!("{name}: {why}"));
                }
                (Answer::Done | Answer::NotYet(_), Answer::Failed(why)) => {
                    *so_far = Answer::Failed(format!("{name}: {why}"));
                }
                _ => {}
            }
        }
    }
    all
}

/// The branches that are done, by direction.
pub(crate) fn done_of<B>(
    branches: &[Completion<B>],
    answers: &[Answer],
) -> HashMap<Direction, Vec<Gid>> {
    let mut done: HashMap<Direction, Vec<Gid>> = HashMap::new();
    for (branch, answer) in branches.iter().zip(answers) {
        if *answer == Answer::Done {
            done.entry(branch.direction).or_default().push(branch.gid);
        }
    }
    done
}

const fn outcome_label(result: &Result<Outcome, SubmitError>) -> &'static str {
    match result {
        Ok(Outcome::Committed) => "committed",
        Ok(Outcome::RolledBack { .. }) => "rolled_back",
        Err(SubmitError::CannotDecide(_)) => "cannot_decide",
        Err(SubmitError::NotPromised(_)) => "not_promised",
        Err(SubmitError::Unavailable(_) | SubmitError::Stopped) => "unavailable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_done_once_everybody_is_and_failed_where_one_failed() {
        let not_yet = || Answer::NotYet("away".to_owned());
        let failed = || Answer::Failed("refused".to_owned());
        let stock = vec![
            Answer::Done,
            Answer::Done,
            not_yet(),
            failed(),
            Answer::Done,
        ];
        let coupon = vec![Answer::Done, not_yet(), failed(), not_yet()];
        assert_eq!(
            joined(5, vec![("stock", stock), ("coupon", coupon)]),
            [
                Answer::Done,
                Answer::NotYet("coupon: away".to_owned()),
                Answer::Failed("coupon: refused".to_owned()),
                Answer::Failed("stock: refused".to_owned()),
                Answer::NotYet("coupon: no answer".to_owned()),
            ]
        );
    }
}
