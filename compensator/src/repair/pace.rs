//! How fast what failed is tried again: the budget, the breaker of each cause, and how many begin at once, of this process.
//!
//! Their rules are pure and know no clock (crate `compensation`); here they meet the clock, the work and the metrics.

use crate::metrics::{
    COMPENSATION_BREAKER_OPEN, COMPENSATION_BREAKER_TOTAL, COMPENSATION_BUDGET_LEFT,
    COMPENSATION_PUT_OFF_TOTAL,
};
use compensation::{
    breaker::{Breakers, Change, Ended, Verdict},
    budget::Budget,
    fingerprint::Cause,
    policy::Terms,
    queue::Claimed,
    slow_start::SlowStart,
};
use metrics::{counter, gauge};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tracing::{info, warn};

/// The step whose failures are told apart here.
const STEP: &str = "decide";

/// Of one process.
#[derive(Default)]
pub(super) struct Pace(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    budget: Budget,
    breakers: Breakers,
    slow_start: SlowStart,
}

/// Work as it was claimed, told apart.
pub(super) struct Admitted {
    /// Each is to be [`Pace::ended`].
    pub go: Vec<Claimed>,
    /// To be put off, each group by so long.
    pub later: Vec<(Duration, Vec<Claimed>)>,
}

/// How a try ended.
pub(super) enum TryEnded<'a> {
    Failed(&'a str),
    Settled,
    NoTry,
}

impl Pace {
    /// So many orders were decided by others.
    pub fn decided(&self, orders: u64) {
        self.inner().budget.decided(orders, Instant::now());
    }

    /// So many processes share the budget, with this one.
    pub fn shared_by(&self, processes: u32) {
        self.inner().budget.shared_by(processes);
    }

    /// How many tries may begin now, together.
    pub fn room(&self, terms: &Terms) -> u32 {
        let (mut inner, now) = (self.inner(), Instant::now());
        let left = inner.budget.left(&terms.budget, now);
        gauge!(COMPENSATION_BUDGET_LEFT).set(f64::from(left));
        gauge!(COMPENSATION_BREAKER_OPEN).set(inner.breakers.open(&terms.breaker, now) as f64);
        left.min(inner.slow_start.at_once())
    }

    /// Of those that began together so many were tries, of which so many failed.
    pub fn batch_ended(&self, tries: u32, failed: u32) {
        self.inner().slow_start.ended(tries, failed);
    }

    /// Who is tried, and who waits for its cause to heal.
    pub fn admit(&self, claimed: Vec<Claimed>, terms: &Terms) -> Admitted {
        let (mut inner, now) = (self.inner(), Instant::now());
        let mut admitted = Admitted {
            go: Vec::with_capacity(claimed.len()),
            later: Vec::new(),
        };
        for work in claimed {
            let verdict = cause_of(&work).map_or(Verdict::Go, |cause| {
                inner
                    .breakers
                    .admit(&cause, work.order_id, &terms.breaker, now)
            });
            match verdict {
                Verdict::Go => admitted.go.push(work),
                Verdict::Later(wait) => put_into(&mut admitted.later, wait, work),
            }
        }
        inner
            .budget
            .begun(u32::try_from(admitted.go.len()).unwrap_or(u32::MAX));
        let put_off: usize = admitted.later.iter().map(|(_, works)| works.len()).sum();
        counter!(COMPENSATION_PUT_OFF_TOTAL).increment(put_off as u64);
        admitted
    }

    /// Told once for each that was let go.
    pub fn ended(&self, work: &Claimed, how: &TryEnded<'_>, terms: &Terms) {
        let (mut inner, now) = (self.inner(), Instant::now());
        match how {
            TryEnded::Failed(_) => inner.budget.failed(now),
            TryEnded::Settled => inner.budget.settled(now),
            TryEnded::NoTry => inner.budget.given_back(),
        }
        let before = cause_of(work);
        let after = match how {
            TryEnded::Failed(why) => Some(Cause::of(STEP, None, why)),
            TryEnded::Settled | TryEnded::NoTry => None,
        };
        let ended = match (&after, how) {
            (Some(cause), _) => Ended::Failed(cause),
            (None, TryEnded::NoTry) => Ended::NoTry,
            (None, _) => Ended::Settled,
        };
        let breakers = &mut inner.breakers;
        let change = breakers.ended(before.as_ref(), work.order_id, ended, &terms.breaker, now);
        drop(inner);
        tell(change, after.as_ref().or(before.as_ref()));
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of its latest failure; a replay that was not tried yet has none.
fn cause_of(work: &Claimed) -> Option<Cause> {
    let error = work.error.as_deref().filter(|_| work.attempts > 0)?;
    Some(Cause::of(STEP, None, error))
}

fn put_into(later: &mut Vec<(Duration, Vec<Claimed>)>, wait: Duration, work: Claimed) {
    match later.iter_mut().find(|(other, _)| *other == wait) {
        Some((_, works)) => works.push(work),
        None => later.push((wait, vec![work])),
    }
}

fn tell(change: Change, cause: Option<&Cause>) {
    let cause = cause.map_or("", |cause| cause.pattern.as_str());
    match change {
        Change::None | Change::StillOpen(_) => {}
        Change::Opened(wait) => {
            counter!(COMPENSATION_BREAKER_TOTAL, "event" => "opened").increment(1);
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            warn!(
                wait_ms,
                "Many orders fail alike, their retries are put off together, single ones are tried: {cause}"
            );
        }
        Change::GaveUp => {
            counter!(COMPENSATION_BREAKER_TOTAL, "event" => "gave_up").increment(1);
            warn!(
                "A cause lasts for longer than outages do, its orders go on by their own schedules: {cause}"
            );
        }
        Change::Healed => {
            counter!(COMPENSATION_BREAKER_TOTAL, "event" => "healed").increment(1);
            info!("An order that was put off is over its cause, the others follow");
        }
    }
}
