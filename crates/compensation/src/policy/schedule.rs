//! When an order that keeps failing would be tried, and when it would be given up: what operators look at before they change the
//! policy. It asks [`Policy::after`], as the lanes do, so that it cannot say anything else than what happens.
//!
//! What no policy knows is left out: how long tries take, a participant's `Retry-After`, and causes that are put off as a whole.

use super::{Next, Policy};
use crate::attempt::Lane;
use serde::Serialize;
use std::time::Duration;

/// All tries after the first one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schedule {
    /// In order.
    pub tries: Vec<Planned>,
    /// When the last of them has failed: then it is given up at once.
    pub archived: Span,
}

/// One try.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Planned {
    /// The first try, which failed, is 1.
    #[serde(rename = "try")]
    pub number: u32,
    /// Where it is made.
    pub lane: Lane,
    /// After the try before it.
    pub wait: Span,
    /// After the first failure.
    pub since_first: Span,
}

/// In seconds: jitter makes it any time between the two.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Span {
    /// At the least.
    pub earliest_s: f64,
    /// At the most.
    pub latest_s: f64,
}

impl Span {
    fn of(earliest: Duration, latest: Duration) -> Self {
        let seconds = |time: Duration| (time.as_secs_f64() * 1000.0).round() / 1000.0;
        Self {
            earliest_s: seconds(earliest),
            latest_s: seconds(latest),
        }
    }
}

impl Policy {
    /// The schedule of an order that fails every time.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        let (mut earliest, mut latest) = (Duration::ZERO, Duration::ZERO);
        let mut tries = Vec::new();
        for failed in 1.. {
            let (lane, shortest, longest) = match (self.after(failed, 0.0), self.after(failed, 1.0))
            {
                (Next::Retry(shortest), Next::Retry(longest)) => (Lane::Retry, shortest, longest),
                (Next::DeadLetter(shortest), Next::DeadLetter(longest)) => {
                    (Lane::DeadLetter, shortest, longest)
                }
                _ => break,
            };
            (earliest, latest) = (earliest + shortest, latest + longest);
            tries.push(Planned {
                number: failed + 1,
                lane,
                wait: Span::of(shortest, longest),
                since_first: Span::of(earliest, latest),
            });
        }
        Schedule {
            tries,
            archived: Span::of(earliest, latest),
        }
    }
}
