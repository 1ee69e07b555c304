//! Transactions with participants outside this system, before they stand in the line: written down as begun, asked, their votes
//! written down, in batches where it is the log's turn, each by itself where a participant's.
//!
//! Without a promise of every one of them nothing is decided: whoever does not answer may have promised or not, so the
//! transaction stays begun, its callers are told, and a repeat asks those again that have not promised yet.

use super::{Effect, GiveUp, Limits, TRIES};
use crate::{
    foreign::{Called, Reply},
    ids::Gid,
    participant::Ballot,
    transaction::{NotPromised, Outcome, SubmitError, Transaction},
};
use std::collections::HashMap;

/// As long as the log's column.
const REASON_AT_MOST: usize = 64;

/// A transaction that is to be written down, and the participants it has outside.
#[derive(Debug, Clone)]
pub struct ToBegin<W> {
    /// The transaction.
    pub transaction: Transaction<W>,
    /// Names of participants, each once.
    pub foreign: Vec<String>,
}

/// What the log holds of a transaction once it was written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Not decided yet.
    Undecided {
        /// Participants that have not promised yet.
        to_ask: Vec<String>,
        /// One of them refused before, for this reason.
        refused: Option<String>,
    },
    /// Decided before.
    Decided(Outcome),
}

impl Begun {
    /// Whether nobody is left to ask, and nobody refused.
    pub const fn is_promised(&self) -> bool {
        matches!(self, Self::Undecided { to_ask, refused: None } if to_ask.is_empty())
    }
}

/// What participants said of one transaction.
#[derive(Debug, Clone)]
pub struct Votes {
    /// The transaction.
    pub gid: Gid,
    /// What each said.
    pub calls: Vec<(String, Called)>,
    /// Whether all have promised now.
    pub is_promised: bool,
}

/// How writing to the log went.
pub type Written<X> = Result<X, NotWritten>;

/// Why nothing was written; a write whose reply was lost is written again, for that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotWritten {
    /// Worth another try at once.
    Again(String),
    /// Not the batch's fault.
    Unavailable(String),
    /// What some row holds.
    BadData(String),
}

impl From<NotWritten> for SubmitError {
    fn from(cause: NotWritten) -> Self {
        match cause {
            NotWritten::Again(why) | NotWritten::Unavailable(why) => Self::Unavailable(why),
            NotWritten::BadData(why) => Self::CannotDecide(why),
        }
    }
}

/// What leaves this part of the core.
pub(super) enum Left<W> {
    /// It may be decided.
    Ready(Ballot<W>),
    /// It has its answer.
    Answered(Gid, Result<Outcome, SubmitError>),
}

/// See the module's documentation.
pub(super) struct Asking<W> {
    begin: Writes<ToBegin<W>>,
    /// Those that are being asked.
    asked: HashMap<Gid, Transaction<W>>,
    note: Writes<(Transaction<W>, Votes)>,
}

impl<W: Clone> Asking<W> {
    pub(super) fn new() -> Self {
        Self {
            begin: Writes::new(),
            asked: HashMap::new(),
            note: Writes::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.begin.len() + self.asked.len() + self.note.len()
    }

    /// Whether this transaction is on its way through here.
    pub(super) fn has(&self, gid: Gid) -> bool {
        self.asked.contains_key(&gid)
            || self.begin.any(|one| one.transaction.gid == gid)
            || self.note.any(|(transaction, _)| transaction.gid == gid)
    }

    pub(super) fn begin(&mut self, one: ToBegin<W>) {
        self.begin.waiting.push(one);
    }

    /// Starts the writes that may start: one of a kind at a time, with all who wait meanwhile.
    pub(super) fn start_writes<T>(&mut self, limits: &Limits, effects: &mut Vec<Effect<W, T>>) {
        if let Some(part) = self.begin.next(limits.batch_size) {
            effects.push(Effect::Begin(part.to_vec()));
        }
        if let Some(part) = self.note.next(limits.batch_size) {
            let votes = part.iter().map(|(_, votes)| votes.clone());
            effects.push(Effect::Note(votes.collect()));
        }
    }

    pub(super) fn begun<T>(
        &mut self,
        written: Written<HashMap<Gid, Begun>>,
        effects: &mut Vec<Effect<W, T>>,
    ) -> Vec<Left<W>> {
        let mut begun = match written {
            Ok(begun) => begun,
            Err(cause) => {
                let lost = self.begin.failed(cause);
                return told(lost, |one| one.transaction.gid);
            }
        };
        let mut left = Vec::new();
        for ToBegin { transaction, .. } in self.begin.done() {
            let gid = transaction.gid;
            match begun.remove(&gid) {
                Some(Begun::Decided(outcome)) => left.push(Left::Answered(gid, Ok(outcome))),
                Some(Begun::Undecided { to_ask, refused })
                    if to_ask.is_empty() || refused.is_some() =>
                {
                    left.push(Left::Ready(Ballot {
                        transaction,
                        refused,
                    }));
                }
                Some(Begun::Undecided { to_ask, .. }) => {
                    effects.push(Effect::Ask(transaction.clone(), to_ask));
                    self.asked.insert(gid, transaction);
                }
                // Retention took it between two statements: nothing was asked.
                None => {
                    let gone = SubmitError::Unavailable("the log forgot it".to_owned());
                    left.push(Left::Answered(gid, Err(gone)));
                }
            }
        }
        left
    }

    pub(super) fn asked(&mut self, gid: Gid, calls: Vec<(String, Called)>) {
        let Some(transaction) = self.asked.remove(&gid) else {
            return;
        };
        let is_promised = calls.iter().all(|(_, call)| call.reply == Reply::Done);
        let votes = Votes {
            gid,
            calls,
            is_promised,
        };
        self.note.waiting.push((transaction, votes));
    }

    pub(super) fn noted(&mut self, written: Written<()>) -> Vec<Left<W>> {
        if let Err(cause) = written {
            let lost = self.note.failed(cause);
            return told(lost, |(transaction, _)| transaction.gid);
        }
        let noted = self.note.done().into_iter();
        noted
            .map(|(transaction, votes)| match read(votes) {
                Ok(refused) => Left::Ready(Ballot {
                    transaction,
                    refused,
                }),
                Err(open) => Left::Answered(transaction.gid, Err(SubmitError::NotPromised(open))),
            })
            .collect()
    }
}

/// A reason to refuse, or none where all have promised.
///
/// # Errors
/// Who neither promised nor refused, why, and when it wants to be asked again.
fn read(votes: Votes) -> Result<Option<String>, NotPromised> {
    let mut open: Option<NotPromised> = None;
    for (name, call) in votes.calls {
        let (why, wait) = match call.reply {
            Reply::Done => continue,
            Reply::No(reason) => return Ok(Some(reason_of(&name, &reason))),
            Reply::Running(wait) => ("it is still at it".to_owned(), wait),
            Reply::Unknown(why) => (why, None),
            Reply::Away(why, wait) => (why, wait),
        };
        open = Some(NotPromised {
            why: format!("{name} has not promised: {why}"),
            retry_after: open.and_then(|other| other.retry_after).max(wait),
        });
    }
    open.map_or(Ok(None), Err)
}

/// A participant's reason as ours: with its name before it, so that no word of its own means anything here.
pub fn reason_of(participant: &str, reason: &str) -> String {
    format!("{participant}:{reason}")
        .chars()
        .take(REASON_AT_MOST)
        .collect()
}

fn told<X, W>(lost: Option<(Vec<X>, GiveUp)>, gid: impl Fn(&X) -> Gid) -> Vec<Left<W>> {
    let Some((lost, why)) = lost else {
        return Vec::new();
    };
    let error = SubmitError::from(why);
    lost.iter()
        .map(|one| Left::Answered(gid(one), Err(error.clone())))
        .collect()
}

/// Rows of one kind on their way to the log: those that wait, and the write that is under way.
struct Writes<X> {
    waiting: Vec<X>,
    /// The last is being written; the others are what a split left.
    parts: Vec<Vec<X>>,
    is_under_way: bool,
    tries: u32,
}

impl<X> Writes<X> {
    const fn new() -> Self {
        Self {
            waiting: Vec::new(),
            parts: Vec::new(),
            is_under_way: false,
            tries: 0,
        }
    }

    fn len(&self) -> usize {
        self.waiting.len() + self.parts.iter().map(Vec::len).sum::<usize>()
    }

    fn any(&self, is_it: impl Fn(&X) -> bool) -> bool {
        let mut all = self.waiting.iter().chain(self.parts.iter().flatten());
        all.any(is_it)
    }

    /// What is to be written now, unless a write is under way.
    fn next(&mut self, at_most: usize) -> Option<&[X]> {
        if self.is_under_way {
            return None;
        }
        if self.parts.is_empty() && !self.waiting.is_empty() {
            let part = self.waiting.drain(..at_most.min(self.waiting.len()));
            self.parts.push(part.collect());
        }
        let part = self.parts.last()?;
        self.is_under_way = true;
        Some(part)
    }

    fn done(&mut self) -> Vec<X> {
        (self.is_under_way, self.tries) = (false, 0);
        self.parts.pop().unwrap_or_default()
    }

    /// What is given up, if anything is; else it is tried again, after bad data in halves.
    fn failed(&mut self, cause: NotWritten) -> Option<(Vec<X>, GiveUp)> {
        self.is_under_way = false;
        self.tries += 1;
        match cause {
            NotWritten::Again(_) if self.tries < TRIES => None,
            NotWritten::Again(why) | NotWritten::Unavailable(why) => {
                Some((self.done(), GiveUp::Unavailable(why)))
            }
            NotWritten::BadData(why) => {
                let mut part = self.done();
                if part.len() <= 1 {
                    return Some((part, GiveUp::CannotDecide(why)));
                }
                let half = part.split_off(part.len() / 2);
                self.parts.extend([half, part]);
                None
            }
        }
    }
}
