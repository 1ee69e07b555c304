//! Everything there is in a schedule, what may happen to it next, and what must never be seen.

use super::{
    COUPON, TRANSACTIONS,
    chance::Chance,
    coupon::Coupon,
    database::{Database, SessionId, is_final},
    gid_of,
    hands::{CallerId, Process, Surroundings},
    has_coupon,
    participant::Participant,
    recovery::{POLICY, Recoverer},
    transaction,
};
use crate::{
    core::{Event, Wanted},
    ids::Gid,
    participant::Ballot,
    state::Direction,
    transaction::{Outcome, SubmitError},
};
use std::collections::{BTreeMap, BTreeSet};

/// Whether something goes wrong now. Nothing does once the faults have ended.
pub(super) struct Luck<'a> {
    chance: &'a mut Chance,
    is_calm: bool,
}

impl Luck<'_> {
    pub(super) fn is_bad(&mut self, once_in: u64) -> bool {
        self.chance.once_in(once_in) && !self.is_calm
    }

    /// Waiting for a lock ends in quiet times too.
    pub(super) fn gives_up_waiting(&mut self) -> bool {
        self.chance.once_in(6)
    }
}

/// How much of a story is kept.
#[derive(Clone, Copy)]
pub(super) enum Told {
    /// All of it, for a reader.
    Whole,
    /// Nothing: most schedules end well.
    Not,
}

pub(super) struct World {
    chance: Chance,
    is_calm: bool,
    /// The database's clock, in milliseconds. It jumps, both ways.
    clock: u64,
    /// Time as it passes.
    now: u64,
    database: Database,
    participants: [Participant; 2],
    coupon: Coupon,
    processes: [Process; 2],
    recoverers: [Recoverer; 2],
    strays: Vec<(usize, Gid, Direction)>,
    foreign_strays: Vec<(Gid, Option<Direction>)>,
    orphans: Vec<(SessionId, bool)>,
    /// Transactions to be submitted yet, often more than once.
    wishes: Vec<u128>,
    bad: BTreeSet<Gid>,
    callers: Vec<Gid>,
    /// What callers were told is final.
    told: BTreeMap<Gid, Result<Outcome, SubmitError>>,
    broken: Vec<String>,
    /// What happened; kept only where somebody will read it.
    story: Option<Vec<String>>,
}

impl World {
    pub(super) fn of_seed(seed: u64, told: Told) -> Self {
        let mut chance = Chance::of_seed(seed);
        let mut participants = [Participant::default(), Participant::default()];
        let mut coupon = Coupon::default();
        let (mut wishes, mut bad) = (Vec::new(), BTreeSet::new());
        for number in 0..TRANSACTIONS {
            for _ in 0..=chance.below(3) {
                wishes.push(number);
            }
            if chance.once_in(8) {
                bad.insert(gid_of(number));
            }
            if chance.once_in(5) {
                participants[chance.place(2)]
                    .unwilling
                    .insert(gid_of(number));
            }
            if chance.once_in(5) {
                coupon.unwilling.insert(gid_of(number));
            }
        }
        Self {
            chance,
            is_calm: false,
            clock: 100_000,
            now: 0,
            database: Database::default(),
            participants,
            coupon,
            processes: [Process::born(0), Process::born(0)],
            recoverers: Default::default(),
            strays: Vec::new(),
            foreign_strays: Vec::new(),
            orphans: Vec::new(),
            wishes,
            bad,
            callers: Vec::new(),
            told: BTreeMap::new(),
            broken: Vec::new(),
            story: matches!(told, Told::Whole).then(Vec::new),
        }
    }

    /// From now on nothing goes wrong, and callers ask again for what they were not told.
    pub(super) fn end_faults(&mut self) {
        self.tell(|| "the faults end".to_owned());
        self.is_calm = true;
        for sleeper in &mut self.processes {
            sleeper.asleep_until = 0;
        }
        for sleeper in &mut self.recoverers {
            sleeper.asleep_until = 0;
        }
        for participant in &mut self.participants {
            (participant.is_away, participant.is_failing) = (false, false);
        }
        self.coupon.is_away = false;
        let untold = (0..TRANSACTIONS).filter(|number| !self.told.contains_key(&gid_of(*number)));
        self.wishes.extend(untold);
    }

    /// One thing happens.
    pub(super) fn step(&mut self) {
        let ms = self.chance_of_time();
        self.pass(ms);
        match self.chance.below(100) {
            0..=39 => self.work(),
            40..=49 => self.submit(),
            50..=64 => self.recover(),
            65..=67 => self.stray_arrives(),
            68 => self.overdue_is_given_up(),
            69 => self.somebody_resumes(),
            70..=74 => self.orphan_ends(),
            75..=79 => self.tick(),
            _ if self.is_calm => self.work(),
            80..=83 => self.a_process_dies(),
            84..=87 => self.a_process_sleeps(),
            88..=90 => self.the_server_ends_sessions_of_sleepers(),
            91..=93 => self.the_clock_jumps(),
            94..=95 => self.a_participant_goes_or_comes(),
            96 => self.next_epoch(),
            97 => self.a_participant_fails_or_works(),
            98 => {
                self.database.forget_finished();
                self.tell(|| "retention".to_owned());
            }
            _ => self.pass(5_000),
        }
    }

    fn chance_of_time(&mut self) -> u64 {
        self.chance.below(if self.is_calm { 500 } else { 5 })
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        self.clock += ms;
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(format!("{:>7} {}", self.now, what()));
        }
    }

    /// Somebody who is awake.
    fn anyone(&mut self, of: [u64; 2]) -> Option<usize> {
        let at = self.chance.place(2);
        (of[at] <= self.now).then_some(at)
    }

    fn a_process(&mut self) -> Option<usize> {
        self.anyone([0, 1].map(|at| self.processes[at].asleep_until))
    }

    fn work(&mut self) {
        let Some(at) = self.a_process() else { return };
        if self.processes[at].jobs.is_empty() {
            return;
        }
        let job = self.chance.place(self.processes[at].jobs.len());
        let (process, mut around) = self.process_in_its_surroundings(at);
        let Some(event) = process.work(job, &mut around) else {
            return;
        };
        self.happens(at, event);
    }

    fn process_in_its_surroundings(&mut self, at: usize) -> (&mut Process, Surroundings<'_>) {
        let around = Surroundings {
            database: &mut self.database,
            participants: &mut self.participants,
            coupon: &mut self.coupon,
            luck: Luck {
                chance: &mut self.chance,
                is_calm: self.is_calm,
            },
            now: self.clock,
            strays: &mut self.strays,
            foreign_strays: &mut self.foreign_strays,
            orphans: &mut self.orphans,
            broken: &mut self.broken,
        };
        (&mut self.processes[at], around)
    }

    fn happens(&mut self, at: usize, event: Event<super::Item, CallerId>) {
        self.tell(|| format!("process {at}: {}", named(&event)));
        for (caller, result) in self.processes[at].on(event, self.now) {
            self.answered(at, caller, result);
        }
    }

    fn answered(&mut self, at: usize, caller: CallerId, result: Result<Outcome, SubmitError>) {
        let gid = self.callers[caller];
        self.tell(|| format!("process {at} tells {caller} of {gid}: {result:?}"));
        self.processes[at].told(gid, &result);
        let stored = self.stored(gid);
        match &result {
            Ok(outcome) if stored.as_ref() != Some(outcome) => self
                .broken
                .push(format!("{gid}: told {outcome:?}, but stored is {stored:?}")),
            Err(SubmitError::CannotDecide(_)) if !self.bad.contains(&gid) => {
                self.broken.push(format!("{gid} is blamed for another"));
            }
            _ => {}
        }
        if Self::is_last_word(&result) {
            self.told.insert(gid, result);
        } else if self.is_calm {
            self.wishes.extend(number_of(gid));
        }
    }

    /// Whether it is worth nothing to ask again.
    const fn is_last_word(result: &Result<Outcome, SubmitError>) -> bool {
        matches!(result, Ok(_) | Err(SubmitError::CannotDecide(_)))
    }

    /// What is in force: the log's row, or where retention removed it the last resource's.
    fn stored(&self, gid: Gid) -> Option<Outcome> {
        let logged = self.database.rows.get(&gid);
        logged
            .and_then(|row| row.stored.outcome())
            .or_else(|| self.database.settled.get(&gid).cloned())
    }

    fn submit(&mut self) {
        let Some(at) = self.a_process() else { return };
        if self.wishes.is_empty() || !self.processes[at].has_room() {
            return;
        }
        let wish = self.chance.place(self.wishes.len());
        let number = self.wishes.swap_remove(wish);
        // Now and then somebody gives it up instead.
        let gives_up = self.chance.once_in(8) && has_coupon(number);
        self.submit_to(at, number, gives_up);
    }

    /// What nobody decided in time is given up.
    fn overdue_is_given_up(&mut self) {
        let Some(at) = self.a_process() else { return };
        let overdue = self.database.overdue(self.clock);
        if let Some(number) = overdue.and_then(number_of)
            && self.processes[at].has_room()
        {
            self.submit_to(at, number, true);
        }
    }

    fn submit_to(&mut self, at: usize, number: u128, gives_up: bool) {
        let gid = gid_of(number);
        let caller = self.callers.len();
        self.callers.push(gid);
        let transaction = transaction(number, self.bad.contains(&gid));
        // Settings change: not everybody knows who takes part.
        let knows = transaction.work.has_coupon && !self.chance.once_in(6);
        let foreign = knows.then(|| COUPON.to_owned());
        let wanted = Wanted {
            ballot: Ballot {
                transaction,
                refused: gives_up.then(|| "given_up".to_owned()),
            },
            foreign: foreign.into_iter().collect(),
            caller,
        };
        self.happens(at, Event::Submitted(wanted));
    }

    fn tick(&mut self) {
        if let Some(at) = self.a_process() {
            self.happens(at, Event::Tick);
        }
    }

    fn recover(&mut self) {
        let asleep = [0, 1].map(|at| self.recoverers[at].asleep_until);
        let Some(at) = self.anyone(asleep) else {
            return;
        };
        let mut recoverer = std::mem::take(&mut self.recoverers[at]);
        recoverer.step(&mut self.process_in_its_surroundings(0).1);
        self.recoverers[at] = recoverer;
    }

    fn stray_arrives(&mut self) {
        if self.strays.is_empty() || self.chance.once_in(2) {
            self.foreign_stray_arrives();
            return;
        }
        let at = self.chance.place(self.strays.len());
        let (participant, gid, direction) = self.strays.swap_remove(at);
        self.tell(|| format!("{gid} is told {direction:?} once more"));
        if let Err(broken) = self.participants[participant].complete(gid, direction) {
            self.broken.push(broken);
        }
    }

    fn foreign_stray_arrives(&mut self) {
        if self.foreign_strays.is_empty() {
            return;
        }
        let at = self.chance.place(self.foreign_strays.len());
        let (gid, direction) = self.foreign_strays.swap_remove(at);
        self.tell(|| format!("{gid}: coupon is told {direction:?} once more"));
        match direction {
            None => _ = self.coupon.ask(gid),
            Some(direction) => {
                if let Err(broken) = self.coupon.tell(gid, direction) {
                    self.broken.push(broken);
                }
            }
        }
    }

    fn orphan_ends(&mut self) {
        if self.orphans.is_empty() {
            return;
        }
        let at = self.chance.place(self.orphans.len());
        let (session, sent_commit) = self.orphans.swap_remove(at);
        let arrives = sent_commit && self.chance.once_in(2);
        self.tell(|| format!("session {session} ends, committed: {arrives}"));
        if arrives {
            self.database.commit(session, self.clock);
        }
        self.database.roll_back(session);
    }

    fn a_process_dies(&mut self) {
        let at = self.chance.place(2);
        if self.chance.once_in(3) {
            self.tell(|| format!("recoverer {at} dies"));
            self.recoverers[at].die();
            return;
        }
        self.tell(|| format!("process {at} dies"));
        for session in self.processes[at].sessions() {
            let sent_commit = self.chance.once_in(4) && self.database.is_decided(session);
            self.orphans.push((session, sent_commit));
        }
        let denied = std::mem::take(&mut self.processes[at].denied);
        self.processes[at] = Process::born(self.now);
        self.processes[at].denied = denied;
    }

    fn a_process_sleeps(&mut self) {
        let at = self.chance.place(2);
        let until = self.now + self.chance.below(30_000);
        if self.chance.once_in(2) {
            self.recoverers[at].asleep_until = until;
        } else {
            self.processes[at].asleep_until = until;
        }
        self.tell(|| format!("one of {at} sleeps until {until}"));
    }

    /// `wait_timeout`: a paused process cannot hold what it locked.
    fn the_server_ends_sessions_of_sleepers(&mut self) {
        for at in [0, 1] {
            if self.processes[at].asleep_until <= self.now {
                continue;
            }
            for session in self.processes[at].sessions() {
                self.tell(|| format!("the server ends session {session} of {at}"));
                self.database.roll_back(session);
            }
        }
    }

    fn the_clock_jumps(&mut self) {
        let by = self.chance.below(40_000);
        self.clock = (self.clock + by).saturating_sub(20_000);
        let clock = self.clock;
        self.tell(|| format!("the database's clock is {clock} now"));
    }

    fn a_participant_goes_or_comes(&mut self) {
        let at = self.chance.place(3);
        if at == 2 {
            self.coupon.is_away = !self.coupon.is_away;
            let is_away = self.coupon.is_away;
            self.tell(|| format!("coupon is away: {is_away}"));
            return;
        }
        let participant = &mut self.participants[at];
        participant.is_away = !participant.is_away;
        let is_away = participant.is_away;
        self.tell(|| format!("participant {at} is away: {is_away}"));
    }

    fn a_participant_fails_or_works(&mut self) {
        let at = self.chance.place(2);
        let participant = &mut self.participants[at];
        participant.is_failing = !participant.is_failing;
        let is_failing = participant.is_failing;
        self.tell(|| format!("participant {at} fails: {is_failing}"));
    }

    fn somebody_resumes(&mut self) {
        let gid = gid_of(self.chance.below(8).into());
        if !self.is_calm && self.chance.once_in(2) {
            self.tell(|| format!("{gid} is stopped"));
            self.database.stop(gid);
        } else {
            self.database.resume(gid, self.clock);
        }
    }

    fn next_epoch(&mut self) {
        let label = transaction(self.chance.below(3).into(), false).label;
        self.database.next_epoch(label);
    }

    /// What must hold after every step.
    pub(super) fn verdict(&self) -> Result<(), String> {
        if let Some(broken) = self.broken.first() {
            return Err(broken.clone());
        }
        for (gid, tokens) in &self.database.decisions {
            if tokens.len() > 1 {
                return Err(format!("{gid} was decided {} times", tokens.len()));
            }
            let is_denied = |token| {
                self.processes
                    .iter()
                    .any(|process| process.denied.contains(&(*gid, token)))
            };
            if tokens.iter().any(|token| is_denied(*token)) {
                return Err(format!(
                    "{gid} was decided after a caller was told it was not"
                ));
            }
        }
        for (gid, row) in &self.database.rows {
            let failures = |participant: &Participant| participant.failures.get(gid).copied();
            let failed: u32 = self.participants.iter().filter_map(failures).sum();
            let failed = failed + self.coupon.failures.get(gid).copied().unwrap_or_default();
            let is_stuck = row.stored.state.as_str().starts_with("stuck");
            if is_stuck && !row.is_stopped && failed < POLICY.max_attempts {
                return Err(format!("{gid} is stuck, but failed {failed} times"));
            }
        }
        self.database
            .sold_right()
            .then_some(())
            .ok_or_else(|| "units and outcomes do not agree".to_owned())
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.wishes.is_empty()
            && self.strays.is_empty()
            && self.foreign_strays.is_empty()
            && self.orphans.is_empty()
            && self.processes.iter().all(Process::is_idle)
            && self.recoverers.iter().all(Recoverer::is_idle)
            && self
                .database
                .rows
                .values()
                .all(|row| is_final(row.stored.state))
    }

    /// A promise is kept or given back, and where it was asked nothing is committed without one.
    fn coupon_agrees(&self, gid: Gid, outcome: &Outcome) -> bool {
        let done = self.coupon.done.get(&gid).copied();
        let promised = self.coupon.promised.get(&gid) == Some(&true);
        match outcome {
            // Nobody who knew of it was there: it has no part in it.
            Outcome::Committed if !self.coupon.promised.contains_key(&gid) => done.is_none(),
            Outcome::Committed => promised && done == Some(Direction::Commit),
            Outcome::RolledBack { .. } if promised => done == Some(Direction::RollBack),
            Outcome::RolledBack { .. } => done != Some(Direction::Commit),
        }
    }

    /// What keeps it from rest.
    pub(super) fn unrest(&self) -> String {
        format!(
            "{} wishes, {} strays, {} orphans, idle: {:?} {:?}, states {:?}",
            self.wishes.len(),
            self.strays.len(),
            self.orphans.len(),
            [0, 1].map(|at| self.processes[at].is_idle()),
            [0, 1].map(|at| self.recoverers[at].is_idle()),
            self.database
                .rows
                .values()
                .map(|row| row.stored.state.as_str())
                .collect::<Vec<_>>()
        )
    }

    /// What must hold in the end, besides.
    pub(super) fn verdict_at_rest(&self) -> Result<(), String> {
        self.verdict()?;
        for (gid, result) in &self.told {
            if let Ok(outcome) = result
                && self.stored(*gid).as_ref() != Some(outcome)
            {
                return Err(format!("{gid}: what was told is not stored any more"));
            }
        }
        for gid in (0..TRANSACTIONS).map(gid_of) {
            let settled = self.database.settled.get(&gid);
            // What no database takes can still be given up.
            let is_given_up = matches!(settled, Some(Outcome::RolledBack { .. }));
            if settled.is_some() == self.bad.contains(&gid) && !is_given_up {
                return Err(format!("{gid} ended as {settled:?}"));
            }
            if !self.told.contains_key(&gid) {
                return Err(format!("nobody was told of {gid}"));
            }
            if let Some(outcome) = settled
                && number_of(gid).is_some_and(has_coupon)
                && !self.coupon_agrees(gid, outcome)
            {
                let (promised, done) = (self.coupon.promised.get(&gid), self.coupon.done.get(&gid));
                return Err(format!(
                    "{gid} is {outcome:?}; coupon promised {promised:?} and did {done:?}"
                ));
            }
            for participant in &self.participants {
                if participant.done.get(&gid) != settled.map(Outcome::direction).as_ref() {
                    return Err(format!(
                        "{gid} is {settled:?}, and a participant has it {:?}",
                        participant.done.get(&gid)
                    ));
                }
            }
        }
        Ok(())
    }

    pub(super) fn story(self) -> Vec<String> {
        self.story.unwrap_or_default()
    }
}

fn number_of(gid: Gid) -> Option<u128> {
    (0..TRANSACTIONS).find(|number| gid_of(*number) == gid)
}

/// Tokens are random, and no part of a story.
fn named(event: &Event<super::Item, CallerId>) -> String {
    match event {
        Event::Submitted(wanted) => {
            let Ballot {
                transaction,
                refused,
            } = &wanted.ballot;
            let (gid, caller) = (transaction.gid, wanted.caller);
            format!("{gid} is submitted by {caller}, refused: {refused:?}")
        }
        Event::Begun(written) => match written {
            Ok(begun) => format!("{} begun", begun.len()),
            Err(why) => format!("not begun: {why:?}"),
        },
        Event::Asked(gid, calls) => format!("{gid}: coupon says {:?}", calls[0].1.reply),
        Event::Noted(written) => format!("votes are noted: {written:?}"),
        Event::Committing(id) => format!("batch {id} has nothing left but COMMIT"),
        Event::Prepared(id, votes) => format!("batch {id} voted {votes:?}"),
        Event::Decided(id, tried) => format!("batch {id} decided {tried:?}"),
        Event::ReadBack(id, read) => format!("batch {id} read back {read:?}"),
        Event::Completed(id) => format!("batch {id} completed"),
        Event::Tick => "tick".to_owned(),
    }
}
