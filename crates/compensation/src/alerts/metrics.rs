//! The courier's metrics, and of what never came so far.

use super::Severity;
use metrics::{counter, describe_counter, describe_gauge};

/// Tries to deliver a notice, by `channel` and `outcome`: sent, partly, `slow_down`, broken, gone, failed.
pub const ALERTS_TOTAL: &str = "alerts_total";

/// Notices that wait, by `channel`: for their turn, or for a receiver that takes nothing.
pub const ALERTS_WAITING: &str = "alerts_waiting";

/// Notices that were given up, by `channel`; what had no channel at all stands under an empty one.
pub const ALERTS_UNDELIVERED: &str = "alerts_undelivered";

/// Alerts that neither MySQL nor the spool took, by `severity`: urgent, warning, info. People are told how many once MySQL answers.
pub const ALERTS_LOST_TOTAL: &str = "alerts_lost_total";

/// Names and help. Once a process.
pub fn describe() {
    describe_counter!(
        ALERTS_TOTAL,
        "Tries to deliver an alert, by channel and outcome"
    );
    describe_gauge!(ALERTS_WAITING, "Alerts that wait, by channel");
    describe_gauge!(ALERTS_UNDELIVERED, "Alerts that were given up, by channel");
    describe_counter!(
        ALERTS_LOST_TOTAL,
        "Alerts that neither MySQL nor the spool took, by severity"
    );
    // There from the first scrape: that it grows is seen with the first one that is lost.
    for severity in [Severity::Urgent, Severity::Warning, Severity::Info] {
        counter!(ALERTS_LOST_TOTAL, "severity" => severity.as_str()).increment(0);
    }
}
