//! The consumer's metrics. Those of transactions come from the coordinator.

use metrics::{Unit, describe_counter, describe_gauge};

/// Messages on the partitions held that are not committed yet.
pub const CONSUMER_LAG: &str = "consumer_lag";
/// 1 while a failure of everything, or a message of a newer build, keeps orders from being taken.
pub const CONSUMER_PAUSED: &str = "consumer_paused";
/// Messages by what became of them: `decided`, `dead_letter`, `failed_alone` (a try), `handed_on` to the compensator.
pub const CONSUMER_MESSAGES_TOTAL: &str = "consumer_messages_total";

/// Names, units and help. Once a process.
pub fn describe() {
    coordinator::metrics::describe();
    describe_gauge!(
        CONSUMER_LAG,
        Unit::Count,
        "Messages on the partitions held that are not committed yet"
    );
    describe_gauge!(
        CONSUMER_PAUSED,
        "1 while intake is paused by a systemic failure or a newer message"
    );
    describe_counter!(CONSUMER_MESSAGES_TOTAL, "Messages by what became of them");
}
