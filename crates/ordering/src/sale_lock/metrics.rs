//! What the lock tells of itself.

use metrics::{Unit, describe_histogram, histogram};
use std::time::Duration;

/// Histogram: how long one attempt took. Label `outcome`: `held`, `contended`, `no_majority`.
pub const SALE_LOCK_SECONDS: &str = "sale_lock_seconds";

/// Tells the recorder what each of them means.
pub fn describe() {
    describe_histogram!(
        SALE_LOCK_SECONDS,
        Unit::Seconds,
        "One attempt at the lock of a buyer in a sale"
    );
}

pub(super) fn attempted(outcome: &'static str, took: Duration) {
    histogram!(SALE_LOCK_SECONDS, "outcome" => outcome).record(took.as_secs_f64());
}
