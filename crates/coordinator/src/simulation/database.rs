//! A database as the engine uses it: rows and locks, sessions that commit, roll back, are left in doubt or are ended by the server.

use super::{COUPON, Item};
use crate::{
    core::Begun,
    decision::{became, share_out},
    foreign::Reply,
    ids::{Gid, Label, Token},
    log::{BranchState, Stored},
    participant::Ballot,
    state::{Direction, Event, TxState},
    transaction::{Decided, Outcome, Ruling, Verdict},
};
use std::collections::{BTreeMap, BTreeSet};

/// Units of each label when the world begins.
const UNITS: i64 = 3;

/// Names a session.
pub(super) type SessionId = u64;

/// Another session holds what this one wants.
pub(super) struct Blocked;

/// A row of the log, with what recovery keeps in it.
pub(super) struct Row {
    pub stored: Stored,
    pub due_at: u64,
    pub attempts: u32,
    /// Of the foreign participant, where it takes part.
    pub coupon: Option<BranchState>,
    pub is_stopped: bool,
}

impl Row {
    fn owes_coupon(&self) -> bool {
        let is_over = |state| matches!(state, BranchState::Done | BranchState::Refused);
        self.coupon.is_some_and(|state| !is_over(state))
    }
}

/// A transaction of the database that is open.
#[derive(Default)]
struct Session {
    rows: BTreeSet<Gid>,
    labels: BTreeSet<Label>,
    writes: Vec<Stored>,
    /// What the last resource wrote: the outcome of each, and whether a unit was taken.
    ruled: Vec<(Gid, Label, Outcome)>,
}

#[derive(Default)]
pub(super) struct Database {
    pub rows: BTreeMap<Gid, Row>,
    /// The last resource's own rows: what retention leaves of a transaction.
    pub settled: BTreeMap<Gid, Outcome>,
    units_left: BTreeMap<Label, i64>,
    epochs: BTreeMap<Label, i64>,
    sessions: BTreeMap<SessionId, Session>,
    opened: SessionId,
    /// Decisions in force, for each transaction: never more than one.
    pub decisions: BTreeMap<Gid, Vec<Token>>,
}

impl Database {
    pub(super) fn open(&mut self) -> SessionId {
        self.opened += 1;
        self.sessions.insert(self.opened, Session::default());
        self.opened
    }

    pub(super) fn is_open(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Whether all it has to write is written, so that COMMIT may have been sent.
    pub(super) fn is_decided(&self, session: SessionId) -> bool {
        self.sessions
            .get(&session)
            .is_some_and(|session| !session.writes.is_empty())
    }

    pub(super) fn roll_back(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }

    /// Whether another session holds the row.
    pub(super) fn holds(&self, gid: Gid, but: SessionId) -> bool {
        self.sessions
            .iter()
            .any(|(id, session)| *id != but && session.rows.contains(&gid))
    }

    /// What `log::claim` and `log::read` do, then the engine's own sharing out.
    pub(super) fn claim(
        &mut self,
        id: SessionId,
        token: Token,
        mut ballots: Vec<Ballot<Item>>,
    ) -> Result<(Vec<Ballot<Item>>, Vec<Decided>), Blocked> {
        ballots.sort_unstable_by_key(|ballot| ballot.transaction.gid);
        let gids: BTreeSet<Gid> = ballots.iter().map(|it| it.transaction.gid).collect();
        if gids.iter().any(|gid| self.holds(*gid, id)) {
            return Err(Blocked);
        }
        let known: Vec<Stored> = gids
            .iter()
            .map(|gid| match self.rows.get(gid) {
                Some(row) if row.stored.state.direction().is_none() => Stored {
                    token,
                    ..row.stored.clone()
                },
                Some(row) => row.stored.clone(),
                None => Stored {
                    gid: *gid,
                    state: TxState::Committing,
                    token,
                    epoch: 0,
                    reason: None,
                    branches: 0,
                },
            })
            .collect();
        let session = self.sessions.get_mut(&id).unwrap();
        session.rows = gids;
        Ok(share_out(ballots, &known, token))
    }

    /// What a last resource does, and `record` after it. `None`: some row cannot be written.
    pub(super) fn rule(
        &mut self,
        id: SessionId,
        token: Token,
        ours: &[Ballot<Item>],
    ) -> Result<Option<Vec<Decided>>, Blocked> {
        let labels: BTreeSet<Label> = ours.iter().map(|it| it.transaction.label).collect();
        let held = self
            .sessions
            .iter()
            .any(|(other, session)| *other != id && !session.labels.is_disjoint(&labels));
        if held {
            return Err(Blocked);
        }
        let is_bad = |it: &Ballot<Item>| it.transaction.work.is_bad && it.refused.is_none();
        if ours.iter().any(is_bad) {
            return Ok(None);
        }
        let mut granted: BTreeMap<Label, i64> = BTreeMap::new();
        let mut decided = Vec::new();
        let (mut writes, mut ruled) = (Vec::new(), Vec::new());
        for ballot in ours {
            let (gid, label) = (ballot.transaction.gid, ballot.transaction.label);
            let Ruling { verdict, epoch } = self.ruling(ballot, *granted.get(&label).unwrap_or(&0));
            if verdict == Verdict::Granted {
                *granted.entry(label).or_default() += 1;
            }
            let is_new = !matches!(verdict, Verdict::AlreadySettled(_));
            let branches = self.rows.get(&gid).map_or(0, |row| row.stored.branches);
            let (state, outcome, to_complete) = became(verdict, epoch, branches).unwrap();
            let reason = match &outcome {
                Outcome::Committed => None,
                Outcome::RolledBack { reason } => Some(reason.clone()),
            };
            writes.push(Stored {
                gid,
                state,
                token,
                epoch,
                reason,
                branches,
            });
            if is_new {
                ruled.push((gid, label, outcome.clone()));
            }
            decided.push(Decided {
                gid,
                outcome,
                to_complete,
            });
        }
        let session = self.sessions.get_mut(&id).unwrap();
        (session.labels, session.writes, session.ruled) = (labels, writes, ruled);
        Ok(Some(decided))
    }

    fn ruling(&self, ballot: &Ballot<Item>, taken: i64) -> Ruling {
        let label = ballot.transaction.label;
        let epoch = *self.epochs.get(&label).unwrap_or(&1);
        let settled = self.settled.get(&ballot.transaction.gid);
        let verdict = match (settled, &ballot.refused) {
            (Some(outcome), _) => Verdict::AlreadySettled(outcome.clone()),
            (None, Some(reason)) => Verdict::Refused(reason.clone()),
            (None, None) if self.left(label) > taken => Verdict::Granted,
            (None, None) => Verdict::Refused("sold_out".to_owned()),
        };
        Ruling { verdict, epoch }
    }

    fn left(&self, label: Label) -> i64 {
        *self.units_left.get(&label).unwrap_or(&UNITS)
    }

    /// All of it or nothing.
    pub(super) fn commit(&mut self, id: SessionId, now: u64) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        for stored in session.writes {
            let due_at = now + super::LEASE;
            self.decisions
                .entry(stored.gid)
                .or_default()
                .push(stored.token);
            let coupon = self.rows.get(&stored.gid).and_then(|row| row.coupon);
            let row = Row {
                stored,
                due_at,
                attempts: 0,
                coupon,
                is_stopped: false,
            };
            self.rows.insert(row.stored.gid, row);
        }
        for (gid, label, outcome) in session.ruled {
            if outcome == Outcome::Committed {
                let left = self.left(label) - 1;
                self.units_left.insert(label, left);
            }
            self.settled.insert(gid, outcome);
        }
    }

    /// Some transaction that was begun and not decided in time.
    pub(super) fn overdue(&self, now: u64) -> Option<Gid> {
        let overdue = |row: &&Row| row.stored.state.direction().is_none() && row.due_at <= now;
        self.rows.values().find(overdue).map(|row| row.stored.gid)
    }

    /// `log::begin` of one transaction that has the foreign participant.
    pub(super) fn begin(&mut self, gid: Gid, now: u64) -> Begun {
        let row = self.rows.entry(gid).or_insert_with(|| Row {
            stored: Stored {
                gid,
                state: TxState::Begun,
                token: Token::fresh(),
                epoch: 0,
                reason: None,
                branches: 1,
            },
            due_at: now + 60_000,
            attempts: 0,
            coupon: Some(BranchState::Asking),
            is_stopped: false,
        });
        if let Some(outcome) = row.stored.outcome() {
            return Begun::Decided(outcome);
        }
        let is_open = matches!(row.coupon, Some(BranchState::Asking | BranchState::Unknown));
        let refused = row.coupon == Some(BranchState::Refused);
        if row.coupon == Some(BranchState::Promised) {
            row.stored.state = TxState::Prepared;
        }
        Begun::Undecided {
            to_ask: is_open.then(|| COUPON.to_owned()).into_iter().collect(),
            refused: refused.then(|| "unwilling".to_owned()),
        }
    }

    /// `log::note` of one transaction.
    pub(super) fn note(&mut self, gid: Gid, reply: &Reply) {
        let Some(row) = self.rows.get_mut(&gid) else {
            return;
        };
        if *reply == Reply::Done && row.stored.state == TxState::Begun {
            row.stored.state = TxState::Prepared;
        }
        if !matches!(row.coupon, Some(BranchState::Done | BranchState::Refused)) {
            row.coupon = row.coupon.map(|before| match (before, reply) {
                (_, Reply::Done) => BranchState::Promised,
                (_, Reply::No(_)) => BranchState::Refused,
                (BranchState::Promised, _) | (_, Reply::Away(..)) => before,
                _ => BranchState::Unknown,
            });
        }
    }

    /// Whether the foreign participant has to be told of its decision, as `log::to_tell` finds it.
    pub(super) fn is_to_tell(&self, gid: Gid, direction: Direction) -> bool {
        let row = self.rows.get(&gid);
        row.is_some_and(|row| row.stored.state == direction.decided() && row.owes_coupon())
    }

    /// What an operator may do to what is decided.
    pub(super) fn stop(&mut self, gid: Gid) {
        if let Some(row) = self.rows.get_mut(&gid)
            && let Ok(state) = row.stored.state.on(Event::AskedToStop)
        {
            (row.stored.state, row.is_stopped) = (state, true);
        }
    }

    pub(super) fn coupon_done(&mut self, gid: Gid) {
        if let Some(row) = self.rows.get_mut(&gid) {
            row.coupon = Some(BranchState::Done);
        }
    }

    /// Guarded by the state it had and by what the foreign participant owes, as `log::finish` is.
    pub(super) fn finish(&mut self, gid: Gid, direction: Direction) {
        if let Some(row) = self.rows.get_mut(&gid)
            && row.stored.state == direction.decided()
            && !row.owes_coupon()
        {
            row.stored.state = direction.finished();
        }
    }

    /// As `resume` does: the way it was decided.
    pub(super) fn resume(&mut self, gid: Gid, now: u64) {
        if let Some(row) = self.rows.get_mut(&gid)
            && let Ok(state) = row.stored.state.on(Event::Resumed)
        {
            (row.stored.state, row.attempts, row.due_at) = (state, 0, now);
            row.is_stopped = false;
        }
    }

    /// Retention: what is finished is forgotten, but for the last resource's rows.
    pub(super) fn forget_finished(&mut self) {
        let forgotten: Vec<Gid> = self
            .rows
            .iter()
            .filter(|(gid, row)| is_final(row.stored.state) && !self.holds(**gid, 0))
            .map(|(gid, _)| *gid)
            .collect();
        for gid in forgotten {
            self.rows.remove(&gid);
            self.decisions.remove(&gid);
        }
    }

    /// What a label's keeper does when it lost data: decisions from now on belong to the next epoch.
    pub(super) fn next_epoch(&mut self, label: Label) {
        *self.epochs.entry(label).or_insert(1) += 1;
    }

    pub(super) fn sold_right(&self) -> bool {
        let sold = self
            .settled
            .values()
            .filter(|outcome| **outcome == Outcome::Committed)
            .count();
        let taken: i64 = self.units_left.values().map(|left| UNITS - left).sum();
        self.units_left.values().all(|left| *left >= 0) && usize::try_from(taken) == Ok(sold)
    }
}

pub(super) const fn is_final(state: TxState) -> bool {
    matches!(state, TxState::Committed | TxState::RolledBack)
}
