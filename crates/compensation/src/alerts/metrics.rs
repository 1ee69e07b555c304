//! The courier's metrics.

use metrics::describe_counter;

/// Tries to deliver an alert, by `channel` and `outcome`: sent, `slow_down`, broken, failed.
pub const ALERTS_TOTAL: &str = "alerts_total";

/// Names and help. Once a process.
pub fn describe() {
    describe_counter!(
        ALERTS_TOTAL,
        "Tries to deliver an alert, by channel and outcome"
    );
}
