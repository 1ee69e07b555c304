//! The figures kept of foreign participants. Their names are labels, ids never are.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Calls by `participant`, `op` and `outcome`: done, no, running, unknown, away (mostly not sent at all).
pub const FOREIGN_CALLS_TOTAL: &str = "foreign_calls_total";
/// Seconds a call took, by `participant` and `op`; the wait for its turn is not counted, nor is what was not sent.
pub const FOREIGN_CALL_SECONDS: &str = "foreign_call_seconds";
/// Calls under way, by `participant`.
pub const FOREIGN_IN_FLIGHT: &str = "foreign_in_flight";
/// 1 while nothing is sent to a `participant` because it does not answer, else 0.
pub const FOREIGN_BREAKER_OPEN: &str = "foreign_breaker_open";

/// Names, units and help. Once a process.
pub fn describe() {
    describe_counter!(
        FOREIGN_CALLS_TOTAL,
        "Calls of foreign participants, by participant, op and outcome"
    );
    describe_histogram!(
        FOREIGN_CALL_SECONDS,
        Unit::Seconds,
        "How long calls of foreign participants took"
    );
    describe_gauge!(FOREIGN_IN_FLIGHT, "Calls of foreign participants under way");
    describe_gauge!(
        FOREIGN_BREAKER_OPEN,
        "1 while nothing is sent to a participant because it does not answer"
    );
}
