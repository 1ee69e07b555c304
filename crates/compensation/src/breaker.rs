//! A breaker for each cause: where many different orders fail alike, their retries are put off together instead of each failing on its
//! own schedule, and single ones are sent ahead, with ever longer waits between them. Once one of them does not fail that way any more,
//! the others follow at a growing pace. Being put off is no try. Pure: the caller tells the time.
//!
//! A cause that lasts for longer than outages do is the orders' own, and then every order has its end: they go on by their own schedules,
//! as fast as the budget lets them fail.
//!
//! It is the process's own and forgotten with it: whoever starts anew finds out again.

use crate::{fingerprint::Cause, policy::BreakerTerms};
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Causes that are watched at once. Those beyond are not: bounds memory.
const CAUSES_AT_MOST: usize = 1_000;
/// A single try that nobody tells the end of is given up after this; longer than any try.
const PROBE_AT_MOST: Duration = Duration::from_mins(1);
/// The shortest time work is put off.
const LATER_AT_LEAST: Duration = Duration::from_millis(100);
/// A cause that was given up is remembered for longer than orders usually wait between two tries, or each would begin it anew; and no
/// longer, for an outage of the next day is another one.
const GIVEN_UP_FOR: Duration = Duration::from_mins(15);
/// An open cause that nothing waits for any more is forgotten after its longest wait and so long.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(2);
/// While the others follow, a share of the orders that open it is enough to close the door again.
const SOONER: u32 = 4;

/// The breakers of one process.
#[derive(Debug, Default)]
pub struct Breakers(HashMap<Cause, Watch>);

/// What is to be done with work whose latest failure had a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is tried.
    Go,
    /// It is put off by so long, give or take.
    Later(Duration),
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// The cause's retries are put off from now on, for so long at first.
    Opened(Duration),
    /// A single try failed alike: the next one comes after so long.
    StillOpen(Duration),
    /// They follow now.
    Healed,
    /// It lasts for too long: they go on by their own schedules.
    GaveUp,
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended<'a> {
    /// With a failure.
    Failed(&'a Cause),
    /// With a decision.
    Settled,
    /// It was none: nothing could be decided for anyone.
    NoTry,
}

#[derive(Debug)]
struct Watch {
    /// Different orders that failed alike lately, oldest first.
    failed: VecDeque<(Uuid, Instant)>,
    stands: Stands,
}

#[derive(Debug, Clone, Copy)]
enum Stands {
    Closed,
    Open {
        wait: Duration,
        until: Instant,
        probe: Option<(Uuid, Instant)>,
        asked: Instant,
        /// For the first time.
        opened: Instant,
    },
    Releasing {
        /// The wait before, should it open again.
        wait: Duration,
        since: Instant,
        opened: Instant,
        /// How many went in this second since then, and how many were told to wait.
        this_second: Second,
    },
    /// Nobody is put off any more.
    GivenUp {
        /// When somebody failed alike for the last time.
        failed: Instant,
    },
}

/// One second of a release.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    number: u32,
    gone: u32,
    waiting: u32,
}

impl Breakers {
    /// Whether work of this order may be tried now. What may is expected to be [`ended`](Self::ended).
    pub fn admit(
        &mut self,
        cause: &Cause,
        order: Uuid,
        terms: &BreakerTerms,
        now: Instant,
    ) -> Verdict {
        let Some(watch) = self.0.get_mut(cause) else {
            return Verdict::Go;
        };
        match &mut watch.stands {
            Stands::Closed | Stands::GivenUp { .. } => Verdict::Go,
            Stands::Open {
                until,
                probe,
                asked,
                wait,
                ..
            } => {
                *asked = now;
                let is_under_way = probe
                    .is_some_and(|(_, began)| now.saturating_duration_since(began) < PROBE_AT_MOST);
                if now >= *until && !is_under_way {
                    *probe = Some((order, now));
                    return Verdict::Go;
                }
                let left = if is_under_way {
                    *wait
                } else {
                    until.saturating_duration_since(now)
                };
                Verdict::Later(left.max(LATER_AT_LEAST))
            }
            Stands::Releasing {
                since, this_second, ..
            } => {
                let passed = now.saturating_duration_since(*since);
                let number = u32::try_from(passed.as_secs()).unwrap_or(u32::MAX);
                if number > 0 && pace(terms, number - 1) >= terms.release_at_most_per_s {
                    watch.stands = Stands::Closed;
                    return Verdict::Go;
                }
                if this_second.number != number {
                    *this_second = Second {
                        number,
                        ..Second::default()
                    };
                }
                if f64::from(this_second.gone) < pace(terms, number) {
                    this_second.gone += 1;
                    return Verdict::Go;
                }
                let turn = Duration::from_secs(turn_of(terms, number, this_second.waiting).into());
                this_second.waiting = this_second.waiting.saturating_add(1);
                Verdict::Later(turn.saturating_sub(passed).max(LATER_AT_LEAST))
            }
        }
    }

    /// Tells how a try of `order` ended, whose failure before had the cause `before`.
    pub fn ended(
        &mut self,
        before: Option<&Cause>,
        order: Uuid,
        how: Ended<'_>,
        terms: &BreakerTerms,
        now: Instant,
    ) -> Change {
        match how {
            Ended::NoTry => {
                self.no_try(before, order, now);
                Change::None
            }
            Ended::Settled => self.did_not_fail_alike(before, order, now),
            Ended::Failed(cause) => {
                let healed = match before {
                    // What it waited for is over, though something else is in its way now.
                    Some(other) if other != cause => self.did_not_fail_alike(before, order, now),
                    _ => Change::None,
                };
                match self.failed(cause, order, terms, now) {
                    Change::None => healed,
                    changed => changed,
                }
            }
        }
    }

    /// How many causes are put off. Forgets those that nothing waits for any more.
    pub fn open(&mut self, terms: &BreakerTerms, now: Instant) -> usize {
        self.forget(terms, now);
        self.0.values().filter(|watch| watch.is_open()).count()
    }

    fn failed(&mut self, cause: &Cause, order: Uuid, terms: &BreakerTerms, now: Instant) -> Change {
        if !self.0.contains_key(cause) {
            if self.0.len() >= CAUSES_AT_MOST {
                self.forget(terms, now);
            }
            if self.0.len() >= CAUSES_AT_MOST {
                return Change::None;
            }
        }
        let watch = self.0.entry(cause.clone()).or_insert_with(|| Watch {
            failed: VecDeque::new(),
            stands: Stands::Closed,
        });
        let longest = seconds(terms.max_wait_s);
        if let Stands::GivenUp { failed } = &mut watch.stands {
            *failed = now;
            return Change::None;
        }
        if let Stands::Open {
            wait,
            until,
            probe,
            opened,
            ..
        } = &mut watch.stands
        {
            // Others were under way when it opened: they say nothing new.
            if probe.is_none_or(|(probe, _)| probe != order) {
                return Change::None;
            }
            if now.saturating_duration_since(*opened) >= seconds(terms.open_at_most_s) {
                watch.stands = Stands::GivenUp { failed: now };
                return Change::GaveUp;
            }
            *wait = (*wait * 2).min(longest);
            (*until, *probe) = (now + *wait, None);
            return Change::StillOpen(*wait);
        }
        let alike = watch.note(order, seconds(terms.within_s), now);
        let (enough, wait, opened) = match watch.stands {
            Stands::Releasing { wait, opened, .. } => (
                terms.orders.div_ceil(SOONER).max(2),
                (wait * 2).min(longest),
                opened,
            ),
            _ => (terms.orders, seconds(terms.first_wait_s), now),
        };
        if alike < enough as usize {
            return Change::None;
        }
        watch.failed.clear();
        watch.stands = Stands::Open {
            wait,
            until: now + wait,
            probe: None,
            asked: now,
            opened,
        };
        Change::Opened(wait)
    }

    fn did_not_fail_alike(&mut self, before: Option<&Cause>, order: Uuid, now: Instant) -> Change {
        let Some(watch) = before.and_then(|cause| self.0.get_mut(cause)) else {
            return Change::None;
        };
        match watch.stands {
            Stands::Open {
                wait,
                probe: Some((probe, _)),
                opened,
                ..
            } if probe == order => {
                watch.stands = Stands::Releasing {
                    wait,
                    opened,
                    since: now,
                    this_second: Second::default(),
                };
                Change::Healed
            }
            _ => Change::None,
        }
    }

    fn no_try(&mut self, before: Option<&Cause>, order: Uuid, now: Instant) {
        if let Some(Watch {
            stands: Stands::Open {
                wait, until, probe, ..
            },
            ..
        }) = before.and_then(|cause| self.0.get_mut(cause))
            && probe.is_some_and(|(probe, _)| probe == order)
        {
            (*until, *probe) = (now + *wait, None);
        }
    }

    fn forget(&mut self, terms: &BreakerTerms, now: Instant) {
        let within = seconds(terms.within_s);
        let unasked = seconds(terms.max_wait_s) * 2 + FORGOTTEN_AFTER;
        let past = |since: Instant, time| now.saturating_duration_since(since) > time;
        self.0.retain(|_, watch| match watch.stands {
            Stands::Closed => watch
                .failed
                .back()
                .is_some_and(|(_, at)| !past(*at, within)),
            Stands::Open { asked, .. } => !past(asked, unasked),
            Stands::Releasing { since, .. } => !past(since, FORGOTTEN_AFTER),
            Stands::GivenUp { failed } => !past(failed, unasked.max(GIVEN_UP_FOR)),
        });
    }
}

impl Watch {
    const fn is_open(&self) -> bool {
        matches!(self.stands, Stands::Open { .. })
    }

    /// How many different orders failed alike within this time, this one included.
    fn note(&mut self, order: Uuid, within: Duration, now: Instant) -> usize {
        self.failed
            .retain(|(other, at)| *other != order && now.saturating_duration_since(*at) <= within);
        self.failed.push_back((order, now));
        self.failed.len()
    }
}

/// Tries in the so manieth second of the release.
fn pace(terms: &BreakerTerms, second: u32) -> f64 {
    let doubled = 2_f64.powi(i32::try_from(second.min(64)).unwrap_or(64));
    (terms.release_per_s * doubled).min(terms.release_at_most_per_s)
}

/// The second whose turn it is once so many went after this one. Nobody waits beyond the release: then all may go.
fn turn_of(terms: &BreakerTerms, this: u32, before: u32) -> u32 {
    let (mut second, mut places) = (this, 0.0);
    loop {
        second += 1;
        places += pace(terms, second);
        let is_the_last = pace(terms, second - 1) >= terms.release_at_most_per_s;
        if is_the_last || f64::from(before) < places {
            return second;
        }
    }
}

fn seconds(number: f64) -> Duration {
    Duration::from_secs_f64(number)
}

#[cfg(test)]
mod tests;
