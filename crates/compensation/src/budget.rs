//! How many retries may fail: a share of what is decided, and a floor for times when nothing is. Pure: the caller tells the time.
//!
//! Only failures are paid for. A try that settles its order gives back what it took and counts as decided, so that a backlog whose
//! cause is gone drains as fast as it can, and one whose cause is not costs those who buy now no more than a share.

use crate::policy::BudgetTerms;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What is remembered.
pub const WINDOW: Duration = Duration::from_secs(10);
/// What comes within so long is counted together. Bounds memory.
const TOGETHER: Duration = Duration::from_millis(100);

/// One process's part of the budget.
#[derive(Debug, Default)]
pub struct Budget {
    failed: Latest,
    /// By all who decide; each process that retries is told of all of it.
    decided: Latest,
    /// By retries of this process.
    settled: Latest,
    /// Other processes that have a part, too.
    others: u32,
    /// Tries under way: each may fail.
    in_hand: u32,
}

/// How often something happened lately.
#[derive(Debug, Default)]
struct Latest(VecDeque<(Instant, u64)>);

impl Budget {
    /// So many orders were decided since this was last told.
    pub fn decided(&mut self, orders: u64, now: Instant) {
        self.decided.add(orders, now);
    }

    /// So many processes share what others decide and the floor, with this one. 0 is as good as 1.
    pub fn shared_by(&mut self, processes: u32) {
        self.others = processes.saturating_sub(1);
    }

    /// How many more tries may begin.
    #[must_use]
    pub fn left(&mut self, terms: &BudgetTerms, now: Instant) -> u32 {
        let (decided, settled) = (
            self.decided.count(now) as f64,
            self.settled.count(now) as f64,
        );
        let common = decided * terms.share + WINDOW.as_secs_f64() * terms.floor_per_s;
        let allowed = common / (f64::from(self.others) + 1.0) + settled * terms.share;
        let taken = self.failed.count(now) + u64::from(self.in_hand);
        whole(allowed)
            .saturating_sub(taken)
            .try_into()
            .unwrap_or(u32::MAX)
    }

    /// So many tries are under way from now on.
    pub fn begun(&mut self, tries: u32) {
        self.in_hand = self.in_hand.saturating_add(tries);
    }

    /// One of them failed.
    pub fn failed(&mut self, now: Instant) {
        self.in_hand = self.in_hand.saturating_sub(1);
        self.failed.add(1, now);
    }

    /// One of them settled its order.
    pub fn settled(&mut self, now: Instant) {
        self.in_hand = self.in_hand.saturating_sub(1);
        self.settled.add(1, now);
    }

    /// One of them was no try.
    pub fn given_back(&mut self) {
        self.in_hand = self.in_hand.saturating_sub(1);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count, and never below zero"
)]
const fn whole(allowed: f64) -> u64 {
    allowed as u64
}

impl Latest {
    fn add(&mut self, times: u64, now: Instant) {
        match self.0.back_mut() {
            Some((at, count)) if now.saturating_duration_since(*at) < TOGETHER => *count += times,
            _ => self.0.push_back((now, times)),
        }
        self.forget(now);
    }

    fn count(&mut self, now: Instant) -> u64 {
        self.forget(now);
        self.0.iter().map(|(_, count)| count).sum()
    }

    fn forget(&mut self, now: Instant) {
        while self
            .0
            .front()
            .is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW)
        {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: BudgetTerms = BudgetTerms {
        share: 0.2,
        floor_per_s: 2.0,
    };

    #[test]
    fn the_floor_is_there_when_nothing_is_decided_and_comes_back_with_time() {
        let (mut budget, now) = (Budget::default(), Instant::now());
        assert_eq!(budget.left(&TERMS, now), 20);
        budget.begun(20);
        assert_eq!(budget.left(&TERMS, now), 0, "each of them may fail");
        for _ in 0..20 {
            budget.failed(now);
        }
        assert_eq!(budget.left(&TERMS, now + Duration::from_secs(9)), 0);
        assert_eq!(budget.left(&TERMS, now + WINDOW), 20);
    }

    #[test]
    fn what_is_decided_pays_a_share() {
        let (mut budget, now) = (Budget::default(), Instant::now());
        budget.decided(1_000, now);
        assert_eq!(budget.left(&TERMS, now), 220);
        assert_eq!(budget.left(&TERMS, now + WINDOW), 20);
    }

    /// Breaks when `left` does not divide: three compensators would fail three times as often as the settings allow.
    #[test]
    fn three_processes_have_no_more_than_one() {
        let (mut budget, now) = (Budget::default(), Instant::now());
        budget.decided(1_000, now);
        budget.shared_by(3);
        assert_eq!(budget.left(&TERMS, now), 220 / 3);
        budget.shared_by(0);
        assert_eq!(budget.left(&TERMS, now), 220);
    }

    /// Breaks when a try that settles is paid for: a backlog that only succeeds would take its time for nothing.
    #[test]
    fn a_backlog_that_succeeds_is_not_held_up() {
        let (mut budget, mut now) = (Budget::default(), Instant::now());
        let mut settled = 0;
        for _ in 0..200 {
            let tries = budget.left(&TERMS, now).min(16);
            budget.begun(tries);
            now += Duration::from_millis(5);
            for _ in 0..tries {
                budget.settled(now);
                settled += 1;
            }
        }
        assert_eq!(settled, 200 * 16);
    }

    #[test]
    fn what_was_no_try_costs_nothing() {
        let (mut budget, now) = (Budget::default(), Instant::now());
        budget.begun(20);
        budget.given_back();
        assert_eq!(budget.left(&TERMS, now), 1);
    }

    /// Whatever is decided and fails, no 10 s hold more failures than their budget. Breaks when what is in hand is not counted.
    #[test]
    fn no_window_holds_more_failures_than_its_budget() {
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
        let (mut budget, start) = (Budget::default(), Instant::now());
        let (mut failures, mut under_way) = (VecDeque::new(), 0);
        for step in 0..20_000_u64 {
            let now = start + Duration::from_millis(step * 20);
            let begun = budget.left(&TERMS, now).min(16);
            budget.begun(begun);
            under_way += begun;
            while under_way > 0 && dice(3) > 0 {
                under_way -= 1;
                budget.failed(now);
                failures.push_back(now);
            }
            while failures
                .front()
                .is_some_and(|at| now - *at + TOGETHER >= WINDOW)
            {
                failures.pop_front();
            }
            // What is counted together leaves up to that much early.
            assert!(failures.len() <= 20, "{} at {step}", failures.len());
        }
    }
}
