//! One coordinator's process: a core, and the hands that carry out its effects one step at a time.

use super::{
    Item,
    database::{Database, SessionId},
    world::Luck,
};
use crate::{
    core::{BatchId, Core, Effect, Event, Limits, Tried},
    engine::joined,
    ids::{Gid, Label, Token},
    participant::Ballot,
    transaction::{Answer, Decided, Outcome, SubmitError, Transaction, Vote},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::participant::Participant;

const LIMITS: Limits = Limits {
    batch_size: 3,
    batch_wait: Duration::from_millis(2),
    batches_in_flight: 2,
    queue: 20,
};

/// The participants' names.
pub(super) const NAMES: [&str; 2] = ["one", "other"];

/// Names a caller.
pub(super) type CallerId = usize;

/// An effect that is being carried out.
pub(super) struct Job {
    batch: BatchId,
    doing: Doing,
}

enum Doing {
    Prepare(Vec<Transaction<Item>>, Vec<Vote>, usize),
    Decide(Token, Vec<Ballot<Item>>, Option<Stage>),
    ReadBack(Token, Vec<Gid>),
    Complete(Vec<(Transaction<Item>, Outcome, i64)>, Vec<Vec<Answer>>),
}

struct Stage {
    session: SessionId,
    claimed: Option<(Vec<Ballot<Item>>, Vec<Decided>)>,
    decided: Option<Vec<Decided>>,
}

/// What a step of a job touches.
pub(super) struct Surroundings<'a> {
    pub database: &'a mut Database,
    pub participants: &'a mut [Participant; 2],
    pub luck: Luck<'a>,
    pub now: u64,
    /// Calls that arrive once more, later.
    pub strays: &'a mut Vec<(usize, Gid, crate::state::Direction)>,
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
        self.core.start_batches(now, &mut effects);
        let mut told = Vec::new();
        for effect in effects {
            let (batch, doing) = match effect {
                Effect::Answer(caller, result) => {
                    told.push((caller, result));
                    continue;
                }
                Effect::Prepare(id, batch) => {
                    let votes = vec![Vote::Yes; batch.len()];
                    (id, Doing::Prepare(batch, votes, 0))
                }
                Effect::Decide(id, token, ballots) => {
                    assert!(ballots.len() <= LIMITS.batch_size);
                    for ballot in &ballots {
                        let gid = ballot.transaction.gid;
                        self.tokens.entry(gid).or_default().push(token);
                    }
                    self.assert_labels_are_free(id, &ballots);
                    (id, Doing::Decide(token, ballots, None))
                }
                Effect::ReadBack(id, token, gids) => (id, Doing::ReadBack(token, gids)),
                Effect::Complete(id, decided) => (id, Doing::Complete(decided, Vec::new())),
            };
            self.jobs.push(Job { batch, doing });
        }
        told
    }

    /// No two batches of one label are decided at once.
    fn assert_labels_are_free(&self, id: BatchId, ballots: &[Ballot<Item>]) {
        let labels: BTreeSet<Label> = ballots.iter().map(|it| it.transaction.label).collect();
        for job in self.jobs.iter().filter(|job| job.batch != id) {
            if let Doing::Decide(_, others, _) = &job.doing {
                let clash = others
                    .iter()
                    .any(|it| labels.contains(&it.transaction.label));
                assert!(!clash, "batches {id} and {} share a label", job.batch);
            }
        }
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
        match doing.step(batch, around) {
            Ok(event) => Some(event),
            Err(doing) => {
                self.jobs.push(Job { batch, doing });
                None
            }
        }
    }
}

impl Doing {
    /// One step: the event that ends it, or what is left to do.
    fn step(
        self,
        id: BatchId,
        around: &mut Surroundings<'_>,
    ) -> Result<Event<Item, CallerId>, Self> {
        match self {
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
                    return Err(Self::Prepare(batch, votes, at + 1));
                }
                Ok(Event::Prepared(id, votes))
            }
            Self::Decide(token, ballots, stage) => {
                decide(token, ballots, stage, around).map(|tried| Event::Decided(id, tried))
            }
            Self::ReadBack(token, gids) => {
                if around.luck.is_bad(3) || gids.iter().any(|gid| around.database.holds(*gid, 0)) {
                    return Ok(Event::ReadBack(id, Err("no answer".to_owned())));
                }
                let decided = gids
                    .iter()
                    .filter_map(|gid| around.database.rows.get(gid))
                    .filter_map(|row| crate::decision::stored(&row.stored, token))
                    .collect();
                Ok(Event::ReadBack(id, Ok(decided)))
            }
            Self::Complete(decided, mut answers) => {
                let calls = decided
                    .iter()
                    .map(|(transaction, outcome, _)| (transaction.gid, outcome.direction()));
                let calls: Vec<_> = calls.collect();
                if answers.len() < around.participants.len() {
                    answers.push(ask(answers.len(), &calls, around));
                    return Err(Self::Complete(decided, answers));
                }
                let answers = joined(calls.len(), NAMES.into_iter().zip(answers).collect());
                // Marking may be lost as well: recovery does it again.
                if !around.luck.is_bad(6) {
                    for ((gid, direction), answer) in calls.into_iter().zip(answers) {
                        if answer == Answer::Done {
                            around.database.finish(gid, direction);
                        }
                    }
                }
                Ok(Event::Completed(id))
            }
        }
    }
}

/// Calls one participant: the call or its reply may be lost, answers may be missing, and the call may arrive once more.
pub(super) fn ask(
    participant: usize,
    calls: &[(Gid, crate::state::Direction)],
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
    token: Token,
    ballots: Vec<Ballot<Item>>,
    stage: Option<Stage>,
    around: &mut Surroundings<'_>,
) -> Result<Tried, Doing> {
    let Some(mut stage) = stage else {
        if around.luck.is_bad(12) {
            return Ok(Tried::Unavailable("no session".to_owned()));
        }
        let stage = Stage {
            session: around.database.open(),
            claimed: None,
            decided: None,
        };
        return Err(Doing::Decide(token, ballots, Some(stage)));
    };
    let session = stage.session;
    let is_open = around.database.is_open(session);
    let Some((ours, known)) = &stage.claimed else {
        if !is_open || around.luck.is_bad(12) {
            around.database.roll_back(session);
            return Ok(Tried::Unavailable("the session broke".to_owned()));
        }
        let Ok(claimed) = around.database.claim(session, token, ballots.clone()) else {
            return contended(session, around).ok_or(Doing::Decide(token, ballots, Some(stage)));
        };
        stage.claimed = Some(claimed);
        return Err(Doing::Decide(token, ballots, Some(stage)));
    };
    let Some(decided) = &stage.decided else {
        if !is_open || around.luck.is_bad(12) {
            around.database.roll_back(session);
            return Ok(Tried::Unavailable("the session broke".to_owned()));
        }
        match around.database.rule(session, token, ours) {
            Ok(Some(mut decided)) => {
                decided.extend(known.iter().cloned());
                stage.decided = Some(decided);
                return Err(Doing::Decide(token, ballots, Some(stage)));
            }
            Ok(None) => {
                around.database.roll_back(session);
                return Ok(Tried::BadData("a row cannot be written".to_owned()));
            }
            Err(_) => {
                return contended(session, around).ok_or(Doing::Decide(
                    token,
                    ballots,
                    Some(stage),
                ));
            }
        }
    };
    if !is_open {
        return Ok(Tried::ReplyLost("the session was ended".to_owned()));
    }
    if around.luck.is_bad(5) {
        // COMMIT is on its way, and may arrive or not.
        around.orphans.push((session, true));
        return Ok(Tried::ReplyLost("no answer to COMMIT".to_owned()));
    }
    around.database.commit(session, around.now);
    if around.luck.is_bad(5) {
        return Ok(Tried::ReplyLost("no answer to COMMIT".to_owned()));
    }
    Ok(Tried::Done(decided.clone()))
}

/// Waits on, or gives up waiting for a lock.
fn contended(session: SessionId, around: &mut Surroundings<'_>) -> Option<Tried> {
    around.luck.gives_up_waiting().then(|| {
        around.database.roll_back(session);
        Tried::Contended("lock wait timeout".to_owned())
    })
}
