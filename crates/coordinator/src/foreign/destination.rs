//! What one destination may be sent: how much at once, and whether at all. Pure: it is told the time and handed the chance.
//!
//! While it answers, `limit` calls may be under way. Answers that say nothing (no answer, 500 and the like), several in a row, open the
//! breaker: nothing is sent. After a wait one call is let through to try. Its answer closes the breaker, and what may be sent grows from
//! one by one with each answer, twice as much every round trip: who has just come back is not run over by what waited for it. An answer
//! that says nothing halves that while it grows, and opens the breaker again where there is nothing left to halve, so that one bad
//! branch among good ones slows the others down and no more.

use std::time::Duration;
use tokio::time::Instant;

/// The first wait of an open breaker; each wait without an answer between is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// No wait is longer, give or take the chance: what was repaired goes on soon after.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// By how much a wait is longer or shorter, as a share of it: instances that saw the same failure do not come back together.
const JITTER: f64 = 0.2;
/// However long it asks to be left alone, it is asked again after this.
pub(super) const LEFT_ALONE_AT_MOST: Duration = Duration::from_mins(1);

/// One destination, as it is known here.
#[derive(Debug)]
pub(super) struct Destination {
    limit: usize,
    opens_after: u32,
    in_flight: usize,
    /// How much may be under way: from 1 to `limit`.
    allowed: usize,
    /// Answers in a row that said nothing.
    unknown: u32,
    /// Openings since as much as ever was allowed: each waits longer.
    openings: u32,
    switch: Switch,
    left_alone_until: Option<Instant>,
    /// Counts openings for ever: what was sent before the last one says nothing about now.
    era: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Switch {
    Closed,
    Open {
        until: Instant,
    },
    /// The one call that tries is under way.
    Trying,
}

/// Leave to send one call. It has to be given back by [`Destination::ended`], once.
#[derive(Debug)]
pub(super) struct Leave {
    era: u64,
    tries: bool,
}

/// What whoever wants to send is told.
#[derive(Debug)]
pub(super) enum Turn {
    /// Now.
    Now(Leave),
    /// Once another call has ended.
    Later,
    /// Not at all, for so long where that is known.
    Away(&'static str, Option<Duration>),
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The participant answered.
    Answered,
    /// Nobody knows.
    Unknown,
    /// It asks to be left alone for so long.
    LeaveAlone(Duration),
    /// It was not sent, or not waited for: nothing was learnt.
    Unsaid,
}

/// What changed for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// The breaker opened, for so long; or stays open for longer.
    Opened(Duration),
    /// It closed.
    Closed,
}

impl Destination {
    /// One that is believed to be there. Both are at least 1.
    pub(super) fn new(limit: usize, opens_after: u32) -> Self {
        let limit = limit.max(1);
        Self {
            limit,
            opens_after: opens_after.max(1),
            in_flight: 0,
            allowed: limit,
            unknown: 0,
            openings: 0,
            switch: Switch::Closed,
            left_alone_until: None,
            era: 0,
        }
    }

    /// Whether it answers, as far as is known.
    pub(super) fn is_closed(&self) -> bool {
        self.switch == Switch::Closed
    }

    /// Why nothing would be sent now, and for how long where that is known.
    pub(super) fn away(&self, now: Instant) -> Option<(&'static str, Option<Duration>)> {
        if let Some(until) = self.left_alone_until.filter(|until| now < *until) {
            return Some(("it asked to be left alone", Some(until - now)));
        }
        let gone = "it does not answer, and is not asked for a while";
        match self.switch {
            Switch::Closed => None,
            Switch::Open { until } => (now < until).then(|| (gone, Some(until - now))),
            Switch::Trying => Some((gone, None)),
        }
    }

    /// Whether, and when, a call may be sent.
    pub(super) fn turn(&mut self, now: Instant) -> Turn {
        if let Some((why, wait)) = self.away(now) {
            return Turn::Away(why, wait);
        }
        let tries = self.switch != Switch::Closed;
        // Before the breaker opened a call had ended, and none was sent since: the one that tries is never one too many.
        if !tries && self.in_flight >= self.allowed {
            return Turn::Later;
        }
        if tries {
            self.switch = Switch::Trying;
        }
        self.in_flight += 1;
        Turn::Now(Leave {
            era: self.era,
            tries,
        })
    }

    /// A call ended. `chance` is from 0 to 1.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "leave is given back once: whoever gave it back has none any more"
    )]
    pub(super) fn ended(&mut self, leave: Leave, how: Ended, now: Instant, chance: f64) -> Change {
        self.in_flight -= 1;
        if let Ended::LeaveAlone(wait) = how {
            let until = now + wait.min(LEFT_ALONE_AT_MOST);
            self.left_alone_until = self.left_alone_until.max(Some(until));
        }
        if leave.era != self.era {
            return Change::None;
        }
        if leave.tries {
            return self.tried(how, now, chance);
        }
        match how {
            Ended::Answered => self.answered(),
            Ended::Unknown => return self.said_nothing(now, chance),
            Ended::LeaveAlone(_) => self.halve(),
            Ended::Unsaid => {}
        }
        Change::None
    }

    /// How many are under way.
    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn tried(&mut self, how: Ended, now: Instant, chance: f64) -> Change {
        match how {
            Ended::Answered => {
                self.switch = Switch::Closed;
                self.unknown = 0;
                self.allowed = 1;
                self.forget_openings_at_the_limit();
                Change::Closed
            }
            Ended::Unknown => self.open(now, chance),
            // Somebody else may try: at once, or once it may be asked again.
            Ended::LeaveAlone(_) | Ended::Unsaid => {
                self.switch = Switch::Open { until: now };
                Change::None
            }
        }
    }

    fn answered(&mut self) {
        self.unknown = 0;
        self.allowed = (self.allowed + 1).min(self.limit);
        self.forget_openings_at_the_limit();
    }

    fn said_nothing(&mut self, now: Instant, chance: f64) -> Change {
        self.unknown += 1;
        let growing = self.allowed < self.limit;
        if self.unknown >= self.opens_after || (growing && self.allowed == 1) {
            return self.open(now, chance);
        }
        if growing {
            self.halve();
        }
        Change::None
    }

    fn halve(&mut self) {
        self.allowed = (self.allowed / 2).max(1);
    }

    const fn forget_openings_at_the_limit(&mut self) {
        if self.allowed == self.limit {
            self.openings = 0;
        }
    }

    fn open(&mut self, now: Instant, chance: f64) -> Change {
        let doubled = FIRST_WAIT.saturating_mul(1 << self.openings.min(16));
        let wait = doubled
            .min(LONGEST_WAIT)
            .mul_f64((2.0 * chance.clamp(0.0, 1.0) - 1.0).mul_add(JITTER, 1.0));
        self.openings = self.openings.saturating_add(1);
        self.era += 1;
        self.unknown = 0;
        self.switch = Switch::Open { until: now + wait };
        Change::Opened(wait)
    }
}

#[cfg(test)]
mod tests;
