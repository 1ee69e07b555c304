//! How much is open, as figures.

use crate::{
    findings::Findings,
    metrics::{COMPENSATION_QUEUE, DLQ_BACKLOG, FAILED_ORDER_ARCHIVE_OPEN},
    schedule::Scan,
};
use anyhow::Context as _;
use compensation::{archive, queue, state::State};
use metrics::gauge;
use sqlx::MySqlPool;

/// Counts the queue and the archive.
pub struct Figures(MySqlPool);

impl Figures {
    /// Reads through `db`.
    #[must_use]
    pub fn new(db: MySqlPool) -> Self {
        Self(db)
    }
}

impl Scan for Figures {
    const NAME: &'static str = "figures";

    async fn run_once(&mut self) -> anyhow::Result<Findings> {
        let backlog = queue::backlog(&self.0)
            .await
            .context("MySQL does not tell what is open")?;
        let mut dead = 0;
        for state in State::ALL.into_iter().filter(|state| state.is_open()) {
            let count = backlog
                .iter()
                .find(|(name, _)| name == state.as_str())
                .map_or(0, |(_, count)| *count);
            if matches!(state, State::Dead | State::Archiving) {
                dead += count;
            }
            gauge!(COMPENSATION_QUEUE, "state" => state.as_str()).set(count as f64);
        }
        gauge!(DLQ_BACKLOG).set(dead as f64);
        let open = archive::open(&self.0)
            .await
            .context("MySQL does not tell what is archived")?;
        gauge!(FAILED_ORDER_ARCHIVE_OPEN).set(open as f64);
        Ok(Findings::nothing())
    }
}
