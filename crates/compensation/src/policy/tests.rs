//! The policy by itself.

use super::*;
use service_kit::settings::Settings;
use std::collections::HashMap;

fn policy(yaml: &str) -> Policy {
    let settings = Settings::parse(yaml, HashMap::new()).unwrap();
    Policy::try_from(Terms::of_settings(&settings)).unwrap()
}

fn terms() -> Terms {
    policy("{}").terms
}

#[test]
fn one_try_three_retries_two_as_a_dead_letter_and_then_the_archive() {
    let policy = policy("{}");
    let after: Vec<Next> = (1..=7).map(|tries| policy.after(tries, 0.5)).collect();
    assert_eq!(
        after,
        [
            Next::Retry(Duration::from_secs(10)),
            Next::Retry(Duration::from_secs(30)),
            Next::Retry(Duration::from_mins(1)),
            Next::DeadLetter(Duration::from_mins(1)),
            Next::DeadLetter(Duration::from_mins(5)),
            Next::Archive,
            Next::Archive,
        ]
    );
}

#[test]
fn waits_differ_by_the_jitter_and_a_short_list_repeats_its_last() {
    let yaml = "compensation: { max_retries: 2, retry_delay: [10] }\ndlq: { max_retries: 0 }";
    let policy = policy(yaml);
    assert_eq!(policy.after(1, 0.0), Next::Retry(Duration::from_secs(8)));
    assert_eq!(policy.after(2, 1.0), Next::Retry(Duration::from_secs(12)));
    assert_eq!(policy.after(3, 0.5), Next::Archive);
}

#[test]
fn without_any_retry_the_first_failure_is_the_last() {
    let none = policy("compensation: { max_retries: 0 }\ndlq: { max_retries: 0 }");
    assert_eq!(none.after(1, 0.5), Next::Archive);
    assert_eq!(none.schedule().tries, []);
    let dead = policy(
        "compensation: { max_retries: 0, jitter: 0 }\ndlq: { max_retries: 1, retry_delay: [1] }",
    );
    assert_eq!(dead.after(1, 0.5), Next::DeadLetter(Duration::from_secs(1)));
}

/// Breaks when the wait asked for replaces the policy's, or is not bounded.
#[test]
fn whoever_asks_to_be_left_alone_is_within_the_bound_and_shortens_nothing() {
    let policy = policy(
        "compensation: { max_retries: 1, retry_delay: [10], jitter: 0, retry_after_max_s: 60 }",
    );
    let wait = |asked: Option<u64>| policy.roll(1, asked.map(Duration::from_secs));
    assert_eq!(wait(None), Next::Retry(Duration::from_secs(10)));
    assert_eq!(wait(Some(3)), Next::Retry(Duration::from_secs(10)));
    assert_eq!(wait(Some(30)), Next::Retry(Duration::from_secs(30)));
    assert_eq!(wait(Some(9_999)), Next::Retry(Duration::from_mins(1)));
    assert_eq!(
        policy.roll(2, Some(Duration::from_secs(90))),
        Next::DeadLetter(Duration::from_mins(1))
    );
    assert_eq!(policy.roll(4, Some(Duration::from_secs(1))), Next::Archive);
}

/// What is shown is what happens: every try lies within its span, whatever the dice. Breaks when the schedule adds waits up by itself.
#[test]
fn the_schedule_is_what_the_policy_does() {
    let seed = std::env::var("REDRESS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random::<u64>);
    eprintln!("REDRESS_SEED={seed}");
    let mut state = seed;
    let mut dice = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1_u32 << 31)
    };
    for _ in 0..500 {
        let mut terms = terms();
        terms.jitter = dice() * 0.9;
        for tries in [&mut terms.compensation, &mut terms.dlq] {
            tries.max_retries = [0, 1, 2, 3, 4]
                .into_iter()
                .find(|_| dice() < 0.25)
                .unwrap_or(5);
            let given = (1..tries.max_retries).filter(|_| dice() < 0.5).count();
            let given = given + usize::from(tries.max_retries > 0);
            tries.retry_delay = (0..given).map(|_| 0.05 + dice() * 1_000.0).collect();
        }
        let policy = Policy::try_from(terms).unwrap();
        let schedule = policy.schedule();
        let (mut failed, mut since_first) = (1, 0.0);
        for planned in &schedule.tries {
            let next = policy.after(failed, dice());
            let (lane, wait) = match next {
                Next::Retry(wait) => (crate::attempt::Lane::Retry, wait.as_secs_f64()),
                Next::DeadLetter(wait) => (crate::attempt::Lane::DeadLetter, wait.as_secs_f64()),
                Next::Archive => panic!("{planned:?} is not made"),
            };
            since_first += wait;
            failed += 1;
            assert_eq!((planned.number, planned.lane), (failed, lane));
            for (span, at) in [(planned.wait, wait), (planned.since_first, since_first)] {
                let about = span.earliest_s - 0.002..=span.latest_s + 0.002;
                assert!(about.contains(&at), "{at} is not within {span:?}");
            }
        }
        assert_eq!(policy.after(failed, dice()), Next::Archive);
    }
}

#[test]
fn the_schedule_of_the_default_policy() {
    let schedule = policy("{}").schedule();
    let shown: Vec<(u32, &str, f64, f64)> = schedule
        .tries
        .iter()
        .map(|it| {
            let since = it.since_first;
            (
                it.number,
                it.lane.as_str(),
                since.earliest_s,
                since.latest_s,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (2, "retry", 8.0, 12.0),
            (3, "retry", 32.0, 48.0),
            (4, "retry", 80.0, 120.0),
            (5, "dead_letter", 128.0, 192.0),
            (6, "dead_letter", 368.0, 552.0),
        ]
    );
    assert_eq!(schedule.archived, schedule.tries[4].since_first);
}

/// Breaks when a check is left out: that value rules.
#[test]
fn what_is_out_of_bounds_or_contradicts_is_refused_with_its_name() {
    type Change = fn(&mut Terms);
    let bad: &[(&str, Change)] = &[
        ("compensation.max_retries", |it| {
            it.compensation.max_retries = 21;
        }),
        ("compensation.retry_delay", |it| {
            it.compensation.retry_delay = vec![];
        }),
        ("compensation.retry_delay", |it| {
            it.compensation.retry_delay = vec![1.0; 4];
        }),
        ("compensation.retry_delay", |it| {
            it.compensation.retry_delay[0] = 0.01;
        }),
        ("dlq.retry_delay", |it| it.dlq.retry_delay[1] = f64::NAN),
        ("dlq.retry_delay", |it| it.dlq.retry_delay[0] = 86_401.0),
        ("dlq.retry_delay", |it| it.dlq.max_retries = 1),
        ("dlq.max_retries", |it| it.dlq.max_retries = u32::MAX),
        ("jitter", |it| it.jitter = 0.95),
        ("jitter", |it| it.jitter = -0.1),
        ("retry_after_max_s", |it| it.retry_after_max_s = 3601.0),
        ("budget.share", |it| it.budget.share = 1.01),
        ("budget.floor_per_s", |it| it.budget.floor_per_s = 0.0),
        ("breaker.orders", |it| it.breaker.orders = 1),
        ("breaker.within_s", |it| it.breaker.within_s = 0.0),
        ("breaker.first_wait_s", |it| it.breaker.first_wait_s = 0.0),
        ("breaker.max_wait_s", |it| it.breaker.max_wait_s = 0.5),
        ("breaker.open_at_most_s", |it| {
            it.breaker.open_at_most_s = 59.0;
        }),
        ("breaker.release_per_s", |it| it.breaker.release_per_s = 0.0),
        ("breaker.release_at_most_per_s", |it| {
            it.breaker.release_at_most_per_s = 9.0;
        }),
        ("retry_delay", |it| {
            for tries in [&mut it.compensation, &mut it.dlq] {
                (tries.max_retries, tries.retry_delay) = (20, vec![86_400.0]);
            }
        }),
    ];
    for (at, (field, change)) in bad.iter().enumerate() {
        let mut terms = terms();
        change(&mut terms);
        let refused = Policy::try_from(terms).expect_err(field);
        assert_eq!(refused.field, *field, "case {at}: {refused}");
    }
}
