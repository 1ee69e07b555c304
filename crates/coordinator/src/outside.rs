//! Foreign participants as the engine and recovery use them: what is written down before a call and after it, and how many may be
//! in hand.
//!
//! So many transactions wait here for each participant and no more: one that is slow or away holds nobody else up. Of the others,
//! whoever is to be asked is sent away, and whoever is to be told is parked in the log and woken as there is room; of a participant
//! that does not answer, one, to see whether it does again.

use crate::{
    core::{Begun, NotWritten, ToBegin, Tried, Votes, Written},
    decision::classify,
    foreign::{Called, ForeignParticipants, HttpParticipant, Phase, Reply},
    ids::Gid,
    log::{self, BranchState, Line, ToTell, Waits},
    sessions::Sessions,
    state::Direction,
    transaction::{Answer, Transaction, Work},
};
use chrono::Utc;
use futures::future::join_all;
use sqlx::MySqlConnection;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

/// How long the participants of a transaction may take to promise, repeats and the wait for a turn included.
const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// How long telling them may take.
const TOLD_WITHIN: Duration = Duration::from_secs(8);
/// How long nobody else tells what is being told: that, and reading and writing the log.
pub(crate) const TELLING: Duration = Duration::from_secs(30);
/// The pause before somebody is asked again who is still at it and does not say how long.
const STILL_AT_IT: Duration = Duration::from_millis(200);
/// Branches in hand for one participant, at most: so many to be asked, and so many to be told.
const IN_HAND: u32 = 1_000;
const TOO_MANY: &str = "too many wait for it";
/// No count of how often somebody came back.
const NEVER: u64 = u64::MAX;
const IS_UNKNOWN: &str = "no such participant is configured";

/// See the module's documentation.
pub(crate) struct Outside {
    foreign: ForeignParticipants,
    sessions: Sessions,
    desks: HashMap<String, Desk>,
}

/// Where branches wait for one participant.
struct Desk {
    to_ask: Semaphore,
    to_tell: Semaphore,
    /// Whether it answered anything since this began.
    has_answered: AtomicBool,
    /// How often it had come back when those that waited for it were woken last; at first never.
    came_back: AtomicU64,
}

/// What foreign participants said when they were told.
pub(crate) struct Answers {
    phase: Phase,
    told: Vec<ToTell>,
    calls: Vec<Called>,
}

/// What became of a transaction's foreign branches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub gid: Gid,
    pub answer: Answer,
    /// Whether it is to wait until it is woken.
    pub is_parked: bool,
}

impl Outside {
    pub(crate) fn new(foreign: ForeignParticipants, sessions: Sessions) -> Self {
        let desk = |participant: &Arc<HttpParticipant>| {
            let desk = Desk {
                to_ask: Semaphore::new(IN_HAND as usize),
                to_tell: Semaphore::new(IN_HAND as usize),
                has_answered: AtomicBool::new(false),
                came_back: AtomicU64::new(NEVER),
            };
            (participant.name().to_owned(), desk)
        };
        let desks = foreign.iter().map(desk).collect();
        Self {
            foreign,
            sessions,
            desks,
        }
    }

    /// Writes transactions down before anybody is asked.
    pub(crate) async fn begin<W: Work>(
        &self,
        to_begin: Vec<ToBegin<W>>,
        overdue_after: Duration,
    ) -> Written<HashMap<Gid, Begun>> {
        self.written(async |session| log::begin(session, to_begin, overdue_after).await)
            .await
    }

    /// Writes down what participants said.
    pub(crate) async fn note(&self, votes: &[Votes]) -> Written<()> {
        let op = |name: &str| self.op(name, Phase::Ask);
        self.written(async |session| log::note(session, votes, op).await)
            .await
    }

    async fn written<X>(
        &self,
        write: impl AsyncFnOnce(&mut MySqlConnection) -> sqlx::Result<X>,
    ) -> Written<X> {
        self.sessions
            .lend(write)
            .await
            .map_err(|cause| match classify(&cause) {
                Tried::Contended(why) => NotWritten::Again(why),
                Tried::BadData(why) => NotWritten::BadData(why),
                _ => NotWritten::Unavailable(cause.to_string()),
            })
    }

    /// Asks these participants for their promise, all at once; who is still at it is asked again while there is time.
    pub(crate) async fn ask<W: Work>(
        &self,
        transaction: &Transaction<W>,
        names: Vec<String>,
    ) -> Vec<(String, Called)> {
        let body = log::payload(&transaction.work);
        let until = Instant::now() + ASKED_WITHIN;
        let asked = names.into_iter().map(async |name| {
            let (Some(participant), Some(desk)) = (self.foreign.get(&name), self.desks.get(&name))
            else {
                return (name, not_called(IS_UNKNOWN));
            };
            let Ok(_place) = desk.to_ask.try_acquire() else {
                return (name, not_called(TOO_MANY));
            };
            loop {
                let trace = transaction.work.traceparent();
                let called = participant
                    .call(Phase::Ask, transaction.gid, &body, trace, until)
                    .await;
                desk.heard(&called.reply);
                let Reply::Running(wait) = called.reply else {
                    return (name, called);
                };
                let wait = wait.unwrap_or(STILL_AT_IT);
                if Instant::now() + wait >= until {
                    return (name, called);
                }
                sleep(wait).await;
            }
        });
        join_all(asked).await
    }

    /// Tells the foreign participants of these transactions, which were all decided the same way. Not those that were finished or
    /// stopped meanwhile.
    pub(crate) async fn tell(&self, direction: Direction, gids: &[Gid]) -> sqlx::Result<Answers> {
        let reading = async |db: &mut _| log::to_tell(db, direction, gids).await;
        let told = self.sessions.lend(reading).await?;
        let until = Instant::now() + TOLD_WITHIN;
        let phase = match direction {
            Direction::Commit => Phase::Commit,
            Direction::RollBack => Phase::RollBack,
        };
        let calls = told.iter().map(|one| self.tell_one(phase, one, until));
        let calls = join_all(calls).await;
        Ok(Answers { phase, told, calls })
    }

    /// Writes down what those said that are done.
    pub(crate) async fn write_done(&self, answers: &Answers) -> sqlx::Result<()> {
        let lines = self.lines(answers, |called| called.reply == Reply::Done);
        let writing = async |db: &mut _| log::write(db, &lines).await;
        self.sessions.lend(writing).await
    }

    /// Writes down what the others said, and that they are waited for.
    pub(crate) async fn write_open(
        &self,
        db: &mut MySqlConnection,
        answers: &Answers,
    ) -> sqlx::Result<()> {
        let is_open = |called: &Called| called.reply != Reply::Done && called.was_sent();
        log::write(db, &self.lines(answers, is_open)).await?;
        let unsent = answers.pairs().filter(|(_, called)| !called.was_sent());
        let unsent = unsent.map(|(one, _)| (one.gid, one.participant.as_str()));
        log::wait_for_turn(db, &unsent.collect::<Vec<_>>()).await
    }

    fn lines<'a>(&self, answers: &'a Answers, which: impl Fn(&Called) -> bool) -> Vec<Line<'a>> {
        let wanted = answers.pairs().filter(|(_, called)| which(called));
        wanted
            .map(|(one, called)| Line {
                gid: one.gid,
                participant: &one.participant,
                is_foreign: true,
                state: state_after(&called.reply),
                op: self.op(&one.participant, answers.phase),
                called,
                waits: Some(waits(&called.reply)),
            })
            .collect()
    }

    async fn tell_one(&self, phase: Phase, one: &ToTell, until: Instant) -> Called {
        let (Some(participant), Some(desk)) = (
            self.foreign.get(&one.participant),
            self.desks.get(&one.participant),
        ) else {
            return Called {
                reply: Reply::Unknown(IS_UNKNOWN.to_owned()),
                ..not_called(IS_UNKNOWN)
            };
        };
        let Ok(_place) = desk.to_tell.try_acquire() else {
            return not_called(TOO_MANY);
        };
        let called = participant
            .call(phase, one.gid, &one.payload, None, until)
            .await;
        desk.heard(&called.reply);
        called
    }

    /// Lets transactions that wait for a participant go on, as far as it has room for them: of one that does not answer, one; of one
    /// that was away and answers again, also those that wait for their next try, and those that are stuck for its sake, a thousand at
    /// a time. Of what happened before this process began nothing is known: the first answer counts as a return.
    pub(crate) async fn wake(&self) -> sqlx::Result<()> {
        for participant in self.foreign.iter() {
            let (name, Some(desk)) = (participant.name(), self.desks.get(participant.name()))
            else {
                continue;
            };
            if participant.is_away() {
                continue;
            }
            let came_back = *participant.came_back().borrow();
            if desk.has_answered.load(Ordering::Relaxed)
                && desk.came_back.load(Ordering::Relaxed) != came_back
            {
                let waking = async |db: &mut _| log::come_back(db, name).await;
                if !self.sessions.lend(waking).await? {
                    desk.came_back.store(came_back, Ordering::Relaxed);
                }
            }
            let room = u32::try_from(desk.to_tell.available_permits()).unwrap_or(IN_HAND);
            let room = if participant.answers() {
                room
            } else {
                room.min(1)
            };
            if room > 0 {
                let waking = async |db: &mut _| log::wake(db, name, room).await;
                self.sessions.lend(waking).await?;
            }
        }
        Ok(())
    }

    /// The session of writes that belong to what is done here.
    pub(crate) const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    fn op(&self, name: &str, phase: Phase) -> &'static str {
        let participant = self.foreign.get(name);
        let op = participant.and_then(|it| it.style().op(phase));
        op.map_or("none", crate::foreign::Op::as_str)
    }
}

impl Desk {
    fn heard(&self, reply: &Reply) {
        if matches!(reply, Reply::Done | Reply::No(_) | Reply::Running(_)) {
            self.has_answered.store(true, Ordering::Relaxed);
        }
    }
}

impl Answers {
    fn pairs(&self) -> impl Iterator<Item = (&ToTell, &Called)> {
        self.told.iter().zip(&self.calls)
    }

    /// What all participants of each of these said together.
    pub(crate) fn together(&self, gids: &[Gid]) -> Vec<Told> {
        together(gids, &self.told, &self.calls)
    }
}

/// Whoever asked these panicked.
pub(crate) fn nobody_knows(names: Vec<String>) -> Vec<(String, Called)> {
    let unknown = Reply::Unknown("asking it panicked".to_owned());
    let unknown = |name| {
        let called = Called {
            reply: unknown.clone(),
            ..not_called("")
        };
        (name, called)
    };
    names.into_iter().map(unknown).collect()
}

fn not_called(why: &str) -> Called {
    Called {
        at: Utc::now(),
        took: Duration::ZERO,
        reply: Reply::Away(why.to_owned(), None),
    }
}

const fn state_after(reply: &Reply) -> BranchState {
    match reply {
        Reply::Done => BranchState::Done,
        Reply::No(_) | Reply::Running(_) | Reply::Unknown(_) | Reply::Away(..) => BranchState::Owed,
    }
}

const fn waits(reply: &Reply) -> Waits {
    match reply {
        Reply::Done => Waits::No,
        Reply::Away(..) => Waits::ForTurn,
        Reply::No(_) | Reply::Running(_) | Reply::Unknown(_) => Waits::ForNextTry,
    }
}

/// Done once all are; failed where one failed; else not yet, and parked where one could not be called.
fn together(gids: &[Gid], to_tell: &[ToTell], called: &[Called]) -> Vec<Told> {
    let mut all: HashMap<Gid, Told> = gids
        .iter()
        .map(|gid| {
            let told = Told {
                gid: *gid,
                answer: Answer::Done,
                is_parked: false,
            };
            (*gid, told)
        })
        .collect();
    for (one, called) in to_tell.iter().zip(called) {
        let Some(told) = all.get_mut(&one.gid) else {
            continue;
        };
        let name = &one.participant;
        let answer = match &called.reply {
            Reply::Done => continue,
            Reply::Away(why, _) => {
                told.is_parked = true;
                Answer::NotYet(format!("{name}: {why}"))
            }
            Reply::Running(_) => Answer::NotYet(format!("{name}: still at it")),
            Reply::No(why) => Answer::Failed(format!("{name} breaks its promise: {why}")),
            Reply::Unknown(why) => Answer::Failed(format!("{name}: {why}")),
        };
        if !matches!(told.answer, Answer::Failed(_)) {
            told.answer = answer;
        }
    }
    let mut all: Vec<Told> = all.into_values().collect();
    all.sort_unstable_by_key(|told| told.gid);
    for told in &mut all {
        told.is_parked &= matches!(told.answer, Answer::NotYet(_));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_transaction_is_done_once_all_are_failed_where_one_failed_parked_where_one_is_away() {
        let gid = |number| Gid::from_uuid(Uuid::from_u128(number));
        let replies = [
            (1, Reply::Done),
            (1, Reply::Done),
            (2, Reply::Away("away".to_owned(), None)),
            (2, Reply::Running(None)),
            (3, Reply::Away("away".to_owned(), None)),
            (3, Reply::Unknown("reset".to_owned())),
        ];
        let to_tell = replies.iter().map(|(number, _)| ToTell {
            gid: gid(*number),
            participant: "coupon".to_owned(),
            payload: String::new(),
        });
        let to_tell: Vec<ToTell> = to_tell.collect();
        let called = replies.iter().map(|(_, reply)| Called {
            reply: reply.clone(),
            ..not_called("")
        });
        let called: Vec<Called> = called.collect();
        let told = together(&[gid(1), gid(2), gid(3), gid(4)], &to_tell, &called);
        let shown: Vec<(bool, bool)> = told
            .iter()
            .map(|told| (told.answer == Answer::Done, told.is_parked))
            .collect();
        assert_eq!(
            shown,
            [(true, false), (false, true), (false, false), (true, false)]
        );
        assert_eq!(told[2].answer, Answer::Failed("coupon: reset".to_owned()));
    }
}
