//! Judges figures: beyond their bounds for how long. Pure, and of one process; what people were told is in the database.

use super::{
    Bounds, Counts, Figure, Traffic,
    bounds::{ENOUGH, LONG_WINDOW, QUIET_FOR, WINDOW},
};
use std::{collections::HashMap, time::Duration};

/// What there is to see at one look.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Dead letters that are neither settled nor archived.
    pub dead_letters: u64,
    /// Transactions that are stuck, or unfinished for longer than a minute.
    pub hanging: u64,
    /// What each process has counted since it started.
    pub counted: HashMap<String, Counts>,
}

/// What a look changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The figure has been beyond its bound for long enough; the text says by how much.
    Trouble(Figure, String),
    /// It has been within its bound for long enough.
    Over(Figure),
}

/// Sees figures go beyond their bounds and come back. It says so at every look for as long as it is so: who stores it knows what is new.
pub struct Watcher {
    bounds: Bounds,
    traffic: Traffic,
    /// When it first looked.
    first: Option<Duration>,
    /// Since when each figure is as it is, and whether that is beyond its bound.
    since: HashMap<Figure, (bool, Duration)>,
}

impl Watcher {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            traffic: Traffic::default(),
            first: None,
            since: HashMap::new(),
        }
    }

    /// One look. `now` is any clock that only goes forwards.
    pub fn look(&mut self, now: Duration, look: Look) -> Vec<Change> {
        let (dead_letters, hanging) = (look.dead_letters, look.hanging);
        self.traffic.look(now, look.counted);
        let watched = now.saturating_sub(*self.first.get_or_insert(now));
        let mut changes = Vec::new();
        for figure in Figure::ALL {
            let beyond = self.beyond(figure, now, dead_letters, hanging);
            let entry = self.since.entry(figure).or_insert((beyond.is_some(), now));
            if entry.0 != beyond.is_some() {
                *entry = (beyond.is_some(), now);
            }
            let lasted = now.saturating_sub(entry.1);
            match beyond {
                Some(said) if lasted >= self.bounds.patience(figure) => {
                    changes.push(Change::Trouble(figure, said));
                }
                // What was before the first look may still be within the window.
                None if lasted >= QUIET_FOR && watched >= window(figure) => {
                    changes.push(Change::Over(figure));
                }
                _ => {}
            }
        }
        changes
    }

    /// What to say of a figure that is beyond its bound.
    fn beyond(
        &self,
        figure: Figure,
        now: Duration,
        dead_letters: u64,
        hanging: u64,
    ) -> Option<String> {
        let bounds = &self.bounds;
        match figure {
            Figure::DeadLetters => (dead_letters > bounds.dead_letters).then(|| {
                let minutes = bounds.dead_letters_for.as_secs_f64() / 60.0;
                format!(
                    "{dead_letters} dead letters wait, and more than {} have for {minutes} min",
                    bounds.dead_letters
                )
            }),
            Figure::Hanging => (hanging > bounds.hanging)
                .then(|| format!("{hanging} transactions hang, more than {}", bounds.hanging)),
            Figure::FinalFailures => {
                let lately = self.traffic.within(LONG_WINDOW, now);
                let share = lately.archived / lately.decided;
                (lately.decided >= ENOUGH && share > bounds.final_failure_rate).then(|| {
                    format!(
                        "{} of {} orders of the last 5 min were given up, more than {:.2} %",
                        lately.archived,
                        lately.decided,
                        bounds.final_failure_rate * 100.0
                    )
                })
            }
            Figure::TransactionSuccess => {
                let Counts {
                    decided, undecided, ..
                } = self.traffic.within(WINDOW, now);
                let share = decided / (decided + undecided);
                (decided + undecided >= ENOUGH && share < bounds.transaction_success).then(|| {
                    format!(
                        "{:.2} % of the transactions of the last minute were decided, less than {} %",
                        // Never shown as more than it is.
                        (share * 10_000.0).floor() / 100.0,
                        bounds.transaction_success * 100.0
                    )
                })
            }
            Figure::CommitMean => {
                let lately = self.traffic.within(WINDOW, now);
                let mean_s = lately.batch_seconds / lately.batches;
                (lately.batches >= 1.0 && mean_s > bounds.commit_mean.as_secs_f64()).then(|| {
                    format!(
                        "Completing took {:.0} ms on average in the last minute, more than {} ms",
                        mean_s * 1_000.0,
                        bounds.commit_mean.as_millis()
                    )
                })
            }
        }
    }
}

/// Over which time what a figure says was counted.
const fn window(figure: Figure) -> Duration {
    match figure {
        Figure::FinalFailures => LONG_WINDOW,
        Figure::TransactionSuccess | Figure::CommitMean => WINDOW,
        Figure::DeadLetters | Figure::Hanging => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(watcher: &mut Watcher, seconds: u64, look: Look) -> Vec<Change> {
        watcher.look(Duration::from_secs(seconds), look)
    }

    fn troubles(changes: &[Change]) -> Vec<Figure> {
        let trouble = |change: &Change| match change {
            Change::Trouble(figure, _) => Some(*figure),
            Change::Over(_) => None,
        };
        changes.iter().filter_map(trouble).collect()
    }

    fn counted(counts: Counts) -> Look {
        Look {
            counted: HashMap::from([("one".to_owned(), counts)]),
            ..Look::default()
        }
    }

    #[test]
    fn eleven_dead_letters_are_told_of_after_five_minutes_and_ten_never() {
        for (dead_letters, told_at) in [(11, Some(300)), (10, None)] {
            let mut watcher = Watcher::new(Bounds::default());
            let look = || Look {
                dead_letters,
                ..Look::default()
            };
            let first = (0..600)
                .step_by(5)
                .find(|seconds| !troubles(&at(&mut watcher, *seconds, look())).is_empty());
            assert_eq!(first, told_at, "{dead_letters}");
        }
    }

    #[test]
    fn a_figure_that_comes_and_goes_begins_to_wait_anew_and_is_over_after_a_minute() {
        let mut watcher = Watcher::new(Bounds::default());
        let look = |dead_letters| Look {
            dead_letters,
            ..Look::default()
        };
        at(&mut watcher, 0, look(11));
        at(&mut watcher, 295, look(0));
        assert!(troubles(&at(&mut watcher, 300, look(11))).is_empty());
        assert_eq!(
            troubles(&at(&mut watcher, 600, look(11))),
            [Figure::DeadLetters]
        );
        let over = Change::Over(Figure::DeadLetters);
        assert!(!at(&mut watcher, 605, look(0)).contains(&over));
        assert!(!at(&mut watcher, 660, look(0)).contains(&over));
        assert!(at(&mut watcher, 665, look(0)).contains(&over));
    }

    #[test]
    fn shares_of_few_say_nothing_and_shares_of_many_do() {
        let mut watcher = Watcher::new(Bounds::default());
        at(&mut watcher, 0, counted(Counts::default()));
        let few = Counts {
            decided: 10.0,
            undecided: 9.0,
            archived: 5.0,
            ..Counts::default()
        };
        assert!(troubles(&at(&mut watcher, 5, counted(few))).is_empty());
        let many = Counts {
            decided: 10_000.0,
            undecided: 30.0,
            archived: 11.0,
            ..Counts::default()
        };
        assert_eq!(
            troubles(&at(&mut watcher, 10, counted(many))),
            [Figure::FinalFailures]
        );
        // The share of decided ones has to be low for a minute.
        let more = |undecided| {
            counted(Counts {
                decided: 20_000.0,
                undecided,
                ..many
            })
        };
        assert!(troubles(&at(&mut watcher, 65, more(60.0))).is_empty());
        let after = at(&mut watcher, 70, more(80.0));
        assert!(troubles(&after).contains(&Figure::TransactionSuccess));
        let said = after.iter().find_map(|change| match change {
            Change::Trouble(Figure::TransactionSuccess, said) => Some(said.as_str()),
            _ => None,
        });
        assert_eq!(
            said,
            Some("99.50 % of the transactions of the last minute were decided, less than 99.9 %")
        );
    }

    #[test]
    fn a_slow_minute_is_told_of_at_once() {
        let mut watcher = Watcher::new(Bounds::default());
        let batches = |batches, batch_seconds| {
            counted(Counts {
                batches,
                batch_seconds,
                ..Counts::default()
            })
        };
        at(&mut watcher, 0, batches(1_000.0, 900.0));
        assert!(troubles(&at(&mut watcher, 5, batches(1_010.0, 904.9))).is_empty());
        assert_eq!(
            troubles(&at(&mut watcher, 10, batches(1_011.0, 905.9))),
            [Figure::CommitMean]
        );
    }

    #[test]
    fn what_hangs_is_told_of_at_once() {
        let mut watcher = Watcher::new(Bounds::default());
        let look = |hanging| Look {
            hanging,
            ..Look::default()
        };
        assert!(at(&mut watcher, 0, look(10)).is_empty());
        assert_eq!(troubles(&at(&mut watcher, 5, look(11))), [Figure::Hanging]);
    }
}
