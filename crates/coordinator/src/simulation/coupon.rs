//! A foreign participant that keeps the barrier's rules: it promises once, then confirms or cancels, each as often as it is told, in
//! any order the network brings.

use crate::{foreign::Reply, ids::Gid, state::Direction};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Coupon {
    /// What it says no to.
    pub unwilling: BTreeSet<Gid>,
    /// It is not even called.
    pub is_away: bool,
    /// Whether it promised; not where it refused, or was told to cancel first.
    pub promised: BTreeMap<Gid, bool>,
    /// What it was told of each transaction first, and did.
    pub done: BTreeMap<Gid, Direction>,
    /// How often somebody could not know what it did.
    pub failures: BTreeMap<Gid, u32>,
}

impl Coupon {
    pub(super) fn ask(&mut self, gid: Gid) -> Reply {
        let willing = !self.unwilling.contains(&gid);
        if *self.promised.entry(gid).or_insert(willing) {
            Reply::Done
        } else {
            Reply::No("unwilling".to_owned())
        }
    }

    /// # Errors
    /// It is told what no coordinator may tell.
    pub(super) fn tell(&mut self, gid: Gid, direction: Direction) -> Result<Reply, String> {
        let promised = *self.promised.entry(gid).or_insert(false);
        match (self.done.get(&gid), direction) {
            (Some(before), now) if *before != now => {
                return Err(format!("{gid}: coupon did {before:?} and is told {now:?}"));
            }
            (None, Direction::Commit) if !promised => {
                return Err(format!(
                    "{gid}: coupon is told to confirm what it never promised"
                ));
            }
            _ => {}
        }
        self.done.insert(gid, direction);
        Ok(Reply::Done)
    }
}
