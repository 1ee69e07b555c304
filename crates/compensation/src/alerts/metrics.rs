//! The courier's metrics.

use metrics::{describe_counter, describe_gauge};

/// Tries to deliver a notice, by `channel` and `outcome`: sent, partly, `slow_down`, broken, gone, failed.
pub const ALERTS_TOTAL: &str = "alerts_total";

/// Notices that wait, by `channel`: for their turn, or for a receiver that takes nothing.
pub const ALERTS_WAITING: &str = "alerts_waiting";

/// Notices that were given up, by `channel`; what had no channel at all stands under an empty one.
pub const ALERTS_UNDELIVERED: &str = "alerts_undelivered";

/// Names and help. Once a process.
pub fn describe() {
    describe_counter!(
        ALERTS_TOTAL,
        "Tries to deliver an alert, by channel and outcome"
    );
    describe_gauge!(ALERTS_WAITING, "Alerts that wait, by channel");
    describe_gauge!(ALERTS_UNDELIVERED, "Alerts that were given up, by channel");
}
