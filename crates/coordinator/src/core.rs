//! The engine's mind, without hands: events in, effects out. It knows no clock, no database and no network, so that a
//! simulation and the real driver run the same code.
//!
//! It gathers submitted transactions into batches (idle: at once; busy: until a batch is full or its oldest has waited long
//! enough), decides batches of one label one after another, answers repeats with the first one's outcome, splits a batch
//! that fails on data, and reads back a decision whose reply was lost. Completion is started here and finished by recovery if need be.

use crate::{
    ids::{Gid, Label, Token},
    participant::Ballot,
    transaction::{Decided, Outcome, Owed, SubmitError, Vote},
};
use asking::{Asking, Left};
use line::Line;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use turns::Turns;

mod asking;
mod event;
mod line;
#[cfg(test)]
mod tests;
mod turns;

pub use asking::{Begun, NotWritten, ToBegin, Votes, Written, reason_of};
pub use event::{Effect, Event, Tried, Wanted};

/// How often something is tried again after a deadlock or a lock-wait timeout before its callers are told.
const TRIES: u32 = 10;

/// The bounds of an engine.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Transactions a batch does not wait for more than: with so many it starts at once.
    pub batch_size: usize,
    /// Transactions in one batch, at most: where more wait than `batch_size`, so many are taken together. At least `batch_size`.
    pub batch_at_most: usize,
    /// How long the oldest may wait for company while other batches are in flight.
    pub batch_wait: Duration,
    /// Batches between their first prepare and their last completion, at most.
    pub batches_in_flight: usize,
    /// Transactions submitted and not in a batch yet, at most; beyond it submitters wait.
    pub queue: usize,
    /// How long a transaction with participants outside may stay undecided before it is overdue.
    pub timeout: Duration,
}

/// What suits most.
impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_size: 200,
            batch_at_most: 500,
            batch_wait: Duration::from_millis(2),
            batches_in_flight: 4,
            queue: 10_000,
            timeout: Duration::from_mins(5),
        }
    }
}

/// Names a batch while it is in flight.
pub type BatchId = u64;

/// Why callers get no outcome.
enum GiveUp {
    Unavailable(String),
    CannotDecide(String),
}

struct Batch<W> {
    labels: HashSet<Label>,
    prepared_at: Duration,
    /// Whether what is being decided waits for its turn.
    waits_for_turn: bool,
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
    asking: Asking<W>,
    line: Line<W>,
    turns: Turns,
    /// Everyone to be told, by transaction, from submission to answer.
    callers: HashMap<Gid, Vec<T>>,
    /// What is to be refused should its participants outside, who are being asked, not promise.
    refusals: HashMap<Gid, Ballot<W>>,
    batches: HashMap<BatchId, Batch<W>>,
}

impl<W: Clone, T> Core<W, T> {
    /// A core with nothing to do.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            next_batch: 0,
            asking: Asking::new(),
            line: Line::default(),
            turns: Turns::default(),
            callers: HashMap::new(),
            refusals: HashMap::new(),
            batches: HashMap::new(),
        }
    }

    /// Whether it may be given another transaction.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.line.len() + self.asking.len() < self.limits.queue
    }

    /// Whether nobody waits and nothing is in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.line.len() + self.asking.len() == 0 && self.batches.is_empty()
    }

    /// Takes one event. `now` is any monotonic time; it is only compared with itself.
    pub fn on(&mut self, event: Event<W, T>, now: Duration, effects: &mut Vec<Effect<W, T>>) {
        match event {
            Event::Submitted(wanted) => self.submitted(wanted, now),
            Event::Begun(written) => {
                let left = self.asking.begun(written, effects);
                self.go_on(left, now, effects);
            }
            Event::Asked(gid, calls) => self.asking.asked(gid, calls),
            Event::Noted(written) => {
                let left = self.asking.noted(written);
                self.go_on(left, now, effects);
            }
            Event::Prepared(batch, votes) => self.prepared(batch, votes, now, effects),
            Event::Committing(batch) => self.committing(batch, effects),
            Event::Decided(batch, tried) => self.tried(batch, tried, effects),
            Event::ReadBack(batch, read) => self.read_back(batch, read, effects),
            Event::Completed(batch) => self.completed(batch),
            Event::Tick => {}
        }
    }

    /// Starts what may start. Called after one or many events.
    pub fn start(&mut self, now: Duration, effects: &mut Vec<Effect<W, T>>) {
        self.asking.start_writes(&self.limits, effects);
        while self.batches.len() < self.limits.batches_in_flight {
            let Some(ballots) = self.gather(now) else {
                return;
            };
            let id = self.next_batch;
            self.next_batch += 1;
            let transactions = ballots.iter().map(|ballot| ballot.transaction.clone());
            effects.push(Effect::Prepare(id, transactions.collect()));
            let labels = ballots.iter().map(|ballot| ballot.transaction.label);
            let batch = Batch {
                labels: labels.collect(),
                prepared_at: now,
                waits_for_turn: false,
                deciding: ballots,
                left: Vec::new(),
                token: Token::fresh(),
                tries: 0,
                completing: 0,
            };
            self.turns.wait(id, &batch.labels);
            self.batches.insert(id, batch);
        }
    }

    /// When [`start`](Self::start) is to be called although nothing happened; `None` when only an event can change anything.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        if self.batches.len() >= self.limits.batches_in_flight {
            return None;
        }
        let (_, since) = self.line.free(&self.turns, usize::MAX);
        Some(since? + self.limits.batch_wait)
    }

    fn submitted(&mut self, wanted: Wanted<W, T>, now: Duration) {
        let Wanted {
            ballot,
            foreign,
            caller,
        } = wanted;
        let gid = ballot.transaction.gid;
        if let Some(callers) = self.callers.get_mut(&gid) {
            callers.push(caller);
            if ballot.refused.is_some() && self.asking.has(gid) {
                self.refusals.insert(gid, ballot);
            }
            return;
        }
        self.callers.insert(gid, vec![caller]);
        if foreign.is_empty() || ballot.refused.is_some() {
            self.line.push(ballot, now);
        } else {
            let transaction = ballot.transaction;
            self.asking.begin(ToBegin {
                transaction,
                foreign,
            });
        }
    }

    fn go_on(&mut self, left: Vec<Left<W>>, now: Duration, effects: &mut Vec<Effect<W, T>>) {
        for one in left {
            match one {
                Left::Ready(ballot) => self.line.push(ballot, now),
                Left::Answered(gid, result) => match self.refusals.remove(&gid) {
                    Some(refusal) if result.is_err() => self.line.push(refusal, now),
                    _ => self.answer(gid, &result, effects),
                },
            }
        }
    }

    /// The next batch: of labels that are free, once it is worth it; else the next full one of a label that another batch decides.
    fn gather(&mut self, now: Duration) -> Option<Vec<Ballot<W>>> {
        let Limits {
            batch_size,
            batch_at_most,
            batch_wait,
            ..
        } = self.limits;
        let turns = &self.turns;
        let (count, since) = self.line.free(turns, batch_size);
        let waited_enough = since.is_some_and(|since| now >= since + batch_wait);
        if count >= batch_size || waited_enough || (count > 0 && self.batches.is_empty()) {
            return Some(self.line.take(batch_at_most, |label| turns.is_free(label)));
        }
        let crowded = self.line.crowded(turns, batch_size)?;
        Some(self.line.take(batch_at_most, |label| label == crowded))
    }

    fn prepared(
        &mut self,
        id: BatchId,
        votes: Vec<Vote>,
        now: Duration,
        effects: &mut Vec<Effect<W, T>>,
    ) {
        let Some(batch) = self.batches.get_mut(&id) else {
            return;
        };
        for (ballot, vote) in batch.deciding.iter_mut().zip(votes) {
            if let Vote::No(reason) = vote {
                ballot.refused.get_or_insert(reason);
            }
        }
        batch.prepared_at = now;
        self.decide(id, effects);
    }

    fn committing(&mut self, id: BatchId, effects: &mut Vec<Effect<W, T>>) {
        let is_last_part = |batch: &Batch<W>| batch.left.is_empty();
        if self.batches.get(&id).is_some_and(is_last_part) {
            self.let_go(id, effects);
        }
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
            Tried::Contended(why) if batch.tries >= TRIES => {
                self.give_up(id, GiveUp::Unavailable(why), effects);
            }
            Tried::Contended(_) => self.decide(id, effects),
            Tried::Unavailable(why) => self.give_up(id, GiveUp::Unavailable(why), effects),
            Tried::BadData(why) if batch.deciding.len() == 1 => {
                self.give_up(id, GiveUp::CannotDecide(why), effects);
            }
            Tried::BadData(_) => {
                let half = batch.deciding.split_off(batch.deciding.len() / 2);
                batch.left.push(half);
                batch.tries = 0;
                self.decide(id, effects);
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
            Ok(_) => self.decide(id, effects),
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
        let mut owed = Vec::with_capacity(decided.len());
        for one in decided {
            let result = Ok(one.outcome.clone());
            self.answer(one.gid, &result, effects);
            if let (Some(ballot), Some(rest)) = (ballots.remove(&one.gid), one.to_complete) {
                owed.push(Owed {
                    transaction: ballot.transaction,
                    direction: one.outcome.direction(),
                    rest,
                });
            }
        }
        // Whoever submitted these named no foreign participants; the log does.
        for ballot in ballots.into_values() {
            let (transaction, foreign) = (ballot.transaction, Vec::new());
            self.asking.begin(ToBegin {
                transaction,
                foreign,
            });
        }
        let Some(batch) = self.batches.get_mut(&id) else {
            return;
        };
        if !owed.is_empty() {
            batch.completing += 1;
            effects.push(Effect::Complete(id, owed, batch.prepared_at));
        }
        self.next_part(id, effects);
    }

    fn give_up(&mut self, id: BatchId, why: GiveUp, effects: &mut Vec<Effect<W, T>>) {
        let Some(batch) = self.batches.get_mut(&id) else {
            return;
        };
        let error = Err(SubmitError::from(why));
        for ballot in std::mem::take(&mut batch.deciding) {
            self.answer(ballot.transaction.gid, &error, effects);
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
            self.decide(id, effects);
            return;
        }
        let is_complete = batch.completing == 0;
        self.let_go(id, effects);
        if is_complete {
            self.batches.remove(&id);
        }
    }

    /// Batches whose turn comes by this go on.
    fn let_go(&mut self, id: BatchId, effects: &mut Vec<Effect<W, T>>) {
        let Some(batch) = self.batches.get_mut(&id) else {
            return;
        };
        let labels = std::mem::take(&mut batch.labels);
        for next in self.turns.let_go(id, &labels) {
            self.has_turn_come(next, effects);
        }
    }

    /// Has the decision tried; the last resource is asked once its turn has come.
    fn decide(&mut self, id: BatchId, effects: &mut Vec<Effect<W, T>>) {
        let Some(batch) = self.batches.get_mut(&id) else {
            return;
        };
        batch.token = Token::fresh();
        batch.tries += 1;
        batch.waits_for_turn = true;
        effects.push(Effect::Decide(id, batch.token, batch.deciding.clone()));
        self.has_turn_come(id, effects);
    }

    fn has_turn_come(&mut self, id: BatchId, effects: &mut Vec<Effect<W, T>>) {
        if let Some(batch) = self.batches.get_mut(&id)
            && batch.waits_for_turn
            && self.turns.has_come(id, &batch.labels)
        {
            batch.waits_for_turn = false;
            effects.push(Effect::Turn(id));
        }
    }

    fn answer(
        &mut self,
        gid: Gid,
        result: &Result<Outcome, SubmitError>,
        effects: &mut Vec<Effect<W, T>>,
    ) {
        self.refusals.remove(&gid);
        let callers = self.callers.remove(&gid).into_iter().flatten();
        effects.extend(callers.map(|caller| Effect::Answer(caller, result.clone())));
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

impl From<GiveUp> for SubmitError {
    fn from(why: GiveUp) -> Self {
        match why {
            GiveUp::Unavailable(why) => Self::Unavailable(why),
            GiveUp::CannotDecide(why) => Self::CannotDecide(why),
        }
    }
}

fn gids<W>(ballots: &[Ballot<W>]) -> Vec<Gid> {
    ballots
        .iter()
        .map(|ballot| ballot.transaction.gid)
        .collect()
}
