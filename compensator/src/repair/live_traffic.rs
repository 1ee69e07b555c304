//! How many orders are decided meanwhile, and how many compensators share the retry budget.
//!
//! What is decided is what the consumers' offsets say, which move past an order once it is decided, handed on or buried: one number for
//! all of them, and no statement on a table that buyers write to.
//!
//! While Kafka does not tell, nothing is added, and the budget comes down to its floor. While MySQL does not tell, nothing is retried.

use super::Tools;
use anyhow::Context as _;
use compensation::budget::WINDOW;
use service_kit::{
    heartbeat,
    kafka::{Offsets, committed_offsets},
    settings::Settings,
};
use std::time::Duration;
use tokio::{sync::Mutex, time::Instant};

/// How often it looks; well below what the budget remembers.
const EVERY: Duration = Duration::from_secs(4);

/// A process that gave no sign for so long has no part of the budget.
const SILENT_AT_MOST: Duration = Duration::from_secs(30);

/// Looks at the consumers' offsets.
pub struct LiveTraffic {
    tools: Tools,
    brokers: String,
    topic: String,
    group: String,
    seen: Mutex<Option<(Instant, Offsets)>>,
}

impl LiveTraffic {
    /// Of one process: its budget is its own.
    #[must_use]
    pub fn new(settings: &Settings, tools: Tools) -> Self {
        Self {
            tools,
            brokers: settings.kafka.brokers.clone(),
            topic: settings.kafka.orders_topic.clone(),
            group: settings.order_consumer.group.clone(),
            seen: Mutex::default(),
        }
    }

    /// Adds what was decided since the last look. Nothing is ever left to do at once.
    ///
    /// # Errors
    /// When Kafka does not tell.
    pub async fn run_batch(&self) -> anyhow::Result<usize> {
        let mut seen = self.seen.lock().await;
        if seen.as_ref().is_some_and(|(at, _)| at.elapsed() < EVERY) {
            return Ok(0);
        }
        let running = heartbeat::running(&self.tools.db, crate::NAME, SILENT_AT_MOST).await?;
        self.tools.pace.shared_by(running);
        let now = committed_offsets(&self.brokers, &self.group, &self.topic)
            .await
            .context("Kafka does not tell how many orders are decided")?;
        if let Some((at, before)) = seen.as_ref() {
            let decided = u64::try_from(before.behind(&now)).unwrap_or_default();
            self.tools.pace.decided(lately(decided, at.elapsed()));
        }
        *seen = Some((Instant::now(), now));
        Ok(0)
    }
}

/// What of it counts as decided now: after a long time without a look, as much as in one of the budget's windows on average.
fn lately(decided: u64, within: Duration) -> u64 {
    let share = (WINDOW.as_secs_f64() / within.as_secs_f64()).min(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a count"
    )]
    {
        (decided as f64 * share) as u64
    }
}
