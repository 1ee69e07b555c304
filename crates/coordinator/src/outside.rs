//! Foreign participants as the engine and recovery use them: what is written down before a call and after it, and how many may be
//! in hand.
//!
//! So many transactions wait here for each participant and no more: one that is slow or away holds nobody else up. The others are
//! parked in the log, and woken as there is room; of a participant that does not answer, one, to see whether it does again.

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
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

/// How long the participants of a transaction may take to promise, repeats and the wait for a turn included.
const ASKED_WITHIN: Duration = Duration::from_secs(8);
/// How long telling them may take: less than a lease of recovery.
const TOLD_WITHIN: Duration = Duration::from_secs(8);
/// The pause before somebody is asked again who is still at it and does not say how long.
const STILL_AT_IT: Duration = Duration::from_millis(200);
/// Branches in hand for one participant, at most.
const IN_HAND: u32 = 1_000;
const IS_UNKNOWN: &str = "no such participant is configured";

/// See the module's documentation.
pub(crate) struct Outside {
    foreign: ForeignParticipants,
    sessions: Sessions,
    desks: HashMap<String, Desk>,
}

/// Where branches wait for one participant.
struct Desk {
    room: Semaphore,
    /// How often it had come back when those that waited for it were woken last.
    came_back: AtomicU64,
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
                room: Semaphore::new(IN_HAND as usize),
                came_back: AtomicU64::new(0),
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
        write: impl AsyncFnOnce(&mut sqlx::MySqlConnection) -> sqlx::Result<X>,
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
            let Some(participant) = self.foreign.get(&name) else {
                return (name, not_called(IS_UNKNOWN));
            };
            loop {
                let trace = transaction.work.traceparent();
                let called = participant
                    .call(Phase::Ask, transaction.gid, &body, trace, until)
                    .await;
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

    /// Tells the foreign participants of these transactions, which were all decided the same way, and writes down what they said: for
    /// each transaction what all of them said together. Nothing of those that were finished meanwhile.
    pub(crate) async fn tell(&self, direction: Direction, gids: &[Gid]) -> sqlx::Result<Vec<Told>> {
        let reading = async |db: &mut _| log::to_tell(db, direction, gids).await;
        let to_tell = self.sessions.lend(reading).await?;
        let until = Instant::now() + TOLD_WITHIN;
        let phase = match direction {
            Direction::Commit => Phase::Commit,
            Direction::RollBack => Phase::RollBack,
        };
        let calls = to_tell.iter().map(|one| self.tell_one(phase, one, until));
        let called = join_all(calls).await;
        let lines = to_tell.iter().zip(&called).map(|(one, called)| Line {
            gid: one.gid,
            participant: &one.participant,
            is_foreign: true,
            state: state_after(&called.reply),
            op: self.op(&one.participant, phase),
            called,
            waits: waits(&called.reply),
        });
        let lines: Vec<Line<'_>> = lines.collect();
        let writing = async |db: &mut _| log::write(db, &lines).await;
        self.sessions.lend(writing).await?;
        Ok(together(gids, &to_tell, &called))
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
        let Ok(_place) = desk.room.try_acquire() else {
            return not_called("too many wait for it");
        };
        participant
            .call(phase, one.gid, &one.payload, None, until)
            .await
    }

    /// Lets transactions that wait for a participant go on, as far as it has room for them: of one that does not answer, one; of one
    /// that was away and answers again, also those that wait for their next try, and those that are stuck for its sake.
    pub(crate) async fn wake(&self) -> sqlx::Result<()> {
        if self.desks.is_empty() {
            return Ok(());
        }
        for participant in self.foreign.iter() {
            let Some(desk) = self.desks.get(participant.name()) else {
                continue;
            };
            if participant.is_away() {
                continue;
            }
            let came_back = *participant.came_back().borrow();
            if desk.came_back.load(Ordering::Relaxed) != came_back {
                let waking = async |db: &mut _| log::come_back(db, participant.name()).await;
                self.sessions.lend(waking).await?;
                desk.came_back.store(came_back, Ordering::Relaxed);
            }
            let room = u32::try_from(desk.room.available_permits()).unwrap_or(IN_HAND);
            let room = if participant.answers() {
                room
            } else {
                room.min(1)
            };
            if room > 0 {
                let waking = async |db: &mut _| log::wake(db, participant.name(), room).await;
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
