//! Recovery in the model world: claims with a lease, asks, writes; each a step of its own, in a process that may sleep or die.

use super::{
    LEASE,
    database::Database,
    hands::{NAMES, Surroundings, ask, tell_coupon},
};
use crate::{
    completing::joined,
    ids::Gid,
    retry::{Next, RetryPolicy},
    state::{Direction, Event, TxState},
    transaction::Answer,
};
use std::time::Duration;

/// Rows claimed at once.
const BATCH: usize = 3;
/// Few attempts, so that many are used up.
pub(super) const POLICY: RetryPolicy = RetryPolicy {
    max_attempts: 3,
    first_wait: Duration::from_secs(1),
    backoff_factor: 2.0,
    max_wait: Duration::from_secs(3),
    jitter: 0.0,
};

#[derive(Default)]
pub(super) struct Recoverer {
    pub asleep_until: u64,
    claimed: Option<Claimed>,
}

struct Claimed {
    calls: Vec<(Gid, Direction)>,
    attempts: Vec<u32>,
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
            let rows = &around.database.rows;
            let attempts = calls.iter().map(|(gid, _)| rows[gid].attempts).collect();
            self.claimed = (!calls.is_empty()).then(|| Claimed {
                calls,
                attempts,
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
        let answers = NAMES.into_iter().zip(claimed.answers).collect();
        let answers = joined(claimed.calls.len(), answers);
        for ((call, attempts), mut answer) in
            claimed.calls.into_iter().zip(claimed.attempts).zip(answers)
        {
            if answer == Answer::Done {
                answer = tell_coupon(call.0, call.1, around);
            }
            write(around.database, around.now, call, attempts, &answer);
        }
    }
}

/// What `Recovery::complete` writes, under the guards of its statements.
fn write(
    database: &mut Database,
    now: u64,
    (gid, direction): (Gid, Direction),
    attempts: u32,
    answer: &Answer,
) {
    let Some(row) = database.rows.get_mut(&gid) else {
        return;
    };
    if row.stored.state != direction.decided() {
        return;
    }
    match answer {
        Answer::Done => row.stored.state = direction.finished(),
        Answer::NotYet(_) => row.due_at = now + POLICY.first_wait.as_secs() * 1_000,
        Answer::Failed(_) if row.attempts == attempts => {
            row.attempts += 1;
            match POLICY.after_failure(attempts) {
                Next::After(wait) => row.due_at = now + wait.as_secs() * 1_000,
                Next::Stuck => {
                    row.stored.state = row.stored.state.on(Event::AttemptsExhausted).unwrap();
                }
            }
        }
        Answer::Failed(_) => {}
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
