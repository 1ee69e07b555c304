use super::*;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::collections::HashMap;

/// Halfway: no wait is longer or shorter.
const NO_CHANCE: f64 = 0.5;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn begun(destination: &mut Destination, now: Instant) -> Leave {
    match destination.turn(now) {
        Turn::Now(leave) => leave,
        other => panic!("{other:?}"),
    }
}

fn call(destination: &mut Destination, how: Ended, now: Instant) -> Change {
    let leave = begun(destination, now);
    destination.ended(leave, how, now, NO_CHANCE)
}

/// How many may be begun until somebody has to wait; all are given back.
fn allowance(destination: &mut Destination, now: Instant) -> usize {
    let mut begun = Vec::new();
    while let Turn::Now(leave) = destination.turn(now) {
        begun.push(leave);
    }
    let allowed = begun.len();
    for leave in begun {
        destination.ended(leave, Ended::Unsaid, now, NO_CHANCE);
    }
    allowed
}

fn wait(destination: &Destination, now: Instant) -> Duration {
    destination.away(now).expect("away").1.expect("known")
}

#[test]
fn no_more_than_the_limit_are_under_way() {
    let now = Instant::now();
    let mut destination = Destination::new(2, 5);
    let first = begun(&mut destination, now);
    let _second = begun(&mut destination, now);
    assert!(matches!(destination.turn(now), Turn::Later));
    destination.ended(first, Ended::Answered, now, NO_CHANCE);
    assert!(matches!(destination.turn(now), Turn::Now(_)));
    assert_eq!(destination.in_flight(), 2);
}

#[test]
fn silence_in_a_row_opens_it_and_an_answer_between_starts_anew() {
    let now = Instant::now();
    let mut destination = Destination::new(8, 3);
    for how in [
        Ended::Unknown,
        Ended::Unknown,
        Ended::Answered,
        Ended::Unknown,
        Ended::Unsaid,
        Ended::Unknown,
    ] {
        assert_eq!(call(&mut destination, how, now), Change::None);
    }
    assert_eq!(
        call(&mut destination, Ended::Unknown, now),
        Change::Opened(ms(500))
    );
    assert!(matches!(destination.turn(now), Turn::Away(_, Some(_))));
}

#[test]
fn waits_double_to_the_cap_and_one_call_tries_after_each() {
    let mut now = Instant::now();
    let mut destination = Destination::new(8, 1);
    call(&mut destination, Ended::Unknown, now);
    for expected in [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
        assert_eq!(wait(&destination, now), ms(expected));
        now += ms(expected);
        let probe = begun(&mut destination, now);
        assert!(
            matches!(destination.turn(now), Turn::Away(_, None)),
            "only one"
        );
        destination.ended(probe, Ended::Unknown, now, NO_CHANCE);
    }
}

#[test]
fn chance_makes_a_wait_a_fifth_longer_or_shorter() {
    let now = Instant::now();
    for (chance, expected) in [(0.0, 400), (0.5, 500), (1.0, 600)] {
        let mut destination = Destination::new(8, 1);
        let leave = begun(&mut destination, now);
        destination.ended(leave, Ended::Unknown, now, chance);
        assert_eq!(wait(&destination, now), ms(expected), "{chance}");
    }
}

/// Opened, waited for and closed again: one call may be under way.
fn come_back(limit: usize, now: &mut Instant) -> Destination {
    let mut destination = Destination::new(limit, 5);
    for _ in 0..5 {
        call(&mut destination, Ended::Unknown, *now);
    }
    *now += LONGEST_WAIT;
    assert_eq!(
        call(&mut destination, Ended::Answered, *now),
        Change::Closed
    );
    destination
}

#[test]
fn what_came_back_is_sent_one_more_with_each_answer() {
    let mut now = Instant::now();
    let mut destination = come_back(8, &mut now);
    for allowed in 1..=8 {
        assert_eq!(allowance(&mut destination, now), allowed);
        call(&mut destination, Ended::Answered, now);
    }
    assert_eq!(
        allowance(&mut destination, now),
        8,
        "never more than the limit"
    );
}

#[test]
fn silence_halves_what_grows_and_opens_it_where_nothing_is_left() {
    let mut now = Instant::now();
    let mut destination = come_back(8, &mut now);
    for _ in 0..4 {
        call(&mut destination, Ended::Answered, now);
    }
    for left in [2, 1] {
        assert_eq!(call(&mut destination, Ended::Unknown, now), Change::None);
        assert_eq!(allowance(&mut destination, now), left);
    }
    assert_eq!(
        call(&mut destination, Ended::Unknown, now),
        Change::Opened(ms(1_000)),
        "it was not back for good, so the wait goes on growing"
    );
}

#[test]
fn a_pause_is_everybodys_bounded_and_followed_by_less_at_once() {
    let now = Instant::now();
    let mut destination = Destination::new(8, 5);
    call(&mut destination, Ended::LeaveAlone(ms(300)), now);
    call_refused(&mut destination, now + ms(299), ms(1));
    assert_eq!(allowance(&mut destination, now + ms(300)), 4);

    call(
        &mut destination,
        Ended::LeaveAlone(Duration::from_hours(9)),
        now + ms(300),
    );
    call_refused(&mut destination, now + ms(300), LEFT_ALONE_AT_MOST);
}

fn call_refused(destination: &mut Destination, now: Instant, expected: Duration) {
    match destination.turn(now) {
        Turn::Away(_, Some(wait)) => assert_eq!(wait, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_sent_before_it_opened_says_nothing_afterwards() {
    let now = Instant::now();
    let mut destination = Destination::new(8, 1);
    let (early, late) = (begun(&mut destination, now), begun(&mut destination, now));
    call(&mut destination, Ended::Unknown, now);
    assert_eq!(
        destination.ended(early, Ended::Answered, now, NO_CHANCE),
        Change::None
    );
    assert_eq!(
        destination.ended(late, Ended::Unknown, now, NO_CHANCE),
        Change::None
    );
    assert_eq!(wait(&destination, now), ms(500));
    assert_eq!(destination.in_flight(), 0);
}

#[test]
fn one_that_tried_and_learnt_nothing_lets_another_try() {
    let now = Instant::now();
    let mut destination = Destination::new(8, 1);
    call(&mut destination, Ended::Unknown, now);
    let later = now + ms(500);
    assert_eq!(call(&mut destination, Ended::Unsaid, later), Change::None);
    assert_eq!(
        call(&mut destination, Ended::LeaveAlone(ms(70)), later),
        Change::None
    );
    assert!(matches!(destination.turn(later), Turn::Away(_, Some(_))));
    assert_eq!(
        call(&mut destination, Ended::Answered, later + ms(70)),
        Change::Closed
    );
}

/// Callers, answers and silence at random: never above the limit, one that tries after an opening, and never closed for good.
#[test]
fn whatever_happens_it_keeps_its_bounds_and_comes_back() {
    for seed in 0..500 {
        let mut chance = StdRng::seed_from_u64(seed);
        let limit = chance.random_range(1..=20);
        let mut destination = Destination::new(limit, chance.random_range(1..=6));
        let mut now = Instant::now();
        let mut under_way: HashMap<usize, Leave> = HashMap::new();
        let mut open = false;
        for step in 0..400 {
            now += ms(chance.random_range(0..700));
            if chance.random_bool(0.5) {
                match destination.turn(now) {
                    Turn::Now(leave) => {
                        assert_eq!(leave.tries, open, "seed {seed}, step {step}");
                        let tries = under_way
                            .values()
                            .filter(|other| other.tries && other.era == leave.era);
                        assert!(
                            !leave.tries || tries.count() == 0,
                            "two try: seed {seed}, step {step}"
                        );
                        under_way.insert(step, leave);
                    }
                    Turn::Later => {
                        assert!(!open, "seed {seed}, step {step}");
                        assert!(!under_way.is_empty(), "seed {seed}, step {step}: for ever");
                    }
                    Turn::Away(_, wait) => {
                        assert!(wait.is_none_or(|wait| wait <= LEFT_ALONE_AT_MOST));
                    }
                }
            } else if let Some(which) = under_way.keys().copied().min() {
                let leave = under_way.remove(&which).unwrap();
                let how = match chance.random_range(0..8) {
                    0 => Ended::LeaveAlone(ms(chance.random_range(0..90_000))),
                    1 => Ended::Unsaid,
                    2..5 => Ended::Answered,
                    _ => Ended::Unknown,
                };
                match destination.ended(leave, how, now, chance.random()) {
                    Change::None => {}
                    Change::Opened(_) => open = true,
                    Change::Closed => open = false,
                }
            }
            assert_eq!(
                destination.in_flight(),
                under_way.len(),
                "seed {seed}, step {step}"
            );
            assert!(under_way.len() <= limit, "seed {seed}, step {step}");
            assert!(
                (1..=limit).contains(&destination.allowed),
                "seed {seed}, step {step}"
            );
        }
        for leave in under_way.into_values() {
            destination.ended(leave, Ended::Unsaid, now, 0.5);
        }
        // From now on it answers: within so many calls all is as it was.
        now += LEFT_ALONE_AT_MOST;
        for _ in 0..=limit {
            call(&mut destination, Ended::Answered, now);
        }
        assert_eq!(allowance(&mut destination, now), limit, "seed {seed}");
    }
}
