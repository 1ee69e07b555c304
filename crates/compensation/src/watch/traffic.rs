//! What all processes counted lately, from counts that only grow while a process lives.

use super::bounds::LONG_WINDOW;
use std::{
    collections::{HashMap, VecDeque},
    ops::AddAssign,
    time::Duration,
};

/// Counts of one process since it started, or of all within some time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Counts {
    /// Transactions that were decided, either way.
    pub decided: f64,
    /// Transactions that were tried and not decided.
    pub undecided: f64,
    /// Orders given up.
    pub archived: f64,
    /// Batches completed.
    pub batches: f64,
    /// How long that took them together, in seconds.
    pub batch_seconds: f64,
}

impl Counts {
    fn since(self, before: Self) -> Self {
        // A count that went back began anew: all of it came since.
        let grown = |now: f64, before: f64| if now < before { now } else { now - before };
        Self {
            decided: grown(self.decided, before.decided),
            undecided: grown(self.undecided, before.undecided),
            archived: grown(self.archived, before.archived),
            batches: grown(self.batches, before.batches),
            batch_seconds: grown(self.batch_seconds, before.batch_seconds),
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.decided += other.decided;
        self.undecided += other.undecided;
        self.archived += other.archived;
        self.batches += other.batches;
        self.batch_seconds += other.batch_seconds;
    }
}

/// How much was counted, look by look.
#[derive(Debug, Default)]
pub struct Traffic {
    last: Option<HashMap<String, Counts>>,
    grown: VecDeque<(Duration, Counts)>,
}

impl Traffic {
    /// Takes in what each instance has counted by now. What was counted before the first look is not traffic.
    pub fn look(&mut self, now: Duration, counted: HashMap<String, Counts>) {
        let mut grown = Counts::default();
        if let Some(last) = &self.last {
            for (instance, counts) in &counted {
                grown += counts.since(last.get(instance).copied().unwrap_or_default());
            }
        }
        self.last = Some(counted);
        self.grown.push_back((now, grown));
        while let Some((at, _)) = self.grown.front()
            && *at + LONG_WINDOW <= now
        {
            self.grown.pop_front();
        }
    }

    /// What was counted within the latest `window`.
    #[must_use]
    pub fn within(&self, window: Duration, now: Duration) -> Counts {
        let mut sum = Counts::default();
        for (_, grown) in self.grown.iter().filter(|(at, _)| *at + window > now) {
            sum += *grown;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(of: &[(&str, f64)]) -> HashMap<String, Counts> {
        of.iter()
            .map(|(instance, decided)| {
                let counts = Counts {
                    decided: *decided,
                    ..Counts::default()
                };
                ((*instance).to_owned(), counts)
            })
            .collect()
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_there_before_the_first_look_is_no_traffic_and_a_new_process_is() {
        let mut traffic = Traffic::default();
        traffic.look(seconds(0), decided(&[("a", 1_000.0)]));
        assert!(traffic.within(seconds(60), seconds(0)).decided.abs() < 0.1);
        traffic.look(seconds(5), decided(&[("a", 1_010.0), ("b", 7.0)]));
        assert!((traffic.within(seconds(60), seconds(5)).decided - 17.0).abs() < 0.1);
        // One that is gone took nothing back; one that counts from nothing again lost nothing.
        traffic.look(seconds(10), decided(&[("b", 3.0)]));
        assert!((traffic.within(seconds(60), seconds(10)).decided - 20.0).abs() < 0.1);
    }

    #[test]
    fn a_window_forgets_what_is_older_and_memory_is_bounded() {
        let mut traffic = Traffic::default();
        for at in 0..10_000_u32 {
            traffic.look(
                Duration::from_secs(at.into()),
                decided(&[("a", f64::from(at))]),
            );
        }
        let now = seconds(9_999);
        assert!((traffic.within(seconds(60), now).decided - 60.0).abs() < 0.1);
        assert!((traffic.within(LONG_WINDOW, now).decided - 300.0).abs() < 0.1);
        assert_eq!(traffic.grown.len(), 300);
    }
}
