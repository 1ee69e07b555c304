//! Watches key figures: reads what waits and what all processes have counted, and has people told when it is too much.

use crate::{findings::Findings, metrics::FAILED_ORDER_ARCHIVED_TOTAL, schedule::Scan};
use anyhow::Context as _;
use compensation::{
    queue,
    state::State,
    watch::{Bounds, Counts, Look, Traffic, Watcher, store},
};
use coordinator::metrics::{TX_COMMIT_SECONDS_COUNT, TX_COMMIT_SECONDS_SUM, TX_TOTAL};
use service_kit::heartbeat::{self, Counted};
use sqlx::MySqlPool;
use std::time::Duration;
use tokio::time::Instant;

/// Outcomes of transactions that were decided. The others were tried in vain.
const DECIDED: [&str; 2] = ["committed", "rolled_back"];

/// Looks at them.
pub struct Watch {
    db: MySqlPool,
    watcher: Watcher,
    bounds: Bounds,
    started: Instant,
}

impl Watch {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(db: MySqlPool, bounds: Bounds) -> Self {
        Self {
            db,
            watcher: Watcher::new(bounds),
            bounds,
            started: Instant::now(),
        }
    }

    /// The figures as they are, each with its bound; those of traffic over `meanwhile`, which is waited for. People are told nothing.
    ///
    /// # Errors
    /// What MySQL says.
    pub async fn figures(&self, meanwhile: Duration) -> anyhow::Result<Findings> {
        let mut traffic = Traffic::default();
        traffic.look(Duration::ZERO, self.seen().await?.counted);
        tokio::time::sleep(meanwhile).await;
        let Look {
            dead_letters,
            hanging,
            counted,
        } = self.seen().await?;
        traffic.look(meanwhile, counted);
        let lately = traffic.within(meanwhile * 2, meanwhile);
        let (bounds, seconds) = (&self.bounds, meanwhile.as_secs());
        let mut findings = Findings::nothing()
            .found(format!(
                "{dead_letters} dead letters wait; people are told of more than {} for {} min",
                bounds.dead_letters,
                bounds.dead_letters_for.as_secs_f64() / 60.0
            ))
            .found(format!(
                "{hanging} transactions hang; people are told of more than {}",
                bounds.hanging
            ))
            .found(format!(
                "In the last {seconds} s {} transactions were decided and {} tried in vain; people are told of less than {} % for a minute",
                lately.decided,
                lately.undecided,
                bounds.transaction_success * 100.0
            ))
            .found(format!(
                "In the last {seconds} s {} orders were given up; people are told of more than {} % of those decided, and of each",
                lately.archived,
                bounds.final_failure_rate * 100.0
            ))
            .found(format!(
                "In the last {seconds} s {} batches were completed{}; people are told of more than {} ms",
                lately.batches,
                mean_ms(&lately).map_or_else(String::new, |mean| format!(", in {mean:.0} ms on average")),
                bounds.commit_mean.as_millis()
            ))
            .count("dead_letters", dead_letters)
            .count("hanging", hanging);
        for trouble in store::troubles(&self.db).await? {
            findings = findings.found(format!(
                "People were told at {}: {}",
                trouble.since.format("%Y-%m-%d %H:%M:%S UTC"),
                trouble.said
            ));
        }
        for process in heartbeat::processes(&self.db).await? {
            findings = findings.found(format!(
                "{} {} gave its last sign of life {} s ago",
                process.name,
                process.instance,
                process.silent.as_secs()
            ));
        }
        Ok(findings)
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

    async fn run_once(&mut self) -> anyhow::Result<Findings> {
        let look = self
            .seen()
            .await
            .context("MySQL does not tell the figures")?;
        let changes = self.watcher.look(self.started.elapsed(), look);
        store::tell(&self.db, &changes)
            .await
            .context("MySQL does not take what people must be told of figures")?;
        heartbeat::forget_old(&self.db)
            .await
            .context("MySQL does not forget processes that are gone")?;
        Ok(Findings::nothing())
    }
}

fn mean_ms(of: &Counts) -> Option<f64> {
    (of.batches > 0.0).then(|| of.batch_seconds / of.batches * 1_000.0)
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
