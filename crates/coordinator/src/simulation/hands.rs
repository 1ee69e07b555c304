//! One coordinator's process: a core, and the hands that carry out its effects one step at a time.

use super::{
    COUPON, Item,
    coupon::Coupon,
    database::{Database, SessionId},
    world::Luck,
};
use crate::{
    completing::joined,
    core::{BatchId, Core, Effect, Event, Limits, NotWritten, ToBegin, Tried, Votes},
    foreign::{Called, Reply},
    ids::{Gid, Label, Token},
    participant::Ballot,
    state::Direction,
    transaction::{Answer, Decided, Outcome, Owed, SubmitError, Transaction, Vote},
};
use chrono::DateTime;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::participant::Participant;

const LIMITS: Limits = Limits {
    batch_size: 2,
    batch_at_most: 3,
    batch_wait: Duration::from_millis(2),
    batches_in_flight: 3,
    queue: 20,
    timeout: Duration::from_mins(1),
};

/// The participants' names.
pub(super) const NAMES: [&str; 2] = ["one", "other"];

/// Names a caller.
pub(super) type CallerId = usize;

/// An effect that is being carried out.
pub(super) struct Job {
    /// Of no batch, `BatchId::MAX`.
    batch: BatchId,
    doing: Doing,
}

const NO_BATCH: BatchId = BatchId::MAX;

/// What became of one step.
enum Step {
    /// There is more to do.
    Again(Doing),
    /// It is over, and the core is told.
    Event(Event<Item, CallerId>),
    /// The core is told, and there is more to do.
    EventAnd(Event<Item, CallerId>, Doing),
    /// It is over.
    Over,
}

enum Doing {
    Begin(Vec<ToBegin<Item>>),
    Ask(Gid),
    Note(Vec<Votes>),
    Tell(Vec<(Gid, Direction)>),
    Prepare(Vec<Transaction<Item>>, Vec<Vote>, usize),
    Decide(Token, Vec<Ballot<Item>>, Option<Stage>),
    ReadBack(Token, Vec<Gid>),
    Complete(Vec<Owed<Item>>, Vec<Vec<Answer>>),
}

struct Stage {
    session: SessionId,
    claimed: Option<(Vec<Ballot<Item>>, Vec<Decided>)>,
    decided: Option<Vec<Decided>>,
}

impl Stage {
    fn waits_for_turn(&self) -> bool {
        let is_claimed = |(ours, _): &(Vec<_>, Vec<_>)| !ours.is_empty();
        self.claimed.as_ref().is_some_and(is_claimed) && self.decided.is_none()
    }
}

/// What a step of a job touches.
pub(super) struct Surroundings<'a> {
    pub database: &'a mut Database,
    pub participants: &'a mut [Participant; 2],
    pub coupon: &'a mut Coupon,
    pub luck: Luck<'a>,
    pub now: u64,
    /// Calls that arrive once more, later.
    pub strays: &'a mut Vec<(usize, Gid, Direction)>,
    /// The same of the foreign participant; without a direction it is asked for its promise.
    pub foreign_strays: &'a mut Vec<(Gid, Option<Direction>)>,
    /// Sessions nobody owns any more, and whether they sent COMMIT.
    pub orphans: &'a mut Vec<(SessionId, bool)>,
    pub broken: &'a mut Vec<String>,
}

pub(super) struct Process {
    core: Core<Item, CallerId>,
    pub jobs: Vec<Job>,
    /// It does nothing before.
    pub asleep_until: u64,
    /// Its own clock begins anew with it.
    born: u64,
    /// Tokens a transaction is being decided under.
    tokens: BTreeMap<Gid, Vec<Token>>,
    /// Tokens under which nothing may ever be decided: a caller was told so.
    pub denied: BTreeSet<(Gid, Token)>,
    /// Batches that had nothing left but COMMIT, once: who contends with them need not wait.
    committing: BTreeSet<BatchId>,
    /// Batches whose turn has come, with the labels they have it at.
    turns: BTreeMap<BatchId, BTreeSet<Label>>,
}

impl Process {
    pub(super) fn born(now: u64) -> Self {
        Self {
            core: Core::new(LIMITS),
            jobs: Vec::new(),
            asleep_until: 0,
            born: now,
            tokens: BTreeMap::new(),
            denied: BTreeSet::new(),
            committing: BTreeSet::new(),
            turns: BTreeMap::new(),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.core.has_room()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.core.is_idle() && self.jobs.is_empty()
    }

    /// Its sessions, and whether they may have sent COMMIT.
    pub(super) fn sessions(&self) -> Vec<SessionId> {
        self.jobs
            .iter()
            .filter_map(|job| match &job.doing {
                Doing::Decide(_, _, Some(stage)) => Some(stage.session),
                _ => None,
            })
            .collect()
    }

    /// Feeds the core, takes its effects on, and gives what callers are told.
    pub(super) fn on(
        &mut self,
        event: Event<Item, CallerId>,
        now: u64,
    ) -> Vec<(CallerId, Result<Outcome, SubmitError>)> {
        let mut effects = Vec::new();
        let now = Duration::from_millis(now.saturating_sub(self.born));
        self.core.on(event, now, &mut effects);
        self.core.start(now, &mut effects);
        let mut told = Vec::new();
        for effect in effects {
            let (batch, doing) = match effect {
                Effect::Answer(caller, result) => {
                    told.push((caller, result));
                    continue;
                }
                Effect::Begin(to_begin) => (NO_BATCH, Doing::Begin(to_begin)),
                Effect::Ask(transaction, names) => {
                    assert_eq!(names, [COUPON]);
                    (NO_BATCH, Doing::Ask(transaction.gid))
                }
                Effect::Note(votes) => (NO_BATCH, Doing::Note(votes)),
                Effect::Prepare(id, batch) => {
                    let votes = vec![Vote::Yes; batch.len()];
                    (id, Doing::Prepare(batch, votes, 0))
                }
                Effect::Decide(id, token, ballots) => {
                    assert!(ballots.len() <= LIMITS.batch_at_most);
                    for ballot in &ballots {
                        let gid = ballot.transaction.gid;
                        self.tokens.entry(gid).or_default().push(token);
                    }
                    (id, Doing::Decide(token, ballots, None))
                }
                Effect::Turn(id) => {
                    self.turn_has_come(id);
                    continue;
                }
                Effect::ReadBack(id, token, gids) => (id, Doing::ReadBack(token, gids)),
                Effect::Complete(id, owed, _) => (id, Doing::Complete(owed, Vec::new())),
            };
            self.jobs.push(Job { batch, doing });
        }
        told
    }

    /// No two batches of one label have their turn at once, before one of them has nothing left but COMMIT.
    fn turn_has_come(&mut self, id: BatchId) {
        let of_batch = self.jobs.iter().filter(|job| job.batch == id);
        let mut deciding = of_batch.filter_map(|job| match &job.doing {
            Doing::Decide(_, ballots, _) => Some(ballots),
            _ => None,
        });
        let Some(ballots) = deciding.next_back() else {
            return;
        };
        let labels: BTreeSet<Label> = ballots.iter().map(|it| it.transaction.label).collect();
        let writes = |id: &BatchId| !self.committing.contains(id);
        for (other, held) in self.turns.iter().filter(|(other, _)| **other != id) {
            let clash = writes(&id) && writes(other) && !held.is_disjoint(&labels);
            assert!(!clash, "batches {id} and {other} share a label");
        }
        self.turns.insert(id, labels);
    }

    /// A caller was told: what was tried for it so far is either in force, or must never be.
    pub(super) fn told(&mut self, gid: Gid, result: &Result<Outcome, SubmitError>) {
        for token in self.tokens.remove(&gid).unwrap_or_default() {
            if result.is_err() {
                self.denied.insert((gid, token));
            }
        }
    }

    /// Goes on with one job: the core's event once it is done.
    pub(super) fn work(
        &mut self,
        at: usize,
        around: &mut Surroundings<'_>,
    ) -> Option<Event<Item, CallerId>> {
        let Job { batch, doing } = self.jobs.swap_remove(at);
        let has_turn = self.turns.contains_key(&batch);
        let (event, more) = match doing.step(batch, has_turn, around) {
            Step::Again(doing) => (None, Some(doing)),
            Step::Event(event) => (Some(event), None),
            Step::EventAnd(event, doing) => (Some(event), Some(doing)),
            Step::Over => (None, None),
        };
        self.jobs.extend(more.map(|doing| Job { batch, doing }));
        match &event {
            Some(Event::Committing(id)) => _ = self.committing.insert(*id),
            Some(Event::Decided(id, _)) => _ = self.turns.remove(id),
            _ => {}
        }
        event
    }
}

impl Doing {
    fn step(self, id: BatchId, has_turn: bool, around: &mut Surroundings<'_>) -> Step {
        match self {
            Self::Begin(to_begin) => Step::Event(Event::Begun(begin(&to_begin, around))),
            Self::Ask(gid) => {
                let called = called(ask_coupon(gid, around));
                Step::Event(Event::Asked(gid, vec![(COUPON.to_owned(), called)]))
            }
            Self::Note(votes) => {
                if around.luck.is_bad(12) {
                    let lost = NotWritten::Unavailable("no session".to_owned());
                    return Step::Event(Event::Noted(Err(lost)));
                }
                if votes.iter().any(|one| around.database.holds(one.gid, 0)) {
                    return Step::Again(Self::Note(votes));
                }
                for one in &votes {
                    around.database.note(one.gid, &one.calls[0].1.reply);
                }
                if around.luck.is_bad(12) {
                    let lost = NotWritten::Unavailable("no answer".to_owned());
                    return Step::Event(Event::Noted(Err(lost)));
                }
                Step::Event(Event::Noted(Ok(())))
            }
            Self::Tell(calls) => {
                for (gid, direction) in calls {
                    if tell_coupon(gid, direction, around) == Answer::Done && !around.luck.is_bad(6)
                    {
                        around.database.finish(gid, direction);
                    }
                }
                Step::Over
            }
            Self::Prepare(batch, mut votes, at) => {
                // Without an answer the last resource decides alone.
                if !around.luck.is_bad(6) {
                    for (vote, transaction) in votes.iter_mut().zip(&batch) {
                        if *vote == Vote::Yes {
                            *vote = around.participants[at].prepare(transaction.gid);
                        }
                    }
                }
                if at + 1 < around.participants.len() {
                    return Step::Again(Self::Prepare(batch, votes, at + 1));
                }
                Step::Event(Event::Prepared(id, votes))
            }
            // What is written into the log, and not ruled on: it waits, with its rows locked.
            Self::Decide(token, ballots, Some(stage)) if !has_turn && stage.waits_for_turn() => {
                Step::Again(Self::Decide(token, ballots, Some(stage)))
            }
            Self::Decide(token, ballots, stage) => decide(id, token, ballots, stage, around),
            // Others may be faster.
            Self::ReadBack(token, gids) if around.luck.is_bad(2) => {
                Step::Again(Self::ReadBack(token, gids))
            }
            Self::ReadBack(token, gids) => {
                if around.luck.is_bad(3) || gids.iter().any(|gid| around.database.holds(*gid, 0)) {
                    return Step::Event(Event::ReadBack(id, Err("no answer".to_owned())));
                }
                let decided = gids
                    .iter()
                    .filter_map(|gid| around.database.rows.get(gid))
                    .filter_map(|row| crate::decision::stored(&row.stored, token))
                    .collect();
                Step::Event(Event::ReadBack(id, Ok(decided)))
            }
            Self::Complete(owed, mut answers) => {
                let calls = owed.iter().map(|it| (it.transaction.gid, it.direction));
                let calls: Vec<_> = calls.collect();
                if answers.len() < around.participants.len() {
                    answers.push(ask(answers.len(), &calls, around));
                    return Step::Again(Self::Complete(owed, answers));
                }
                let answers = joined(calls.len(), NAMES.into_iter().zip(answers).collect());
                // Marking may be lost as well: recovery does it again.
                let is_lost = around.luck.is_bad(6);
                let mut outside = Vec::new();
                for ((call, answer), it) in calls.into_iter().zip(answers).zip(owed) {
                    let (gid, direction) = call;
                    match answer {
                        Answer::Done if it.rest.branches > 0 => outside.push(call),
                        Answer::Done if !is_lost => around.database.finish(gid, direction),
                        _ => {}
                    }
                }
                let completed = Event::Completed(id);
                if outside.is_empty() {
                    return Step::Event(completed);
                }
                Step::EventAnd(completed, Self::Tell(outside))
            }
        }
    }
}

fn called(reply: Reply) -> Called {
    Called {
        at: DateTime::UNIX_EPOCH,
        took: Duration::ZERO,
        reply,
    }
}

/// `log::begin`: one database transaction, whose reply may be lost.
fn begin(
    to_begin: &[ToBegin<Item>],
    around: &mut Surroundings<'_>,
) -> crate::core::Written<std::collections::HashMap<Gid, crate::core::Begun>> {
    let lost = || Err(NotWritten::Unavailable("no answer".to_owned()));
    if around.luck.is_bad(12) {
        return lost();
    }
    let gids = to_begin.iter().map(|one| one.transaction.gid);
    if gids.clone().any(|gid| around.database.holds(gid, 0)) {
        return Err(NotWritten::Again("lock wait timeout".to_owned()));
    }
    let begun = gids.map(|gid| (gid, around.database.begin(gid, around.now)));
    let begun = begun.collect();
    if around.luck.is_bad(12) {
        return lost();
    }
    Ok(begun)
}

/// Asks the foreign participant: the call or its reply may be lost, and the call may arrive later, or once more.
fn ask_coupon(gid: Gid, around: &mut Surroundings<'_>) -> Reply {
    if around.coupon.is_away {
        return Reply::Away("away".to_owned(), None);
    }
    if around.luck.is_bad(6) {
        around.foreign_strays.push((gid, None));
        return Reply::Unknown("no answer".to_owned());
    }
    let reply = around.coupon.ask(gid);
    if around.luck.is_bad(4) {
        around.foreign_strays.push((gid, None));
    }
    if around.luck.is_bad(6) {
        return Reply::Unknown("no answer".to_owned());
    }
    reply
}

/// Tells the foreign participant, as unsurely; what it says is written down where that is not lost.
pub(super) fn tell_coupon(gid: Gid, direction: Direction, around: &mut Surroundings<'_>) -> Answer {
    if !around.database.is_to_tell(gid, direction) {
        return Answer::Done;
    }
    if around.coupon.is_away {
        return Answer::NotYet("away".to_owned());
    }
    if around.luck.is_bad(4) {
        around.foreign_strays.push((gid, Some(direction)));
    }
    let reply = around.coupon.tell(gid, direction);
    let reply = reply.unwrap_or_else(|broken| {
        around.broken.push(broken);
        Reply::Done
    });
    if reply != Reply::Done || around.luck.is_bad(6) {
        *around.coupon.failures.entry(gid).or_default() += 1;
        return Answer::Failed("no answer".to_owned());
    }
    if !around.luck.is_bad(6) {
        around.database.coupon_done(gid);
    }
    Answer::Done
}

/// Calls one participant: the call or its reply may be lost, answers may be missing, and the call may arrive once more.
pub(super) fn ask(
    participant: usize,
    calls: &[(Gid, Direction)],
    around: &mut Surroundings<'_>,
) -> Vec<Answer> {
    let lost = Answer::NotYet("no answer".to_owned());
    if around.luck.is_bad(8) {
        return vec![lost; calls.len()];
    }
    let mut answers = Vec::with_capacity(calls.len());
    for (gid, direction) in calls {
        match around.participants[participant].complete(*gid, *direction) {
            Ok(answer) => answers.push(answer),
            Err(broken) => around.broken.push(broken),
        }
        if around.luck.is_bad(4) {
            around.strays.push((participant, *gid, *direction));
        }
    }
    if around.luck.is_bad(8) {
        return vec![lost; calls.len()];
    }
    if around.luck.is_bad(12) {
        let kept = answers.len() / 2;
        // Where answers are missing nothing is known, though all was applied.
        answers.truncate(kept);
    }
    answers
}

/// The stages of `decision::try_once`.
fn decide(
    id: BatchId,
    token: Token,
    ballots: Vec<Ballot<Item>>,
    stage: Option<Stage>,
    around: &mut Surroundings<'_>,
) -> Step {
    let tried = |tried| Step::Event(Event::Decided(id, tried));
    let Some(mut stage) = stage else {
        if around.luck.is_bad(12) {
            return tried(Tried::Unavailable("no session".to_owned()));
        }
        let stage = Stage {
            session: around.database.open(),
            claimed: None,
            decided: None,
        };
        return Step::Again(Doing::Decide(token, ballots, Some(stage)));
    };
    let session = stage.session;
    let is_open = around.database.is_open(session);
    let Some((ours, known)) = &stage.claimed else {
        if !is_open || around.luck.is_bad(12) {
            around.database.roll_back(session);
            return tried(Tried::Unavailable("the session broke".to_owned()));
        }
        let Ok(claimed) = around.database.claim(session, token, ballots.clone()) else {
            return match contended(session, around) {
                Some(contended) => tried(contended),
                None => Step::Again(Doing::Decide(token, ballots, Some(stage))),
            };
        };
        stage.claimed = Some(claimed);
        return Step::Again(Doing::Decide(token, ballots, Some(stage)));
    };
    let Some(decided) = &stage.decided else {
        if !is_open || around.luck.is_bad(12) {
            around.database.roll_back(session);
            return tried(Tried::Unavailable("the session broke".to_owned()));
        }
        match around.database.rule(session, token, ours) {
            Ok(Some(mut decided)) => {
                decided.extend(known.iter().cloned());
                stage.decided = Some(decided);
                let committing = Event::Committing(id);
                return Step::EventAnd(committing, Doing::Decide(token, ballots, Some(stage)));
            }
            Ok(None) => {
                around.database.roll_back(session);
                return tried(Tried::BadData("a row cannot be written".to_owned()));
            }
            Err(_) => {
                return match contended(session, around) {
                    Some(contended) => tried(contended),
                    None => Step::Again(Doing::Decide(token, ballots, Some(stage))),
                };
            }
        }
    };
    if !is_open {
        return tried(Tried::ReplyLost("the session was ended".to_owned()));
    }
    if around.luck.is_bad(5) {
        // COMMIT is on its way, and may arrive or not.
        around.orphans.push((session, true));
        return tried(Tried::ReplyLost("no answer to COMMIT".to_owned()));
    }
    around.database.commit(session, around.now);
    if around.luck.is_bad(5) {
        return tried(Tried::ReplyLost("no answer to COMMIT".to_owned()));
    }
    tried(Tried::Done(decided.clone()))
}

/// Waits on, or gives up waiting for a lock.
fn contended(session: SessionId, around: &mut Surroundings<'_>) -> Option<Tried> {
    around.luck.gives_up_waiting().then(|| {
        around.database.roll_back(session);
        Tried::Contended("lock wait timeout".to_owned())
    })
}
