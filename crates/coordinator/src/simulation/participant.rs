//! A participant: it promises, then applies or undoes, each as often as it is asked; what it is asked may come late or twice.

use crate::{
    ids::Gid,
    state::Direction,
    transaction::{Answer, Vote},
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Participant {
    /// What it says no to.
    pub unwilling: BTreeSet<Gid>,
    /// Says "not now" to every completion.
    pub is_away: bool,
    /// Fails what it is asked to do.
    pub is_failing: bool,
    /// How often it failed at each transaction.
    pub failures: BTreeMap<Gid, u32>,
    /// What it was told of each transaction first, and did.
    pub done: BTreeMap<Gid, Direction>,
}

impl Participant {
    pub(super) fn prepare(&self, gid: Gid) -> Vote {
        if self.unwilling.contains(&gid) && !self.done.contains_key(&gid) {
            Vote::No("unwilling".to_owned())
        } else {
            Vote::Yes
        }
    }

    /// # Errors
    /// It did the opposite before.
    pub(super) fn complete(&mut self, gid: Gid, direction: Direction) -> Result<Answer, String> {
        if self.is_away {
            return Ok(Answer::NotYet("away".to_owned()));
        }
        if self.is_failing && !self.done.contains_key(&gid) {
            *self.failures.entry(gid).or_default() += 1;
            return Ok(Answer::Failed("failing".to_owned()));
        }
        match self.done.get(&gid) {
            Some(before) if *before == direction => Ok(Answer::Done),
            Some(before) => Err(format!("{gid} was {before:?} and is told {direction:?}")),
            None => {
                self.done.insert(gid, direction);
                Ok(Answer::Done)
            }
        }
    }
}
