//! The breakers under a clock of the tests' own.

use super::*;

const TERMS: BreakerTerms = BreakerTerms {
    orders: 20,
    within_s: 10.0,
    first_wait_s: 1.0,
    max_wait_s: 8.0,
    open_at_most_s: 600.0,
    release_per_s: 10.0,
    release_at_most_per_s: 100.0,
};

struct Bench {
    breakers: Breakers,
    now: Instant,
    cause: Cause,
}

impl Bench {
    fn new() -> Self {
        Self {
            breakers: Breakers::default(),
            now: Instant::now(),
            cause: Cause::of("decide", None, "coupon has not promised: reset"),
        }
    }

    fn pass(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
    }

    fn admit(&mut self, order: u128) -> Verdict {
        self.breakers
            .admit(&self.cause, Uuid::from_u128(order), &TERMS, self.now)
    }

    fn fail(&mut self, order: u128) -> Change {
        self.end(order, Ended::Failed(&self.cause.clone()))
    }

    fn end(&mut self, order: u128, how: Ended<'_>) -> Change {
        let order = Uuid::from_u128(order);
        self.breakers
            .ended(Some(&self.cause), order, how, &TERMS, self.now)
    }

    /// As after twenty different orders failed.
    fn opened() -> Self {
        let mut bench = Self::new();
        for order in 0..19 {
            assert_eq!(bench.fail(order), Change::None);
        }
        assert_eq!(bench.fail(19), Change::Opened(Duration::from_secs(1)));
        bench
    }

    fn healed() -> Self {
        let mut bench = Self::opened();
        bench.pass(1.0);
        assert_eq!(bench.admit(1), Verdict::Go);
        assert_eq!(bench.end(1, Ended::Settled), Change::Healed);
        bench
    }
}

/// Breaks when tries are counted instead of orders.
#[test]
fn one_order_that_fails_again_and_again_opens_nothing() {
    let mut bench = Bench::new();
    for _ in 0..1_000 {
        assert_eq!(bench.fail(1), Change::None);
    }
    assert_eq!(bench.admit(2), Verdict::Go);
}

/// Breaks when failures are never forgotten.
#[test]
fn failures_far_apart_open_nothing() {
    let mut bench = Bench::new();
    for order in 0..1_000 {
        bench.pass(0.6);
        assert_eq!(bench.fail(order), Change::None);
    }
}

/// Breaks when a second one is let through beside the first, or the wait does not grow.
#[test]
fn single_ones_go_ahead_with_ever_longer_waits() {
    let mut bench = Bench::opened();
    assert_eq!(bench.admit(5), Verdict::Later(Duration::from_secs(1)));
    bench.pass(1.0);
    for wait in [2, 4, 8, 8] {
        assert_eq!(bench.admit(5), Verdict::Go);
        assert!(matches!(bench.admit(6), Verdict::Later(_)));
        assert_eq!(bench.fail(7), Change::None, "it was under way before");
        let wait = Duration::from_secs(wait);
        assert_eq!(bench.fail(5), Change::StillOpen(wait));
        assert_eq!(bench.admit(6), Verdict::Later(wait));
        bench.pass(wait.as_secs_f64());
    }
}

/// Breaks when all are let through at once.
#[test]
fn once_healed_the_others_follow_at_a_growing_pace_and_then_freely() {
    let mut bench = Bench::healed();
    for pace in [10, 20, 40, 80, 100] {
        let gone = (0..1_000)
            .filter(|order| bench.admit(*order) == Verdict::Go)
            .count();
        assert_eq!(gone, pace);
        assert!(matches!(bench.admit(1), Verdict::Later(wait) if wait <= Duration::from_secs(5)));
        bench.pass(1.0);
    }
    assert!((0..10_000).all(|order| bench.admit(order) == Verdict::Go));
}

/// Breaks when all of them are told the next second: a large backlog would be claimed and put off again every second.
#[test]
fn those_who_wait_are_told_the_second_whose_turn_is_theirs() {
    let mut bench = Bench::healed();
    let mut turns = [0; 8];
    for order in 100..1_100 {
        match bench.admit(order) {
            Verdict::Go => turns[0] += 1,
            Verdict::Later(wait) => turns[usize::try_from(wait.as_secs()).unwrap()] += 1,
        }
    }
    // 10, 20, 40, 80 and 100 a second; then nobody waits any more.
    assert_eq!(turns, [10, 20, 40, 80, 100, 750, 0, 0]);
}

/// Breaks when a single late failure closes the door on all who follow, or when nothing does.
#[test]
fn it_opens_again_for_longer_when_those_who_follow_fail_alike() {
    let mut bench = Bench::healed();
    for order in 0..4 {
        assert_eq!(bench.fail(order), Change::None);
    }
    assert_eq!(bench.fail(4), Change::Opened(Duration::from_secs(2)));
}

/// Or work whose cause is gone waits for ever behind one of its own that fails in another way.
#[test]
fn a_single_one_that_fails_in_another_way_lets_the_others_follow() {
    let mut bench = Bench::opened();
    bench.pass(1.0);
    assert_eq!(bench.admit(1), Verdict::Go);
    let other = Cause::of("decide", None, "the row is broken");
    assert_eq!(bench.end(1, Ended::Failed(&other)), Change::Healed);
    assert_eq!(bench.admit(2), Verdict::Go);
}

#[test]
fn a_single_one_that_was_no_try_is_sent_again_after_the_same_wait() {
    let mut bench = Bench::opened();
    bench.pass(1.0);
    assert_eq!(bench.admit(1), Verdict::Go);
    bench.end(1, Ended::NoTry);
    assert_eq!(bench.admit(1), Verdict::Later(Duration::from_secs(1)));
    bench.pass(1.0);
    assert_eq!(bench.admit(1), Verdict::Go);
}

/// Breaks when a probe whose worker was lost holds all others up for good.
#[test]
fn a_single_one_nobody_hears_of_again_is_replaced() {
    let mut bench = Bench::opened();
    bench.pass(1.0);
    assert_eq!(bench.admit(1), Verdict::Go);
    bench.pass(60.0);
    assert_eq!(bench.admit(2), Verdict::Go);
}

/// Or orders that are broken themselves, alike, would never be given up. Breaks when it opens for ever, or at once again.
#[test]
fn what_lasts_for_longer_than_outages_do_is_the_orders_own() {
    let mut bench = Bench::opened();
    let mut gave_up = false;
    for _ in 0..100 {
        bench.pass(8.0);
        assert_eq!(bench.admit(5), Verdict::Go);
        gave_up = bench.fail(5) == Change::GaveUp;
        if gave_up {
            break;
        }
    }
    assert!(gave_up);
    for order in 0..1_000 {
        assert_eq!(bench.admit(order), Verdict::Go);
        assert_eq!(bench.fail(order), Change::None);
    }
    assert_eq!(bench.breakers.open(&TERMS, bench.now), 0);
    bench.pass(1_000.0);
    assert_eq!(bench.breakers.open(&TERMS, bench.now), 0);
    for order in 0..19 {
        assert_eq!(bench.fail(order), Change::None, "it is forgotten");
    }
    assert!(matches!(bench.fail(19), Change::Opened(_)));
}

#[test]
fn causes_are_watched_each_by_itself_and_not_without_end() {
    let mut bench = Bench::opened();
    let other = Cause::of("decide", None, "another");
    let order = Uuid::from_u128(1);
    let verdict = bench.breakers.admit(&other, order, &TERMS, bench.now);
    assert_eq!(verdict, Verdict::Go);
    for letters in 0..5_000_u32 {
        let name: String = format!("{letters:05}")
            .bytes()
            .map(|digit| char::from(digit - b'0' + b'a'))
            .collect();
        let cause = Cause::of("decide", None, &name);
        bench
            .breakers
            .ended(None, order, Ended::Failed(&cause), &TERMS, bench.now);
    }
    assert_eq!(bench.breakers.0.len(), CAUSES_AT_MOST);
    assert_eq!(bench.breakers.open(&TERMS, bench.now), 1);
    bench.pass(1_000.0);
    assert_eq!(bench.breakers.open(&TERMS, bench.now), 0);
    assert!(bench.breakers.0.is_empty());
}

/// A thousand orders wait for a cause that heals some time: while it lasts only single ones are tried, and once it is gone all of them
/// are, whatever the order of events. Breaks when a state is never left.
#[test]
fn whatever_happens_what_waits_is_tried_in_the_end() {
    let seed = std::env::var("REDRESS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random::<u64>);
    eprintln!("REDRESS_SEED={seed}");
    let mut state = seed;
    let mut dice = move |sides: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    };
    for _ in 0..20 {
        let mut bench = Bench::opened();
        let mut waiting: Vec<u128> = (0..1_000).collect();
        let heals_at = bench.now + Duration::from_secs(dice(120));
        let (mut in_hand, mut tries_while_broken) = (Vec::new(), 0);
        let mut seconds = 0.0;
        while !(waiting.is_empty() && in_hand.is_empty()) {
            bench.pass(0.05);
            seconds += 0.05;
            assert!(seconds < 600.0, "{} wait still", waiting.len());
            let broken = bench.now < heals_at;
            for _ in 0..20.min(waiting.len()) {
                let at = usize::try_from(dice(waiting.len() as u64)).unwrap();
                if bench.admit(waiting[at]) == Verdict::Go {
                    in_hand.push(waiting.swap_remove(at));
                    tries_while_broken += u32::from(broken);
                }
            }
            while !in_hand.is_empty() && dice(4) > 0 {
                let order = in_hand.pop().unwrap();
                match dice(10) {
                    0 => {
                        bench.end(order, Ended::NoTry);
                        waiting.push(order);
                    }
                    _ if broken => {
                        bench.fail(order);
                        waiting.push(order);
                    }
                    _ => {
                        bench.end(order, Ended::Settled);
                    }
                }
            }
        }
        assert!(tries_while_broken < 150, "{tries_while_broken} tries");
    }
}
