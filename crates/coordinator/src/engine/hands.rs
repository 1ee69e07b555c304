//! What effects are carried out with: sessions, participants, the last resource.

use crate::{
    completing::{complete, done_of, joined},
    core::{BatchId, Event, Limits},
    epochs::Epochs,
    ids::Gid,
    log,
    metrics::TX_COMMIT_SECONDS,
    outside::Outside,
    participant::{LastResource, Participant, Participants},
    sessions::Sessions,
    state::Direction,
    transaction::{Answer, Completion, Outcome, Owed, SubmitError, Transaction, Vote, Work},
};
use futures::{FutureExt as _, future::join_all};
use metrics::histogram;
use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::{DecideError, driver::Caller};

/// See the module's documentation.
pub(super) struct Hands<W: Work> {
    pub sessions: Sessions,
    participants: Vec<Arc<dyn Participant<W>>>,
    pub outside: Outside,
    pub last_resource: Arc<dyn LastResource<W>>,
    pub epochs: Epochs,
    pub overdue_after: Duration,
    tasks: TaskTracker,
}

/// A transaction that is known to the log.
pub(super) enum Found<W> {
    Undecided(Box<Transaction<W>>),
    Decided(Outcome),
}

impl<W: Work> Hands<W> {
    pub fn new(
        limits: Limits,
        sessions: Sessions,
        participants: Participants<W>,
        last_resource: Arc<dyn LastResource<W>>,
        tasks: &TaskTracker,
    ) -> Self {
        let Participants { own, foreign } = participants;
        Self {
            outside: Outside::new(foreign, sessions.clone()),
            sessions,
            participants: own,
            last_resource,
            epochs: Epochs::default(),
            overdue_after: limits.timeout,
            tasks: tasks.clone(),
        }
    }

    pub async fn stored(&self, gid: Gid) -> Result<Option<log::Stored>, SubmitError> {
        let reading = async |db: &mut _| log::read(db, &[gid]).await;
        let rows = self.sessions.lend(reading).await;
        rows.map(|mut rows| rows.pop())
            .map_err(|cause| SubmitError::Unavailable(cause.to_string()))
    }

    pub async fn find(&self, gid: Gid) -> Result<Found<W>, DecideError> {
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
    pub async fn prepare(&self, batch: &[Transaction<W>]) -> Vec<Vote> {
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
    pub async fn complete(
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
