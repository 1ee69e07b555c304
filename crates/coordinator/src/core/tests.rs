//! The core alone: what it does with each event, without a clock, a database or a network.

use super::*;
use uuid::Uuid;

type Effects = Vec<Effect<(), u32>>;

const LIMITS: Limits = Limits {
    batch_size: 4,
    batch_wait: Duration::from_millis(2),
    batches_in_flight: 2,
    queue: 100,
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
        self.core.start_batches(self.now, &mut effects);
        effects
    }

    /// Submits one transaction a label, callers numbered from 0.
    fn submit(&mut self, labels: &[u128]) -> Effects {
        let events: Vec<_> = (0_u32..)
            .zip(labels)
            .map(|(caller, label)| Event::Submitted(transaction(caller, *label), caller))
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

fn gid_of(number: u32) -> Gid {
    Gid::from_uuid(Uuid::from_u128(number.into()))
}

fn committed(gids: &[Gid]) -> Vec<Decided> {
    gids.iter()
        .map(|gid| Decided {
            gid: *gid,
            outcome: Outcome::Committed,
            to_complete: Some(1),
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
    assert!(
        bench
            .on([Event::Submitted(transaction(1, 2), 1)])
            .is_empty()
    );
    assert_eq!(bench.core.wake_at(), Some(LIMITS.batch_wait));
    bench.now = LIMITS.batch_wait;
    assert_eq!(
        prepared_batches(&bench.on([Event::Tick])),
        [(1, vec![gid_of(1)])]
    );
}

#[test]
fn one_label_is_never_decided_in_two_batches_at_once() {
    let mut bench = Bench::new();
    let first = prepared_batches(&bench.submit(&[1, 1, 1, 1, 1]));
    assert_eq!(
        first.iter().map(|(_, gids)| gids.len()).collect::<Vec<_>>(),
        [4],
        "the fifth has to wait"
    );
    bench.now = LIMITS.batch_wait * 10;
    assert!(bench.on([Event::Tick]).is_empty());
    let deciding = bench.on([Event::Prepared(0, vec![Vote::Yes; 4])]);
    assert_eq!(decisions(&deciding).len(), 1);
    let after = bench.on([Event::Decided(0, Tried::Done(committed(&first[0].1)))]);
    assert_eq!(
        prepared_batches(&after),
        [(1, vec![gid_of(4)])],
        "free once decided, while the first completes"
    );
}

#[test]
fn a_repeat_in_flight_gets_the_first_ones_outcome() {
    let mut bench = Bench::new();
    bench.submit(&[1]);
    assert!(
        bench
            .on([Event::Submitted(transaction(0, 1), 7)])
            .is_empty()
    );
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
    let [Effect::Decide(_, _, ballots)] = effects.as_slice() else {
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
    assert_eq!(
        (tries, answers(&effects)),
        (CONTENDED_TRIES, vec![(0, false)])
    );
    assert!(bench.core.is_idle());
}

#[test]
fn a_full_queue_takes_no_more() {
    let mut bench = Bench::new();
    bench.submit(&[1; 110]);
    assert!(!bench.core.has_room());
}
