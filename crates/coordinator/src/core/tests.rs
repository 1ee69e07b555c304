//! The core alone: what it does with each event, without a clock, a database or a network.

use super::*;
use crate::{
    foreign::{Called, Reply},
    transaction::{Rest, Transaction},
};
use chrono::Utc;
use uuid::Uuid;

type Effects = Vec<Effect<(), u32>>;

const LIMITS: Limits = Limits {
    batch_size: 4,
    batch_at_most: 6,
    batch_wait: Duration::from_millis(2),
    batches_in_flight: 3,
    queue: 100,
    timeout: Duration::from_mins(1),
};
const START: Duration = Duration::ZERO;

struct Bench {
    core: Core<(), u32>,
    now: Duration,
}

impl Bench {
    fn new() -> Self {
        Self {
            core: Core::new(LIMITS),
            now: START,
        }
    }

    fn on(&mut self, events: impl IntoIterator<Item = Event<(), u32>>) -> Effects {
        let mut effects = Vec::new();
        for event in events {
            self.core.on(event, self.now, &mut effects);
        }
        self.core.start(self.now, &mut effects);
        effects
    }

    /// Submits one transaction a label, callers numbered from 0.
    fn submit(&mut self, labels: &[u128]) -> Effects {
        let events: Vec<_> = (0_u32..)
            .zip(labels)
            .map(|(caller, label)| submitted(transaction(caller, *label), caller))
            .collect();
        self.on(events)
    }
}

fn transaction(gid: u32, label: u128) -> Transaction<()> {
    Transaction {
        gid: gid_of(gid),
        label: Label::from_uuid(Uuid::from_u128(label)),
        work: (),
    }
}

fn submitted(transaction: Transaction<()>, caller: u32) -> Event<(), u32> {
    wanted(transaction, caller, &[])
}

fn wanted(transaction: Transaction<()>, caller: u32, foreign: &[&str]) -> Event<(), u32> {
    Event::Submitted(Wanted {
        ballot: Ballot {
            transaction,
            refused: None,
        },
        foreign: foreign.iter().map(ToString::to_string).collect(),
        caller,
    })
}

fn gid_of(number: u32) -> Gid {
    Gid::from_uuid(Uuid::from_u128(number.into()))
}

fn committed(gids: &[Gid]) -> Vec<Decided> {
    gids.iter()
        .map(|gid| Decided {
            gid: *gid,
            outcome: Outcome::Committed,
            to_complete: Some(Rest {
                epoch: 1,
                branches: 0,
            }),
        })
        .collect()
}

fn prepared_batches(effects: &Effects) -> Vec<(BatchId, Vec<Gid>)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Prepare(id, batch) => Some((
                *id,
                batch.iter().map(|transaction| transaction.gid).collect(),
            )),
            _ => None,
        })
        .collect()
}

fn decisions(effects: &Effects) -> Vec<(BatchId, Vec<Gid>)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Decide(id, _, ballots) => Some((*id, gids(ballots))),
            _ => None,
        })
        .collect()
}

fn turns(effects: &Effects) -> Vec<BatchId> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Turn(id) => Some(*id),
            _ => None,
        })
        .collect()
}

fn answers(effects: &Effects) -> Vec<(u32, bool)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Answer(caller, result) => Some((*caller, result.is_ok())),
            _ => None,
        })
        .collect()
}

#[test]
fn an_idle_engine_starts_at_once() {
    let started = Bench::new().submit(&[1]);
    assert_eq!(prepared_batches(&started), [(0, vec![gid_of(0)])]);
}

#[test]
fn a_busy_engine_waits_for_company_but_not_for_long() {
    let mut bench = Bench::new();
    bench.submit(&[1]);
    assert!(bench.on([submitted(transaction(1, 2), 1)]).is_empty());
    assert_eq!(bench.core.wake_at(), Some(LIMITS.batch_wait));
    bench.now = LIMITS.batch_wait;
    assert_eq!(
        prepared_batches(&bench.on([Event::Tick])),
        [(1, vec![gid_of(1)])]
    );
}

#[test]
fn batches_of_one_label_are_decided_one_after_another() {
    let mut bench = Bench::new();
    let first = prepared_batches(&bench.submit(&[1]));
    assert_eq!(first, [(0, vec![gid_of(0)])]);
    let few = (1..4).map(|number| submitted(transaction(number, 1), number));
    bench.now = LIMITS.batch_wait * 10;
    assert!(bench.on(few).is_empty(), "too few to follow it at once");
    let full = bench.on([submitted(transaction(4, 1), 4)]);
    assert_eq!(
        prepared_batches(&full),
        [(1, (1..5).map(gid_of).collect())],
        "a full batch is prepared meanwhile"
    );
    let waiting = bench.on([Event::Prepared(1, vec![Vote::Yes; 4])]);
    assert_eq!(
        decisions(&waiting),
        [(1, (1..5).map(gid_of).collect())],
        "and written into the log"
    );
    assert!(turns(&waiting).is_empty());
    let first = bench.on([Event::Prepared(0, vec![Vote::Yes])]);
    assert_eq!(decisions(&first), [(0, vec![gid_of(0)])]);
    assert_eq!(turns(&first), [0]);
    let next = bench.on([Event::Committing(0)]);
    assert_eq!(
        turns(&next),
        [1],
        "its turn comes once nothing is left of the first but COMMIT"
    );
    let done = bench.on([Event::Decided(0, Tried::Done(committed(&[gid_of(0)])))]);
    assert!(turns(&done).is_empty(), "once");
}

#[test]
fn who_fails_before_its_turn_holds_nobody_up() {
    let mut bench = Bench::new();
    bench.submit(&[1]);
    let full = (1..5).map(|number| submitted(transaction(number, 1), number));
    bench.on(full);
    bench.on([Event::Prepared(1, vec![Vote::Yes; 4])]);
    bench.on([Event::Prepared(0, vec![Vote::Yes])]);
    let gone = bench.on([Event::Decided(1, Tried::Unavailable("away".to_owned()))]);
    assert_eq!(answers(&gone).len(), 4);
    bench.on([Event::Decided(0, Tried::Done(committed(&[gid_of(0)])))]);
    bench.on([Event::Completed(0)]);
    assert!(bench.core.is_idle());
    let next = bench.on([submitted(transaction(9, 1), 9)]);
    assert_eq!(prepared_batches(&next).len(), 1);
    assert_eq!(turns(&bench.on([Event::Prepared(2, vec![Vote::Yes])])), [2]);
}

#[test]
fn no_label_waits_behind_two_batches_of_it() {
    let mut bench = Bench::new();
    bench.submit(&[1; 30]);
    let batches = prepared_batches(&bench.on([]));
    assert!(batches.is_empty(), "two were started: {batches:?}");
    let other = bench.on([submitted(transaction(90, 2), 90)]);
    assert!(prepared_batches(&other).is_empty());
    bench.now = LIMITS.batch_wait;
    assert_eq!(
        prepared_batches(&bench.on([Event::Tick])),
        [(2, vec![gid_of(90)])],
        "another label finds its batch"
    );
}

#[test]
fn more_than_a_batch_has_to_be_is_taken_where_more_wait() {
    let sizes: Vec<usize> = prepared_batches(&Bench::new().submit(&[1; 20]))
        .iter()
        .map(|(_, gids)| gids.len())
        .collect();
    assert_eq!(sizes, [LIMITS.batch_at_most; 2]);
}

#[test]
fn a_repeat_in_flight_gets_the_first_ones_outcome() {
    let mut bench = Bench::new();
    bench.submit(&[1]);
    assert!(bench.on([submitted(transaction(0, 1), 7)]).is_empty());
    bench.on([Event::Prepared(0, vec![Vote::Yes])]);
    let after = bench.on([Event::Decided(0, Tried::Done(committed(&[gid_of(0)])))]);
    assert_eq!(answers(&after), [(0, true), (7, true)]);
    assert!(decisions(&after).is_empty());
}

#[test]
fn a_no_reaches_the_decision() {
    let mut bench = Bench::new();
    bench.submit(&[1]);
    let effects = bench.on([Event::Prepared(0, vec![Vote::No("withdrawn".to_owned())])]);
    let [Effect::Decide(_, _, ballots), Effect::Turn(0)] = effects.as_slice() else {
        panic!("expected a decision, got {effects:?}")
    };
    assert_eq!(ballots[0].refused.as_deref(), Some("withdrawn"));
}

#[test]
fn one_bad_transaction_never_fails_its_neighbours() {
    let mut bench = Bench::new();
    bench.submit(&[1, 2, 3, 4]);
    let bad = gid_of(2);
    let mut effects = bench.on([Event::Prepared(0, vec![Vote::Yes; 4])]);
    let mut told = Vec::new();
    while let Some((id, gids)) = decisions(&effects).pop() {
        let tried = if gids.contains(&bad) {
            Tried::BadData("bad".to_owned())
        } else {
            Tried::Done(committed(&gids))
        };
        effects = bench.on([Event::Decided(id, tried)]);
        told.extend(answers(&effects));
    }
    told.sort_unstable();
    assert_eq!(told, [(0, true), (1, true), (2, false), (3, true)]);
}

#[test]
fn a_decision_whose_reply_was_lost_is_read_back_and_never_given_up() {
    let mut bench = Bench::new();
    bench.submit(&[1]);
    bench.on([Event::Prepared(0, vec![Vote::Yes])]);
    let lost = bench.on([Event::Decided(0, Tried::ReplyLost("reset".to_owned()))]);
    assert!(matches!(lost.as_slice(), [Effect::ReadBack(0, ..)]));
    for _ in 0..100 {
        let again = bench.on([Event::ReadBack(0, Err("still down".to_owned()))]);
        assert!(matches!(again.as_slice(), [Effect::ReadBack(0, ..)]));
    }
    let found = bench.on([Event::ReadBack(0, Ok(committed(&[gid_of(0)])))]);
    assert_eq!(answers(&found), [(0, true)]);
    assert!(
        found
            .iter()
            .any(|effect| matches!(effect, Effect::Complete(..)))
    );
}

#[test]
fn a_decision_that_surely_did_not_commit_is_decided_again() {
    let mut bench = Bench::new();
    bench.submit(&[1]);
    bench.on([Event::Prepared(0, vec![Vote::Yes])]);
    bench.on([Event::Decided(0, Tried::ReplyLost("reset".to_owned()))]);
    let again = bench.on([Event::ReadBack(0, Ok(Vec::new()))]);
    assert_eq!(decisions(&again), [(0, vec![gid_of(0)])]);
}

/// Somebody else decided one of the batch meanwhile; the other is still to be decided.
#[test]
fn a_log_that_holds_some_of_a_batch_holds_not_all_of_it() {
    let mut bench = Bench::new();
    bench.submit(&[1, 1]);
    bench.on([Event::Prepared(0, vec![Vote::Yes; 2])]);
    bench.on([Event::Decided(0, Tried::ReplyLost("reset".to_owned()))]);
    let some = vec![Decided {
        to_complete: None,
        ..committed(&[gid_of(0)]).remove(0)
    }];
    let again = bench.on([Event::ReadBack(0, Ok(some))]);
    assert_eq!(decisions(&again), [(0, vec![gid_of(0), gid_of(1)])]);
}

#[test]
fn endless_contention_is_told_to_the_callers() {
    let mut bench = Bench::new();
    bench.submit(&[1]);
    let mut effects = bench.on([Event::Prepared(0, vec![Vote::Yes])]);
    let mut tries = 0;
    while !decisions(&effects).is_empty() {
        tries += 1;
        effects = bench.on([Event::Decided(0, Tried::Contended("deadlock".to_owned()))]);
    }
    assert_eq!((tries, answers(&effects)), (TRIES, vec![(0, false)]));
    assert!(bench.core.is_idle());
}

#[test]
fn a_full_queue_takes_no_more() {
    let mut bench = Bench::new();
    bench.submit(&[1; 120]);
    assert!(!bench.core.has_room());
}

fn called(reply: Reply) -> Vec<(String, Called)> {
    let called = Called {
        at: Utc::now(),
        took: Duration::ZERO,
        reply,
    };
    vec![("coupon".to_owned(), called)]
}

fn begun(gid: u32, to_ask: &[&str]) -> Event<(), u32> {
    let to_ask = to_ask.iter().map(ToString::to_string).collect();
    let refused = None;
    Event::Begun(Ok(HashMap::from([(
        gid_of(gid),
        Begun::Undecided { to_ask, refused },
    )])))
}

#[test]
fn a_foreign_participant_is_asked_once_its_transaction_is_written_down_and_decided_once_its_vote_is()
 {
    let mut bench = Bench::new();
    let effects = bench.on([wanted(transaction(0, 1), 0, &["coupon"])]);
    assert!(matches!(effects.as_slice(), [Effect::Begin(begin)] if begin.len() == 1));
    let effects = bench.on([begun(0, &["coupon"])]);
    assert!(matches!(effects.as_slice(), [Effect::Ask(_, names)] if names == &["coupon"]));
    let effects = bench.on([Event::Asked(gid_of(0), called(Reply::Done))]);
    assert!(matches!(effects.as_slice(), [Effect::Note(votes)] if votes[0].is_promised));
    let effects = bench.on([Event::Noted(Ok(()))]);
    assert_eq!(prepared_batches(&effects), [(0, vec![gid_of(0)])]);
}

#[test]
fn without_a_promise_nothing_is_decided_and_the_caller_is_told() {
    let mut bench = Bench::new();
    bench.on([wanted(transaction(0, 1), 0, &["coupon"])]);
    bench.on([begun(0, &["coupon"])]);
    bench.on([Event::Asked(
        gid_of(0),
        called(Reply::Unknown("reset".to_owned())),
    )]);
    let effects = bench.on([Event::Noted(Ok(()))]);
    let [Effect::Answer(0, Err(SubmitError::NotPromised(why)))] = effects.as_slice() else {
        panic!("expected an error, got {effects:?}")
    };
    assert_eq!(why.why, "coupon has not promised: reset");
    assert_eq!(why.retry_after, None);
    assert!(bench.core.is_idle());
}

/// Breaks when only one of them is listened to.
#[test]
fn whoever_asks_to_be_left_alone_the_longest_is_listened_to() {
    let seconds = Duration::from_secs;
    for (first, second, asked) in [
        (Some(seconds(7)), Some(seconds(3)), Some(seconds(7))),
        (None, Some(seconds(3)), Some(seconds(3))),
        (Some(seconds(7)), None, Some(seconds(7))),
        (None, None, None),
    ] {
        let mut bench = Bench::new();
        bench.on([wanted(transaction(0, 1), 0, &["coupon", "loyalty"])]);
        bench.on([begun(0, &["coupon", "loyalty"])]);
        let mut calls = called(Reply::Running(first));
        let (_, other) = called(Reply::Away("HTTP 429".to_owned(), second)).remove(0);
        calls.push(("loyalty".to_owned(), other));
        bench.on([Event::Asked(gid_of(0), calls)]);
        let effects = bench.on([Event::Noted(Ok(()))]);
        let [Effect::Answer(0, Err(SubmitError::NotPromised(open)))] = effects.as_slice() else {
            panic!("expected an error, got {effects:?}")
        };
        assert_eq!(open.retry_after, asked);
    }
}

#[test]
fn a_foreign_no_reaches_the_decision() {
    let mut bench = Bench::new();
    bench.on([wanted(transaction(0, 1), 0, &["coupon"])]);
    bench.on([begun(0, &["coupon"])]);
    bench.on([Event::Asked(
        gid_of(0),
        called(Reply::No("expired".to_owned())),
    )]);
    bench.on([Event::Noted(Ok(()))]);
    let effects = bench.on([Event::Prepared(0, vec![Vote::Yes])]);
    let [Effect::Decide(_, _, ballots), Effect::Turn(0)] = effects.as_slice() else {
        panic!("expected a decision, got {effects:?}")
    };
    assert_eq!(ballots[0].refused.as_deref(), Some("coupon:expired"));
}

#[test]
fn one_that_cannot_be_written_down_never_fails_its_neighbours() {
    let mut bench = Bench::new();
    let events: Vec<_> = (0..4)
        .map(|number| wanted(transaction(number, 1), number, &["coupon"]))
        .collect();
    let mut effects = bench.on(events);
    let mut told = Vec::new();
    let mut asked = 0;
    while let Some(gids) = effects.iter().find_map(|effect| match effect {
        Effect::Begin(begin) => Some(begin.iter().map(|it| it.transaction.gid).collect()),
        _ => None,
    }) {
        let gids: Vec<Gid> = gids;
        let written = if gids.contains(&gid_of(2)) {
            Err(NotWritten::BadData("too long".to_owned()))
        } else {
            let to_ask = vec!["coupon".to_owned()];
            let begun = |gid: &Gid| {
                let (to_ask, refused) = (to_ask.clone(), None);
                (*gid, Begun::Undecided { to_ask, refused })
            };
            Ok(gids.iter().map(begun).collect())
        };
        effects = bench.on([Event::Begun(written)]);
        told.extend(answers(&effects));
        asked += effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Ask(..)))
            .count();
    }
    assert_eq!((told, asked), (vec![(2, false)], 3));
}
