//! The engine's mind, without hands: events in, effects out. It knows no clock, no database and no network, so that a
//! simulation and the real driver run the same code.
//!
//! It gathers submitted transactions into batches (idle: at once; busy: until a batch is full or its oldest has waited long
//! enough), lets no two batches of one label be decided at once, answers repeats with the first one's outcome, splits a batch
//! that fails on data, and reads back a decision whose reply was lost. Completion is started here and finished by recovery if need be.

use crate::{
    ids::{Gid, Label, Token},
    participant::Ballot,
    transaction::{Decided, Outcome, SubmitError, Transaction, Vote},
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

/// How often a batch is decided again after a deadlock or a lock-wait timeout before its callers are told.
const CONTENDED_TRIES: u32 = 10;

/// The bounds of an engine.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Transactions in one batch, at most.
    pub batch_size: usize,
    /// How long the oldest may wait for company while other batches are in flight.
    pub batch_wait: Duration,
    /// Batches between their first prepare and their last completion, at most.
    pub batches_in_flight: usize,
    /// Transactions waiting for a batch, at most; beyond it submitters wait.
    pub queue: usize,
}

/// Names a batch while it is in flight.
pub type BatchId = u64;

/// What happened, told to the core.
#[derive(Debug)]
pub enum Event<W, T> {
    /// Somebody wants a transaction decided; `T` is how they are answered.
    Submitted(Transaction<W>, T),
    /// The participants have voted, in the order of the batch.
    Prepared(BatchId, Vec<Vote>),
    /// The decision was tried.
    Decided(BatchId, Tried),
    /// The locking read after a lost reply: what the log holds now, or why it could not be read.
    ReadBack(BatchId, Result<Vec<Decided>, String>),
    /// The completing calls of one decision were answered or given up.
    Completed(BatchId),
    /// Time has passed.
    Tick,
}

/// How trying a decision went.
#[derive(Debug)]
pub enum Tried {
    /// Committed: one entry for every ballot.
    Done(Vec<Decided>),
    /// Deadlock or lock-wait timeout; rolled back.
    Contended(String),
    /// Rolled back, or never begun, for a reason that is not the batch's.
    Unavailable(String),
    /// Rolled back because of what some row holds.
    BadData(String),
    /// COMMIT was sent and not answered.
    ReplyLost(String),
}

impl Tried {
    /// What stood in the way, for the log.
    pub(crate) fn why_not(&self) -> Option<String> {
        match self {
            Self::Done(_) => None,
            Self::Contended(why) => Some(format!("contended: {why}")),
            Self::Unavailable(why) => Some(format!("unavailable: {why}")),
            Self::BadData(why) => Some(format!("bad data: {why}")),
            Self::ReplyLost(why) => Some(format!("reply lost: {why}")),
        }
    }
}

/// What is to be done, told to the driver.
#[derive(Debug)]
pub enum Effect<W, T> {
    /// Ask the participants.
    Prepare(BatchId, Vec<Transaction<W>>),
    /// Try the decision under a fresh token.
    Decide(BatchId, Token, Vec<Ballot<W>>),
    /// Read back under a lock what the log holds for these, on a fresh connection. Only entries under the token were decided here.
    ReadBack(BatchId, Token, Vec<Gid>),
    /// Complete what was decided.
    Complete(BatchId, Vec<(Transaction<W>, Outcome, i64)>),
    /// Answer a caller.
    Answer(T, Result<Outcome, SubmitError>),
}

struct Waiting<W> {
    transaction: Transaction<W>,
    since: Duration,
}

struct Batch<W> {
    labels: HashSet<Label>,
    /// What is being decided now, and what is left to decide after a split.
    deciding: Vec<Ballot<W>>,
    left: Vec<Vec<Ballot<W>>>,
    token: Token,
    tries: u32,
    completing: usize,
}

/// See the module's documentation. `T` answers a caller.
pub struct Core<W, T> {
    limits: Limits,
    next_batch: BatchId,
    /// Labels with waiting transactions, in the order they came to wait; a label stands here once.
    line: VecDeque<Label>,
    waiting: HashMap<Label, VecDeque<Waiting<W>>>,
    queued: usize,
    /// Everyone to be told, by transaction, from submission to answer.
    callers: HashMap<Gid, Vec<T>>,
    busy: HashSet<Label>,
    batches: HashMap<BatchId, Batch<W>>,
}

impl<W: Clone, T> Core<W, T> {
    /// A core with nothing to do.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            next_batch: 0,
            line: VecDeque::new(),
            waiting: HashMap::new(),
            queued: 0,
            callers: HashMap::new(),
            busy: HashSet::new(),
            batches: HashMap::new(),
        }
    }

    /// Whether it may be given another transaction.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queued < self.limits.queue
    }

    /// Whether nobody waits and nothing is in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queued == 0 && self.batches.is_empty()
    }

    /// Takes one event. `now` is any monotonic time; it is only compared with itself.
    pub fn on(&mut self, event: Event<W, T>, now: Duration, effects: &mut Vec<Effect<W, T>>) {
        match event {
            Event::Submitted(transaction, caller) => self.submitted(transaction, caller, now),
            Event::Prepared(batch, votes) => self.prepared(batch, votes, effects),
            Event::Decided(batch, tried) => self.tried(batch, tried, effects),
            Event::ReadBack(batch, read) => self.read_back(batch, read, effects),
            Event::Completed(batch) => self.completed(batch),
            Event::Tick => {}
        }
    }

    /// Starts the batches that may start. Called after one or many events.
    pub fn start_batches(&mut self, now: Duration, effects: &mut Vec<Effect<W, T>>) {
        while self.batches.len() < self.limits.batches_in_flight && self.worth_starting(now) {
            let batch = self.gather();
            let id = self.next_batch;
            self.next_batch += 1;
            effects.push(Effect::Prepare(
                id,
                batch
                    .deciding
                    .iter()
                    .map(|ballot| ballot.transaction.clone())
                    .collect(),
            ));
            self.batches.insert(id, batch);
        }
    }

    /// When [`start_batches`](Self::start_batches) is to be called although nothing happened; `None` when only an event can change anything.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        if self.batches.len() >= self.limits.batches_in_flight {
            return None;
        }
        self.free_labels()
            .filter_map(|label| self.waiting[&label].front())
            .map(|first| first.since + self.limits.batch_wait)
            .min()
    }

    fn submitted(&mut self, transaction: Transaction<W>, caller: T, now: Duration) {
        if let Some(callers) = self.callers.get_mut(&transaction.gid) {
            callers.push(caller);
            return;
        }
        self.callers.insert(transaction.gid, vec![caller]);
        let label = transaction.label;
        let waiting = self.waiting.entry(label).or_default();
        if waiting.is_empty() {
            self.line.push_back(label);
        }
        waiting.push_back(Waiting {
            transaction,
            since: now,
        });
        self.queued += 1;
    }

    fn free_labels(&self) -> impl Iterator<Item = Label> + '_ {
        self.line
            .iter()
            .copied()
            .filter(|label| !self.busy.contains(label))
    }

    fn worth_starting(&self, now: Duration) -> bool {
        let mut ready = 0;
        for label in self.free_labels() {
            let waiting = &self.waiting[&label];
            ready += waiting.len();
            let waited_enough = waiting
                .front()
                .is_some_and(|first| now >= first.since + self.limits.batch_wait);
            if self.batches.is_empty() || waited_enough || ready >= self.limits.batch_size {
                return true;
            }
        }
        false
    }

    fn gather(&mut self) -> Batch<W> {
        let mut taken = Vec::new();
        let mut labels = HashSet::new();
        let mut stay = VecDeque::with_capacity(self.line.len());
        while let Some(label) = self.line.pop_front() {
            let room = self.limits.batch_size - taken.len();
            if room == 0 || self.busy.contains(&label) {
                stay.push_back(label);
                continue;
            }
            let Some(waiting) = self.waiting.get_mut(&label) else {
                continue;
            };
            taken.extend(waiting.drain(..room.min(waiting.len())).map(|one| Ballot {
                transaction: one.transaction,
                refused: None,
            }));
            labels.insert(label);
            if waiting.is_empty() {
                self.waiting.remove(&label);
            } else {
                stay.push_back(label);
            }
        }
        self.line = stay;
        self.queued -= taken.len();
        self.busy.extend(labels.iter().copied());
        Batch {
            labels,
            deciding: taken,
            left: Vec::new(),
            token: Token::fresh(),
            tries: 0,
            completing: 0,
        }
    }

    fn prepared(&mut self, id: BatchId, votes: Vec<Vote>, effects: &mut Vec<Effect<W, T>>) {
        let Some(batch) = self.batches.get_mut(&id) else {
            return;
        };
        for (ballot, vote) in batch.deciding.iter_mut().zip(votes) {
            if let Vote::No(reason) = vote {
                ballot.refused = Some(reason);
            }
        }
        decide(id, batch, effects);
    }

    fn tried(&mut self, id: BatchId, tried: Tried, effects: &mut Vec<Effect<W, T>>) {
        let Some(batch) = self.batches.get_mut(&id) else {
            return;
        };
        match tried {
            Tried::Done(decided) => self.decided(id, decided, effects),
            Tried::ReplyLost(_) => {
                effects.push(Effect::ReadBack(id, batch.token, gids(&batch.deciding)));
            }
            Tried::Contended(why) if batch.tries >= CONTENDED_TRIES => {
                self.give_up(id, &SubmitError::Unavailable(why), effects);
            }
            Tried::Contended(_) => decide(id, batch, effects),
            Tried::Unavailable(why) => self.give_up(id, &SubmitError::Unavailable(why), effects),
            Tried::BadData(why) if batch.deciding.len() == 1 => {
                self.give_up(id, &SubmitError::CannotDecide(why), effects);
            }
            Tried::BadData(_) => {
                let half = batch.deciding.split_off(batch.deciding.len() / 2);
                batch.left.push(half);
                batch.tries = 0;
                decide(id, batch, effects);
            }
        }
    }

    fn read_back(
        &mut self,
        id: BatchId,
        read: Result<Vec<Decided>, String>,
        effects: &mut Vec<Effect<W, T>>,
    ) {
        let Some(batch) = self.batches.get_mut(&id) else {
            return;
        };
        match read {
            // A decision that was sent is never given up: it may be in force.
            Err(_) => effects.push(Effect::ReadBack(id, batch.token, gids(&batch.deciding))),
            Ok(decided) if decided.len() == batch.deciding.len() => {
                self.decided(id, decided, effects);
            }
            // The locks are free and rows are missing: it surely did not commit.
            Ok(_) => decide(id, batch, effects),
        }
    }

    fn decided(&mut self, id: BatchId, decided: Vec<Decided>, effects: &mut Vec<Effect<W, T>>) {
        let Some(batch) = self.batches.get_mut(&id) else {
            return;
        };
        let mut ballots: HashMap<Gid, Ballot<W>> = std::mem::take(&mut batch.deciding)
            .into_iter()
            .map(|ballot| (ballot.transaction.gid, ballot))
            .collect();
        let mut to_complete = Vec::with_capacity(decided.len());
        for one in decided {
            answer(
                &mut self.callers,
                one.gid,
                &Ok(one.outcome.clone()),
                effects,
            );
            if let (Some(epoch), Some(ballot)) = (one.to_complete, ballots.remove(&one.gid)) {
                to_complete.push((ballot.transaction, one.outcome, epoch));
            }
        }
        if !to_complete.is_empty() {
            batch.completing += 1;
            effects.push(Effect::Complete(id, to_complete));
        }
        self.next_part(id, effects);
    }

    fn give_up(&mut self, id: BatchId, error: &SubmitError, effects: &mut Vec<Effect<W, T>>) {
        let Some(batch) = self.batches.get_mut(&id) else {
            return;
        };
        for ballot in std::mem::take(&mut batch.deciding) {
            answer(
                &mut self.callers,
                ballot.transaction.gid,
                &Err(error.clone()),
                effects,
            );
        }
        self.next_part(id, effects);
    }

    /// Goes on with what a split left, or lets the labels go.
    fn next_part(&mut self, id: BatchId, effects: &mut Vec<Effect<W, T>>) {
        let Some(batch) = self.batches.get_mut(&id) else {
            return;
        };
        if let Some(part) = batch.left.pop() {
            batch.deciding = part;
            batch.tries = 0;
            decide(id, batch, effects);
            return;
        }
        for label in batch.labels.drain() {
            self.busy.remove(&label);
        }
        if batch.completing == 0 {
            self.batches.remove(&id);
        }
    }

    fn completed(&mut self, id: BatchId) {
        let Some(batch) = self.batches.get_mut(&id) else {
            return;
        };
        batch.completing -= 1;
        if batch.completing == 0 && batch.deciding.is_empty() && batch.left.is_empty() {
            self.batches.remove(&id);
        }
    }
}

fn decide<W: Clone, T>(id: BatchId, batch: &mut Batch<W>, effects: &mut Vec<Effect<W, T>>) {
    batch.token = Token::fresh();
    batch.tries += 1;
    effects.push(Effect::Decide(id, batch.token, batch.deciding.clone()));
}

fn gids<W>(ballots: &[Ballot<W>]) -> Vec<Gid> {
    ballots
        .iter()
        .map(|ballot| ballot.transaction.gid)
        .collect()
}

fn answer<W, T>(
    callers: &mut HashMap<Gid, Vec<T>>,
    gid: Gid,
    result: &Result<Outcome, SubmitError>,
    effects: &mut Vec<Effect<W, T>>,
) {
    effects.extend(
        callers
            .remove(&gid)
            .into_iter()
            .flatten()
            .map(|caller| Effect::Answer(caller, result.clone())),
    );
}

#[cfg(test)]
mod tests;
