//! The core's hands: a task that feeds it events and carries out its effects on a real database and real participants.

use crate::{
    core::{BatchId, Core, Effect, Event, Limits},
    decision,
    ids::Gid,
    log,
    metrics::{TX_COMMIT_SECONDS, TX_TOTAL},
    participant::{LastResource, Participant},
    sessions::Sessions,
    state::Direction,
    transaction::{Answer, Completion, Outcome, SubmitError, Transaction, Vote, Work},
};
use futures::{FutureExt as _, future::join_all};
use metrics::{counter, histogram};
use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// The pause before a decision whose reply was lost is read again.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(200);

type Caller = oneshot::Sender<Result<Outcome, SubmitError>>;

/// Decides transactions, gathered into batches. Cloning shares it; dropping the last clone lets it finish and end.
pub struct Engine<W: Work> {
    inbox: mpsc::Sender<(Transaction<W>, Caller)>,
    tasks: TaskTracker,
}

impl<W: Work> Clone for Engine<W> {
    fn clone(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
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
        participants: Vec<Arc<dyn Participant<W>>>,
        last_resource: Arc<dyn LastResource<W>>,
    ) -> Self {
        let (inbox, submitted) = mpsc::channel(limits.batch_size.max(1));
        let tasks = TaskTracker::new();
        let hands = Arc::new(Hands {
            sessions,
            participants,
            last_resource,
        });
        tasks.spawn(drive(limits, hands, submitted));
        Self { inbox, tasks }
    }

    /// Decides one transaction and gives its outcome once that is durable; its branches are completed afterwards, by the engine
    /// or by recovery. A repeat gets the stored outcome. Waits while the queue is full.
    ///
    /// The decision goes on when the caller goes away.
    ///
    /// # Errors
    /// [`SubmitError`]: nothing was decided, and the same transaction may be submitted again.
    pub async fn submit(&self, transaction: Transaction<W>) -> Result<Outcome, SubmitError> {
        let (caller, answer) = oneshot::channel();
        self.inbox
            .send((transaction, caller))
            .await
            .map_err(|_| SubmitError::Stopped)?;
        answer.await.unwrap_or(Err(SubmitError::Stopped))
    }

    /// Takes no more, and returns once all that was taken is decided and its completion was tried.
    pub async fn drain(self) {
        let Self { inbox, tasks } = self;
        drop(inbox);
        tasks.close();
        tasks.wait().await;
    }
}

struct Hands<W: Work> {
    sessions: Sessions,
    participants: Vec<Arc<dyn Participant<W>>>,
    last_resource: Arc<dyn LastResource<W>>,
}

async fn drive<W: Work>(
    limits: Limits,
    hands: Arc<Hands<W>>,
    mut submitted: mpsc::Receiver<(Transaction<W>, Caller)>,
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
            taken = submitted.recv(), if open && core.has_room() => if let Some((transaction, caller)) = taken {
                Event::Submitted(transaction, caller)
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
            && let Ok((transaction, caller)) = submitted.try_recv()
        {
            core.on(Event::Submitted(transaction, caller), now, &mut effects);
        }
        core.start_batches(now, &mut effects);
        for effect in effects.drain(..) {
            carry_out(&hands, effect, &done);
        }
    }
    warm.abort();
}

fn carry_out<W: Work>(
    hands: &Arc<Hands<W>>,
    effect: Effect<W, Caller>,
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
        Effect::Prepare(id, batch) => {
            tokio::spawn(async move { report(Event::Prepared(id, hands.prepare(&batch).await)) });
        }
        Effect::Decide(id, token, ballots) => {
            tokio::spawn(async move {
                let tried =
                    decision::try_once(&hands.sessions, &*hands.last_resource, token, ballots)
                        .await;
                if let Some(why) = tried.why_not() {
                    warn!("A decision did not go through: {why}");
                }
                report(Event::Decided(id, tried));
            });
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
        Effect::Complete(id, decided) => {
            tokio::spawn(async move { report(hands.complete(id, decided).await) });
        }
    }
}

impl<W: Work> Hands<W> {
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

    async fn complete(
        &self,
        id: BatchId,
        decided: Vec<(Transaction<W>, Outcome, i64)>,
    ) -> Event<W, Caller> {
        let started = Instant::now();
        let branches: Vec<Completion<W::Branch>> = decided
            .into_iter()
            .map(|(transaction, outcome, epoch)| Completion {
                gid: transaction.gid,
                direction: outcome.direction(),
                epoch,
                branch: transaction.work.branch(),
            })
            .collect();
        let answers = complete(&self.participants, &branches).await;
        if let Err(cause) = self.mark(&done_of(&branches, &answers)).await {
            debug!("Finished transactions could not be marked, recovery will: {cause}");
        }
        histogram!(TX_COMMIT_SECONDS).record(started.elapsed());
        Event::Completed(id)
    }

    async fn mark(&self, done: &HashMap<Direction, Vec<Gid>>) -> sqlx::Result<()> {
        if done.is_empty() {
            return Ok(());
        }
        let mut session = self.sessions.take().await?;
        for (direction, gids) in done {
            tokio::time::timeout(
                crate::sessions::ANSWER_WITHIN,
                log::finish(&mut session, *direction, gids),
            )
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)??;
        }
        self.sessions.give_back(session);
        Ok(())
    }
}

/// Asks all participants to complete all branches: what they say together, in the order of the branches.
pub(crate) async fn complete<W: Work>(
    participants: &[Arc<dyn Participant<W>>],
    branches: &[Completion<W::Branch>],
) -> Vec<Answer> {
    let asked = participants.iter().map(async |participant| {
        let answers = AssertUnwindSafe(participant.complete(branches))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| vec![Answer::Failed("it panicked".to_owned()); branches.len()]);
        (participant.name(), answers)
    });
    joined(branches.len(), join_all(asked).await)
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
