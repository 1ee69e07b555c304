//! Recovery in the model world: claims with a lease, asks, writes; each a step of its own, in a process that may sleep or die.

use super::{
    LEASE,
    database::Database,
    hands::{Surroundings, ask},
};
use crate::{
    engine::joined,
    ids::Gid,
    state::{Direction, TxState},
    transaction::Answer,
};

/// Rows claimed at once.
const BATCH: usize = 3;
/// When a row that could not be finished is looked at again, in milliseconds.
const AGAIN_AFTER: u64 = 1_000;

#[derive(Default)]
pub(super) struct Recoverer {
    pub asleep_until: u64,
    claimed: Option<Claimed>,
}

struct Claimed {
    calls: Vec<(Gid, Direction)>,
    answers: Vec<Vec<Answer>>,
}

impl Recoverer {
    pub(super) const fn is_idle(&self) -> bool {
        self.claimed.is_none()
    }

    /// Dies; what it claimed comes back after its lease.
    pub(super) fn die(&mut self) {
        *self = Self::default();
    }

    pub(super) fn step(&mut self, around: &mut Surroundings<'_>) {
        let Some(mut claimed) = self.claimed.take() else {
            let calls = claim_due(around.database, around.now);
            self.claimed = (!calls.is_empty()).then(|| Claimed {
                calls,
                answers: Vec::new(),
            });
            return;
        };
        if claimed.answers.len() < around.participants.len() {
            let answers = ask(claimed.answers.len(), &claimed.calls, around);
            claimed.answers.push(answers);
            self.claimed = Some(claimed);
            return;
        }
        if around.luck.is_bad(8) {
            return;
        }
        let answers = joined(claimed.calls.len(), claimed.answers);
        for ((gid, direction), answer) in claimed.calls.into_iter().zip(answers) {
            match answer {
                Answer::Done => around.database.finish(gid, direction),
                Answer::NotYet(_) => {
                    if let Some(row) = around.database.rows.get_mut(&gid) {
                        row.due_at = around.now + AGAIN_AFTER;
                    }
                }
            }
        }
    }
}

/// Oldest first, leased by the database's clock, rows that are locked left out.
fn claim_due(database: &mut Database, now: u64) -> Vec<(Gid, Direction)> {
    let mut due: Vec<_> = database
        .rows
        .iter()
        .filter(|(gid, row)| {
            matches!(row.stored.state, TxState::Committing | TxState::RollingBack)
                && row.due_at <= now
                && !database.holds(**gid, 0)
        })
        .filter_map(|(gid, row)| Some((row.due_at, *gid, row.stored.state.direction()?)))
        .collect();
    due.sort_unstable_by_key(|(due_at, gid, _)| (*due_at, *gid));
    due.truncate(BATCH);
    for (_, gid, _) in &due {
        if let Some(row) = database.rows.get_mut(gid) {
            row.due_at = now + LEASE;
        }
    }
    due.into_iter()
        .map(|(_, gid, direction)| (gid, direction))
        .collect()
}
