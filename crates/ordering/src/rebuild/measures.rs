//! How long sales are closed.

use std::time::Duration;

/// Histogram, seconds: from the moment a rebuild closed a sale to the moment it opened it.
pub const SALE_CLOSED_SECONDS: &str = "stock_sale_closed_seconds";

/// Describes the metrics of this module to the recorder.
pub fn describe() {
    metrics::describe_histogram!(
        SALE_CLOSED_SECONDS,
        metrics::Unit::Seconds,
        "How long a rebuild kept a sale closed"
    );
}

pub(super) fn opened_after(closed: Duration) {
    metrics::histogram!(SALE_CLOSED_SECONDS).record(closed);
}
