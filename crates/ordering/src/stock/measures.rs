//! How long the stock scripts take.

use std::time::Instant;

/// Histogram, seconds, by `op`: reserve, withdraw, prepare, complete. From call to answer, batches whole.
pub const RESERVATION_SECONDS: &str = "reservation_seconds";

/// Describes the metrics of this module to the recorder.
pub fn describe() {
    metrics::describe_histogram!(
        RESERVATION_SECONDS,
        metrics::Unit::Seconds,
        "Stock scripts, from call to answer"
    );
}

/// Takes the time of one call.
pub(super) struct Measured {
    op: &'static str,
    since: Instant,
}

impl Measured {
    pub fn new(op: &'static str) -> Self {
        Self {
            op,
            since: Instant::now(),
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        metrics::histogram!(RESERVATION_SECONDS, "op" => self.op).record(self.since.elapsed());
    }
}
