//! The compensator's metrics. Those of transactions and of stock scripts come from their crates.

use metrics::{Unit, describe_counter, describe_gauge};

/// Units in Redis, by `sale` (those that end no earlier than a day ago) and `state`: available, held, sold, owed.
pub const STOCK_UNITS: &str = "stock_units";
/// Units by which Redis and MySQL differ at two looks running though nothing is on its way, by `sale`.
pub const STOCK_CONSERVATION_DRIFT_UNITS: &str = "stock_conservation_drift_units";
/// Overdue reservations whose message was published again.
pub const RESERVATIONS_PUBLISHED_AGAIN_TOTAL: &str = "reservations_published_again_total";

/// Names, units and help. Once a process.
pub fn describe() {
    coordinator::metrics::describe();
    ordering::stock::measures::describe();
    describe_gauge!(
        STOCK_UNITS,
        Unit::Count,
        "Units in Redis, by sale and state"
    );
    describe_gauge!(
        STOCK_CONSERVATION_DRIFT_UNITS,
        Unit::Count,
        "Units by which Redis and MySQL differ at two looks running"
    );
    describe_counter!(
        RESERVATIONS_PUBLISHED_AGAIN_TOTAL,
        "Overdue reservations published again"
    );
}
