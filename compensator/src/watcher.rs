//! Watches key figures: reads what waits and what all processes have counted, and has people told when it is too much.

use crate::{metrics::FAILED_ORDER_ARCHIVED_TOTAL, schedule::Scan};
use anyhow::Context as _;
use compensation::{
    queue,
    state::State,
    watch::{Bounds, Counts, Look, Watcher, store},
};
use coordinator::metrics::{TX_COMMIT_SECONDS_COUNT, TX_COMMIT_SECONDS_SUM, TX_TOTAL};
use service_kit::heartbeat::{self, Counted};
use sqlx::MySqlPool;
use tokio::time::Instant;

/// Outcomes of transactions that were decided. The others were tried in vain.
const DECIDED: [&str; 2] = ["committed", "rolled_back"];

/// Looks at them.
pub struct Watch {
    db: MySqlPool,
    channels: Vec<String>,
    watcher: Watcher,
    started: Instant,
}

impl Watch {
    /// Has people told over these channels.
    #[must_use]
    pub fn new(db: MySqlPool, channels: Vec<String>, bounds: Bounds) -> Self {
        Self {
            db,
            channels,
            watcher: Watcher::new(bounds),
            started: Instant::now(),
        }
    }

    async fn seen(&self) -> sqlx::Result<Look> {
        let waiting = queue::backlog(&self.db).await?;
        let dead = [State::Dead, State::Archiving].map(State::as_str);
        let dead = waiting
            .iter()
            .filter(|(state, _)| dead.contains(&state.as_str()));
        let unfinished = coordinator::backlog(&self.db).await?;
        let hanging = unfinished.iter().map(coordinator::Backlog::hanging);
        let processes = heartbeat::processes(&self.db).await?;
        Ok(Look {
            dead_letters: count(dead.map(|(_, count)| *count).sum()),
            hanging: count(hanging.sum()),
            counted: processes
                .into_iter()
                .map(|process| (process.instance, counts(&process.counted)))
                .collect(),
        })
    }
}

impl Scan for Watch {
    const NAME: &'static str = "watcher";

    async fn run_once(&mut self) -> anyhow::Result<()> {
        let look = self
            .seen()
            .await
            .context("MySQL does not tell the figures")?;
        let changes = self.watcher.look(self.started.elapsed(), look);
        store::tell(&self.db, &self.channels, &changes)
            .await
            .context("MySQL does not take what people must be told of figures")?;
        heartbeat::forget_old(&self.db)
            .await
            .context("MySQL does not forget processes that are gone")
    }
}

fn count(of: i64) -> u64 {
    u64::try_from(of).unwrap_or_default()
}

/// What one process has counted, of what it wrote down.
fn counts(counted: &Counted) -> Counts {
    let mut counts = Counts::default();
    for (series, value) in counted {
        let name = series.split('{').next().unwrap_or_default();
        match name {
            TX_TOTAL => {
                let outcome = series.split('"').nth(1).unwrap_or_default();
                if DECIDED.contains(&outcome) {
                    counts.decided += value;
                } else {
                    counts.undecided += value;
                }
            }
            FAILED_ORDER_ARCHIVED_TOTAL => counts.archived += value,
            TX_COMMIT_SECONDS_COUNT => counts.batches += value,
            TX_COMMIT_SECONDS_SUM => counts.batch_seconds += value,
            _ => {}
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_sorted_by_what_they_mean() {
        let counted = [
            ("tx_total{outcome=\"committed\"}", 5.0),
            ("tx_total{outcome=\"rolled_back\"}", 2.0),
            ("tx_total{outcome=\"unavailable\"}", 1.0),
            ("tx_total{outcome=\"one that came later\"}", 1.0),
            ("failed_order_archived_total", 4.0),
            ("tx_commit_seconds_count", 3.0),
            ("tx_commit_seconds_sum", 0.5),
            ("tx_commit_seconds_bucket{le=\"1\"}", 9.0),
        ];
        let counted = counted.map(|(series, value)| (series.to_owned(), value));
        let expected = Counts {
            decided: 7.0,
            undecided: 2.0,
            archived: 4.0,
            batches: 3.0,
            batch_seconds: 0.5,
        };
        assert_eq!(counts(&Counted::from(counted)), expected);
    }
}
