//! When a branch is complete: the engine answers before that, so its own metric tells.

use anyhow::Context;
use coordinator::metrics::TX_COMMIT_SECONDS;
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

static COMPLETIONS: OnceLock<Completions> = OnceLock::new();

/// Counts batches whose branches were completed, in this process.
#[derive(Debug, Clone)]
pub struct Completions(Arc<Count>);

#[derive(Debug)]
struct Count(watch::Sender<u64>);

/// Sees those that come after it was made.
#[derive(Debug)]
pub struct Seen(watch::Receiver<u64>);

impl Completions {
    /// Becomes the recorder of this process, unless it has one.
    pub fn watched() -> &'static Self {
        COMPLETIONS.get_or_init(|| {
            let completions = Self(Arc::new(Count(watch::Sender::new(0))));
            // Another recorder would only mean that nothing is ever seen, which is an error below.
            let _ = metrics::set_global_recorder(completions.clone());
            completions
        })
    }

    /// From here on.
    #[must_use]
    pub fn since_now(&self) -> Seen {
        let mut seen = self.0.0.subscribe();
        seen.mark_unchanged();
        Seen(seen)
    }
}

impl Seen {
    /// Waits for the next one.
    ///
    /// # Errors
    /// None came within 5 s.
    pub async fn next(&mut self) -> anyhow::Result<()> {
        let within = std::time::Duration::from_secs(5);
        tokio::time::timeout(within, self.0.changed())
            .await
            .context("no branch was completed within 5 s")?
            .context("nothing completes branches any more")
    }
}

impl HistogramFn for Count {
    fn record(&self, _: f64) {
        self.0.send_modify(|count| *count += 1);
    }
}

impl Recorder for Completions {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        if key.name() == TX_COMMIT_SECONDS {
            Histogram::from_arc(Arc::clone(&self.0))
        } else {
            Histogram::noop()
        }
    }
}
