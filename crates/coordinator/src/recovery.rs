//! Finishes what an engine decided and did not complete, because it died or a participant did not answer.
//!
//! Any number of these may run at once, in any process: rows are claimed with a lease by the database's clock, and a
//! completing call that was applied before changes nothing.

mod trouble;

use crate::{
    completing,
    foreign::{Called, Reply},
    ids::Gid,
    log::{self, BranchState, Line, Unfinished},
    metrics::{TX_HANGING, TX_OLDEST_UNFINISHED_SECONDS, TX_UNFINISHED},
    outside::{Outside, TELLING},
    participant::{Participant, Participants},
    resume::ResumeError,
    retry::RetryPolicy,
    sessions::Sessions,
    state::{Direction, TxState},
    transaction::{Answer, Completion, Transaction, Work},
};
use chrono::Utc;
use futures::future::try_join_all;
use metrics::gauge;
use serde::de::DeserializeOwned;
use sqlx::{Connection as _, MySqlConnection, MySqlPool};
use std::{collections::HashMap, ops::Add, sync::Arc, time::Duration};
use tokio_util::task::TaskTracker;
use tracing::warn;
use trouble::Trouble;

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
    outside: Arc<Outside>,
    pace: Pace,
    /// Foreign participants that are being told: slow ones hold up nobody.
    telling: TaskTracker,
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
    /// Transactions whose foreign participants are being told meanwhile, all others being done: see [`Recovery::told`].
    pub telling: usize,
}

impl<W: Work> Recovery<W> {
    /// `db` must be a pool at READ COMMITTED; what has to do with foreign participants goes through sessions of its own.
    #[must_use]
    pub fn new(db: MySqlPool, participants: impl Into<Participants<W>>, pace: Pace) -> Self {
        let Participants { own, foreign } = participants.into();
        let sessions = Sessions::new(db.connect_options().as_ref().clone());
        Self {
            db,
            participants: own,
            outside: Arc::new(Outside::new(foreign, sessions)),
            pace,
            telling: TaskTracker::new(),
        }
    }

    /// Claims due transactions of both directions, oldest first, some batches of each, and completes them in parallel. Call it
    /// again while it finishes any.
    ///
    /// Foreign participants are told last, and not waited for. So many branches are in hand for each of them and no more; what waits
    /// for one that is away is left alone until it answers again, and then goes on at once, as fast as that one can.
    ///
    /// # Errors
    /// What the database says; what was claimed comes back after its lease.
    pub async fn run_batch(&self) -> sqlx::Result<Recovered> {
        // Whoever waits for a participant is no reason to hold up the others.
        if let Err(cause) = self.outside.wake().await {
            warn!(
                "What waits for a participant outside could not be woken, it is tried again: {cause}"
            );
        }
        let (commits, rollbacks) = tokio::try_join!(
            self.run_direction(Direction::Commit),
            self.run_direction(Direction::RollBack)
        )?;
        Ok(commits + rollbacks)
    }

    /// Returns once the foreign participants that are being told have answered or had their time.
    pub async fn told(&self) {
        self.telling.close();
        self.telling.wait().await;
        self.telling.reopen();
    }

    /// Claims up to `limit` transactions that were begun and not decided within [`Limits::timeout`](crate::Limits), the oldest first, for
    /// `lease`: then they are overdue again. Whoever is given them decides them, or hands them to who does. What this build cannot read
    /// is told in the log, and left.
    ///
    /// # Errors
    /// What the database says.
    pub async fn overdue(&self, lease: Duration, limit: u32) -> sqlx::Result<Vec<Transaction<W>>> {
        let claimed = log::claim_overdue(&self.db, lease, limit).await?;
        let readable = claimed.into_iter().filter_map(|(gid, transaction)| {
            if transaction.is_none() {
                warn!(%gid, "Transaction {gid} is overdue, and what it was to do cannot be read by this build");
            }
            transaction
        });
        Ok(readable.collect())
    }

    /// Lets a stuck transaction go on: see [`resume`](crate::resume()).
    ///
    /// # Errors
    /// [`ResumeError`]
    pub async fn resume(&self, gid: Gid) -> Result<TxState, ResumeError> {
        let mut tx = self.db.begin().await?;
        let state = crate::resume::resume(&mut tx, gid).await?;
        tx.commit().await?;
        Ok(state)
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
        let hanging: i64 = backlog.iter().map(log::Backlog::hanging).sum();
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
        let began = Utc::now();
        let each = completing::complete(&self.participants, &branches).await;
        let lines: Vec<(Gid, &str, Called)> = failures(&branches, &each, began);
        let answers = completing::joined(branches.len(), each.clone());
        let due: HashMap<Gid, Unfinished> = due.into_iter().map(|row| (row.gid, row)).collect();
        let (mut done, mut outside) = (Vec::new(), Vec::new());
        for (branch, answer) in branches.iter().zip(answers) {
            let row = &due[&branch.gid];
            match answer {
                Answer::Done if row.branches > 0 => outside.push((row.gid, row.attempts)),
                Answer::Done => done.push(row.gid),
                other => trouble.add(row.gid, row.attempts, other),
            }
        }
        let mut session = self.db.acquire().await?;
        log::finish(&mut session, direction, &done).await?;
        write_failures(&mut session, direction, &lines).await?;
        let retry = &self.pace.retry;
        let mut recovered = trouble.write(&mut session, retry, direction).await?;
        recovered.finished = done.len();
        recovered.telling = outside.len();
        if !outside.is_empty() {
            let gids: Vec<Gid> = outside.iter().map(|(gid, _)| *gid).collect();
            log::lease(&mut session, &gids, TELLING).await?;
            self.telling.spawn(tell(
                Arc::clone(&self.outside),
                self.pace.retry,
                direction,
                outside,
            ));
        }
        Ok(recovered)
    }
}

/// Tells foreign participants, and writes down what became of it.
async fn tell(
    outside: Arc<Outside>,
    retry: RetryPolicy,
    direction: Direction,
    transactions: Vec<(Gid, i32)>,
) {
    let attempts: HashMap<Gid, i32> = transactions.iter().copied().collect();
    let gids: Vec<Gid> = transactions.into_iter().map(|(gid, _)| gid).collect();
    let telling = async {
        let answers = outside.tell(direction, &gids).await?;
        let mut trouble = Trouble::default();
        let mut done = Vec::new();
        for told in answers.together(&gids) {
            match told.answer {
                Answer::Done => done.push(told.gid),
                Answer::NotYet(why) if told.is_parked => trouble.park(told.gid, why),
                other => trouble.add(told.gid, attempts[&told.gid], other),
            }
        }
        // When they are due first, then for whom they wait, together: who wakes them undoes both.
        let putting_off = async |db: &mut MySqlConnection| {
            let mut tx = db.begin().await?;
            trouble.write(&mut tx, &retry, direction).await?;
            outside.write_open(&mut tx, &answers).await?;
            tx.commit().await
        };
        outside.sessions().lend(putting_off).await?;
        outside.write_done(&answers).await?;
        let finishing = async |db: &mut _| log::finish(db, direction, &done).await;
        outside.sessions().lend(finishing).await
    };
    if let Err(cause) = telling.await {
        warn!(
            "What foreign participants were told could not be written, they are told again: {cause}"
        );
    }
}

/// The calls that failed, by branch and participant: evidence for a person.
fn failures<'a, B>(
    branches: &[Completion<B>],
    each: &[(&'a str, Vec<Answer>)],
    at: chrono::DateTime<Utc>,
) -> Vec<(Gid, &'a str, Called)> {
    let took = (Utc::now() - at).to_std().unwrap_or_default();
    let mut failures = Vec::new();
    for (name, answers) in each {
        for (branch, answer) in branches.iter().zip(answers) {
            if let Answer::Failed(why) = answer {
                let reply = Reply::Unknown(why.clone());
                failures.push((branch.gid, *name, Called { at, took, reply }));
            }
        }
    }
    failures
}

async fn write_failures(
    db: &mut MySqlConnection,
    direction: Direction,
    failures: &[(Gid, &str, Called)],
) -> sqlx::Result<()> {
    let lines: Vec<Line<'_>> = failures
        .iter()
        .map(|(gid, participant, called)| Line {
            gid: *gid,
            participant,
            is_foreign: false,
            state: BranchState::Owed,
            op: match direction {
                Direction::Commit => "commit",
                Direction::RollBack => "roll_back",
            },
            called,
            waits: None,
        })
        .collect();
    log::write(db, &lines).await
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

impl Add for Recovered {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            finished: self.finished + other.finished,
            waiting: self.waiting + other.waiting,
            stuck: self.stuck + other.stuck,
            telling: self.telling + other.telling,
        }
    }
}
