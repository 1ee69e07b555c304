//! Finishes what an engine decided and did not complete, because it died or a participant did not answer.
//!
//! Any number of these may run at once, in any process: rows are claimed with a lease by the database's clock, and a
//! completing call that was applied before changes nothing.

use crate::{
    engine::{self, done_of},
    ids::Gid,
    log::{self, Failure, Unfinished},
    metrics::{TX_HANGING, TX_OLDEST_UNFINISHED_SECONDS, TX_UNFINISHED},
    participant::Participant,
    resume::ResumeError,
    retry::{Next, RetryPolicy},
    state::{Direction, Event, TxState},
    transaction::{Answer, Completion, Work},
};
use futures::future::try_join_all;
use metrics::gauge;
use serde::de::DeserializeOwned;
use sqlx::MySqlPool;
use std::{
    collections::{BTreeMap, HashMap},
    ops::Add,
    sync::Arc,
    time::Duration,
};
use tracing::error;

/// Transactions claimed at once.
const BATCH: u32 = 500;

/// How recovery paces itself.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long claimed rows are left alone by others: longer than a participant may take to answer.
    pub lease: Duration,
    /// Batches of one direction that are completed at the same time.
    pub lanes: usize,
    /// When what could not be finished is looked at again, and how often.
    pub retry: RetryPolicy,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            lanes: 4,
            retry: RetryPolicy::default(),
        }
    }
}

/// See the module's documentation.
pub struct Recovery<W: Work> {
    db: MySqlPool,
    participants: Vec<Arc<dyn Participant<W>>>,
    pace: Pace,
}

/// What a run of [`Recovery::run_batch`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Transactions that are finished now.
    pub finished: usize,
    /// Transactions that stay unfinished for now.
    pub waiting: usize,
    /// Transactions that were given up: they stay as they are until [`Recovery::resume`].
    pub stuck: usize,
}

impl<W: Work> Recovery<W> {
    /// `db` must be a pool at READ COMMITTED.
    #[must_use]
    pub fn new(db: MySqlPool, participants: Vec<Arc<dyn Participant<W>>>, pace: Pace) -> Self {
        Self {
            db,
            participants,
            pace,
        }
    }

    /// Claims due transactions of both directions, oldest first, some batches of each, and completes them in parallel. Call it
    /// again while it finishes any.
    ///
    /// # Errors
    /// What the database says; what was claimed comes back after its lease.
    pub async fn run_batch(&self) -> sqlx::Result<Recovered> {
        let (commits, rollbacks) = tokio::try_join!(
            self.run_direction(Direction::Commit),
            self.run_direction(Direction::RollBack)
        )?;
        Ok(commits + rollbacks)
    }

    /// Lets a stuck transaction go on: see [`resume`](crate::resume()).
    ///
    /// # Errors
    /// [`ResumeError`]
    pub async fn resume(&self, gid: Gid) -> Result<TxState, ResumeError> {
        crate::resume::resume(&self.db, gid).await
    }

    /// Publishes how much is unfinished, and for how long.
    ///
    /// # Errors
    /// What the database says.
    pub async fn observe(&self) -> sqlx::Result<()> {
        let backlog = log::backlog(&self.db).await?;
        for state in TxState::ALL
            .into_iter()
            .filter(|state| !matches!(state, TxState::Committed | TxState::RolledBack))
        {
            let count = backlog
                .iter()
                .find(|row| row.state == state.as_str())
                .map_or(0, |row| row.count);
            gauge!(TX_UNFINISHED, "state" => state.as_str()).set(count as f64);
        }
        let oldest = backlog
            .iter()
            .map(|row| row.oldest_s)
            .max()
            .unwrap_or_default();
        gauge!(TX_OLDEST_UNFINISHED_SECONDS).set(oldest as f64);
        let hanging: i64 = backlog
            .iter()
            .map(|row| {
                if row.state.starts_with("stuck") {
                    row.count
                } else {
                    row.late
                }
            })
            .sum();
        gauge!(TX_HANGING).set(hanging as f64);
        Ok(())
    }

    async fn run_direction(&self, direction: Direction) -> sqlx::Result<Recovered> {
        let mut batches = Vec::with_capacity(self.pace.lanes);
        while batches.len() < self.pace.lanes.max(1) {
            let due = log::claim_due(&self.db, direction, self.pace.lease, BATCH).await?;
            let is_last = due.len() < BATCH as usize;
            batches.push(due);
            if is_last {
                break;
            }
        }
        let completed = batches.into_iter().map(|due| self.complete(direction, due));
        Ok(try_join_all(completed)
            .await?
            .into_iter()
            .fold(Recovered::default(), |all, one| all + one))
    }

    async fn complete(
        &self,
        direction: Direction,
        due: Vec<Unfinished>,
    ) -> sqlx::Result<Recovered> {
        if due.is_empty() {
            return Ok(Recovered::default());
        }
        let (branches, mut trouble) = read::<W::Branch>(direction, &due);
        let answers = engine::complete(&self.participants, &branches).await;
        let mut session = self.db.acquire().await?;
        let mut recovered = Recovered::default();
        for (direction, gids) in &done_of(&branches, &answers) {
            log::finish(&mut session, *direction, gids).await?;
            recovered.finished += gids.len();
        }
        let attempts: HashMap<Gid, i32> = due.iter().map(|row| (row.gid, row.attempts)).collect();
        for (branch, answer) in branches.iter().zip(answers) {
            trouble.add(branch.gid, attempts[&branch.gid], answer);
        }
        recovered.waiting += trouble.not_now.values().map(Vec::len).sum::<usize>();
        let RetryPolicy {
            first_wait, jitter, ..
        } = self.pace.retry;
        for (why, gids) in &trouble.not_now {
            log::not_now(&mut session, gids, first_wait, jitter, why).await?;
        }
        for (failure, gids) in &trouble.failed {
            let next = self.after(failure);
            log::failed(&mut session, direction, gids, failure, next, jitter).await?;
            if next == Next::Stuck {
                recovered.stuck += gids.len();
                tell_stuck(direction, gids, failure);
            } else {
                recovered.waiting += gids.len();
            }
        }
        Ok(recovered)
    }

    fn after(&self, failure: &Failure) -> Next {
        self.pace
            .retry
            .after_failure(u32::try_from(failure.attempts).unwrap_or_default())
    }
}

/// The branches as they were stored; those that cannot be read have failed.
fn read<B: DeserializeOwned>(
    direction: Direction,
    due: &[Unfinished],
) -> (Vec<Completion<B>>, Trouble) {
    let mut trouble = Trouble::default();
    let mut branches = Vec::with_capacity(due.len());
    for row in due {
        match serde_json::from_str(&row.payload) {
            Ok(branch) => branches.push(Completion {
                gid: row.gid,
                direction,
                epoch: row.epoch,
                branch,
            }),
            Err(cause) => {
                let why = format!("unreadable payload: {cause}");
                trouble.add(row.gid, row.attempts, Answer::Failed(why));
            }
        }
    }
    (branches, trouble)
}

/// What is not done, by what is written of it: rows that are alike are written together.
#[derive(Default)]
struct Trouble {
    not_now: BTreeMap<String, Vec<Gid>>,
    failed: BTreeMap<Failure, Vec<Gid>>,
}

impl Trouble {
    fn add(&mut self, gid: Gid, attempts: i32, answer: Answer) {
        match answer {
            Answer::Done => {}
            Answer::NotYet(why) => self.not_now.entry(why).or_default().push(gid),
            Answer::Failed(why) => self
                .failed
                .entry(Failure { attempts, why })
                .or_default()
                .push(gid),
        }
    }
}

fn tell_stuck(direction: Direction, gids: &[Gid], failure: &Failure) {
    let Failure { attempts, why } = failure;
    for gid in gids {
        error!(
            gid = %gid,
            "Transaction {gid} is {}: it failed {} times, at last with: {why}",
            direction.decided().on(Event::AttemptsExhausted).map_or("stuck", TxState::as_str),
            attempts + 1
        );
    }
}

impl Add for Recovered {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            finished: self.finished + other.finished,
            waiting: self.waiting + other.waiting,
            stuck: self.stuck + other.stuck,
        }
    }
}
