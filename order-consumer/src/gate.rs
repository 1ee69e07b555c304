//! Whether orders are taken at all. What is wrong with everything at once is not an order's fault: intake pauses, one order in
//! hand is tried now and then, and its success opens the gate again. Pure: the caller tells the time.

use ordering::OrderId;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The first wait before a try while closed; each is twice the one before.
const FIRST_TRY_AFTER: Duration = Duration::from_millis(200);
/// The longest wait between tries.
const TRY_AT_LEAST_EVERY: Duration = Duration::from_secs(5);
/// How many distinct orders must fail alike.
const ALIKE_AT_LEAST: usize = 20;
/// How many of the latest orders are looked at; more than half of them must have failed.
const LATEST: usize = 2 * ALIKE_AT_LEAST;

/// Why orders are not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// Nothing can be decided now.
    Unavailable,
    /// Most of the latest orders failed in this way. An order not seen yet may do better, so that one is taken for each try.
    FailingAlike(String),
}

/// Open, or closed for a reason.
#[derive(Debug, Default)]
pub struct Gate {
    closed: Option<Tries>,
    /// The latest orders, each once: how it failed, or that it did not.
    latest: VecDeque<(OrderId, Option<String>)>,
}

#[derive(Debug)]
struct Tries {
    why: Closed,
    wait: Duration,
    next: Instant,
}

impl Gate {
    /// Whether orders are taken.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// Why not.
    #[must_use]
    pub fn why(&self) -> Option<&Closed> {
        self.closed.as_ref().map(|tries| &tries.why)
    }

    /// Nothing could be decided. True when this closed the gate.
    pub fn unavailable(&mut self, now: Instant) -> bool {
        self.close(Closed::Unavailable, now)
    }

    /// An order failed by itself. True when this closed the gate.
    pub fn order_failed(&mut self, order: OrderId, how: &str, now: Instant) -> bool {
        let kind = kind_of(how);
        self.latest.retain(|(known, _)| *known != order);
        self.remember(order, Some(kind.clone()));
        let alike = self
            .latest
            .iter()
            .filter(|(_, failure)| failure.as_ref() == Some(&kind))
            .count();
        alike >= ALIKE_AT_LEAST
            && 2 * alike > self.latest.len()
            && self.close(Closed::FailingAlike(kind), now)
    }

    /// An order was decided.
    pub fn decided(&mut self, order: OrderId) {
        self.remember(order, None);
    }

    /// An order tried while closed was decided, or nothing is left to try. True when this opened the gate.
    pub fn open(&mut self) -> bool {
        self.latest.clear();
        self.closed.take().is_some()
    }

    /// Whether it is time to try one; if so the next time is later.
    pub fn may_try(&mut self, now: Instant) -> bool {
        let Some(tries) = self.closed.as_mut().filter(|tries| now >= tries.next) else {
            return false;
        };
        tries.wait = (2 * tries.wait).min(TRY_AT_LEAST_EVERY);
        tries.next = now + tries.wait;
        true
    }

    fn close(&mut self, why: Closed, now: Instant) -> bool {
        if self.closed.is_some() {
            return false;
        }
        self.closed = Some(Tries {
            why,
            wait: FIRST_TRY_AFTER,
            next: now + FIRST_TRY_AFTER,
        });
        true
    }

    fn remember(&mut self, order: OrderId, failure: Option<String>) {
        self.latest.push_back((order, failure));
        if self.latest.len() > LATEST {
            self.latest.pop_front();
        }
    }
}

/// What two failures alike have in common: the words without numbers, ids and quoted values.
fn kind_of(failure: &str) -> String {
    let words = failure
        .split_whitespace()
        .filter(|word| !word.contains(|letter: char| letter.is_ascii_digit() || letter == '\''));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ordering::SaleId;

    fn fresh() -> OrderId {
        OrderId::mint(SaleId::fresh())
    }

    #[test]
    fn it_tries_with_growing_waits_until_one_succeeds() {
        let (mut gate, start) = (Gate::default(), Instant::now());
        assert!(gate.is_open());
        assert!(gate.unavailable(start));
        assert!(!gate.unavailable(start), "closed already");
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..8 {
            let before = now;
            while !gate.may_try(now) {
                now += Duration::from_millis(10);
            }
            waits.push(now - before);
        }
        assert_eq!(waits[..3], [200, 400, 800].map(Duration::from_millis));
        assert_eq!(waits[7], TRY_AT_LEAST_EVERY);
        assert!(gate.open());
        assert!(gate.is_open() && !gate.may_try(now));
    }

    #[test]
    fn twenty_distinct_orders_that_fail_alike_close_it_and_one_that_fails_often_does_not() {
        let (mut gate, now, one) = (Gate::default(), Instant::now(), fresh());
        for attempt in 0..100 {
            assert!(!gate.order_failed(
                one,
                &format!("column 'x' is too small for attempt {attempt}"),
                now
            ));
        }
        for _ in 0..ALIKE_AT_LEAST - 2 {
            assert!(!gate.order_failed(fresh(), "column 'y' is too small for attempt 1", now));
        }
        assert!(gate.order_failed(fresh(), "column 'z' is too small for attempt 1", now));
        assert!(matches!(gate.why(), Some(Closed::FailingAlike(_))));
    }

    #[test]
    fn failures_among_as_many_successes_leave_it_open() {
        let (mut gate, now) = (Gate::default(), Instant::now());
        for _ in 0..200 {
            gate.decided(fresh());
            assert!(!gate.order_failed(fresh(), "no such column", now));
        }
    }

    #[test]
    fn failures_that_differ_leave_it_open() {
        let (mut gate, now) = (Gate::default(), Instant::now());
        for round in 0..100 {
            assert!(!gate.order_failed(fresh(), ["a", "b", "c"][round % 3], now));
        }
    }
}
