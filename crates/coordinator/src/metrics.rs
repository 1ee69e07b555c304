//! The figures the engine keeps. Names are those operators chart; ids are never labels.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Transactions answered, by `outcome`: committed, `rolled_back`, unavailable, `cannot_decide`, `not_promised`.
pub const TX_TOTAL: &str = "tx_total";
/// Seconds from a batch being prepared to all its own participants having been told; foreign ones follow.
pub const TX_COMMIT_SECONDS: &str = "tx_commit_seconds";
/// All seconds of [`TX_COMMIT_SECONDS`] together, as Prometheus names them.
pub const TX_COMMIT_SECONDS_SUM: &str = "tx_commit_seconds_sum";
/// How many samples [`TX_COMMIT_SECONDS`] has, as Prometheus names them.
pub const TX_COMMIT_SECONDS_COUNT: &str = "tx_commit_seconds_count";
/// What tells how well an engine works.
pub const KEY_FIGURES: [&str; 3] = [TX_TOTAL, TX_COMMIT_SECONDS_SUM, TX_COMMIT_SECONDS_COUNT];

/// Transactions that are not finished, by `state`.
pub const TX_UNFINISHED: &str = "tx_unfinished";
/// Age in seconds of the oldest unfinished transaction.
pub const TX_OLDEST_UNFINISHED_SECONDS: &str = "tx_oldest_unfinished_seconds";

/// Transactions a person should know of: those that are stuck, and those unfinished for longer than a minute.
pub const TX_HANGING: &str = "tx_hanging";

/// Names, units and help of the engine's metrics. Once a process.
pub fn describe() {
    crate::foreign::metrics::describe();
    describe_counter!(TX_TOTAL, "Transactions answered, by outcome");
    describe_histogram!(
        TX_COMMIT_SECONDS,
        Unit::Seconds,
        "From prepared to complete, one sample a batch"
    );
    describe_gauge!(TX_UNFINISHED, "Unfinished transactions, by state");
    describe_gauge!(
        TX_OLDEST_UNFINISHED_SECONDS,
        Unit::Seconds,
        "Age of the oldest unfinished transaction"
    );
    describe_gauge!(
        TX_HANGING,
        "Transactions that are stuck, or unfinished for longer than a minute"
    );
}
