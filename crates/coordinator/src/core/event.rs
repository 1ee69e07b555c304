//! What the core is told, and what it tells its hands.

use super::{BatchId, Begun, ToBegin, Votes, Written};
use crate::{
    foreign::Called,
    ids::{Gid, Token},
    participant::Ballot,
    transaction::{Decided, Outcome, Owed, SubmitError, Transaction, Vote},
};
use std::{collections::HashMap, time::Duration};

/// What somebody wants, told to the core.
#[derive(Debug)]
pub struct Wanted<W, T> {
    /// The transaction; with a reason to refuse it, it is to be rolled back and nobody is asked.
    pub ballot: Ballot<W>,
    /// Its participants outside this system.
    pub foreign: Vec<String>,
    /// How whoever wants it is answered.
    pub caller: T,
}

/// What happened, told to the core.
#[derive(Debug)]
pub enum Event<W, T> {
    /// Somebody wants a transaction decided.
    Submitted(Wanted<W, T>),
    /// What was to be begun is written down, or not.
    Begun(Written<HashMap<Gid, Begun>>),
    /// The participants outside were asked for one transaction.
    Asked(Gid, Vec<(String, Called)>),
    /// Their votes are written down, or not.
    Noted(Written<()>),
    /// The participants have voted, in the order of the batch.
    Prepared(BatchId, Vec<Vote>),
    /// All that a batch writes is written, and its COMMIT on its way: the turn of who contends for the same may come.
    Committing(BatchId),
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
    /// Committed: one entry for every ballot, but for those that were begun and whose foreign participants have not all promised.
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
    /// Write these down before their participants are asked.
    Begin(Vec<ToBegin<W>>),
    /// Ask participants outside, by name.
    Ask(Transaction<W>, Vec<String>),
    /// Write down what they said.
    Note(Vec<Votes>),
    /// Ask the participants.
    Prepare(BatchId, Vec<Transaction<W>>),
    /// Try the decision under a fresh token: write into the log, and wait for the turn before the last resource is asked.
    Decide(BatchId, Token, Vec<Ballot<W>>),
    /// The turn of what a batch has under way has come.
    Turn(BatchId),
    /// Read back under a lock what the log holds for these, on a fresh connection. Only entries under the token were decided here.
    ReadBack(BatchId, Token, Vec<Gid>),
    /// Complete what was decided of a batch that was prepared at that time.
    Complete(BatchId, Vec<Owed<W>>, Duration),
    /// Answer a caller.
    Answer(T, Result<Outcome, SubmitError>),
}
