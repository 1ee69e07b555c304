//! The compensator's metrics. Those of transactions and of stock scripts come from their crates.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Units in Redis, by `sale` (those that end no earlier than a day ago) and `state`: available, held, sold, owed.
pub const STOCK_UNITS: &str = "stock_units";
/// Units by which Redis and MySQL differ at two looks running though nothing is on its way, by `sale`.
pub const STOCK_CONSERVATION_DRIFT_UNITS: &str = "stock_conservation_drift_units";
/// Overdue reservations whose message was published again.
pub const RESERVATIONS_PUBLISHED_AGAIN_TOTAL: &str = "reservations_published_again_total";

/// Orders that were cancelled because nobody paid in time.
pub const ORDERS_UNPAID_CANCELLED_TOTAL: &str = "orders_unpaid_cancelled_total";

/// Tries of work that failed before, by `outcome`: `failed`, or how it was settled.
pub const COMPENSATION_ATTEMPT_TOTAL: &str = "compensation_attempt_total";
/// Work that was settled by being tried again.
pub const COMPENSATION_SUCCESS_TOTAL: &str = "compensation_success_total";
/// In which try work was settled.
pub const COMPENSATION_RETRY_NUMBER: &str = "compensation_retry_number";
/// The version of the retry policy this process goes by; 0: the settings file's, none was read yet.
pub const COMPENSATION_POLICY_VERSION: &str = "compensation_policy_version";
/// Retries that may begin now, before the budget is used up.
pub const COMPENSATION_BUDGET_LEFT: &str = "compensation_budget_left";
/// Causes whose retries are put off together.
pub const COMPENSATION_BREAKER_OPEN: &str = "compensation_breaker_open";
/// How often a cause's breaker changed, by `event`: `opened`, `healed`, `gave_up`.
pub const COMPENSATION_BREAKER_TOTAL: &str = "compensation_breaker_total";
/// Work that was due and put off because its cause lasts.
pub const COMPENSATION_PUT_OFF_TOTAL: &str = "compensation_put_off_total";
/// Open work, by `state`: scheduled, dead, archiving, held.
pub const COMPENSATION_QUEUE: &str = "compensation_queue";
/// Dead letters that are neither settled nor archived.
pub const DLQ_BACKLOG: &str = "dlq_backlog";
/// Orders given up.
pub const FAILED_ORDER_ARCHIVED_TOTAL: &str = "failed_order_archived_total";
/// Rows of the archive that wait for an operator.
pub const FAILED_ORDER_ARCHIVE_OPEN: &str = "failed_order_archive_open";

/// What the watcher of key figures judges by. The coordinator's, as every process that decides writes them down, and those given up.
pub const WATCHED: [&str; 4] = [
    coordinator::metrics::TX_TOTAL,
    coordinator::metrics::TX_COMMIT_SECONDS_SUM,
    coordinator::metrics::TX_COMMIT_SECONDS_COUNT,
    FAILED_ORDER_ARCHIVED_TOTAL,
];

/// Names, units and help. Once a process.
pub fn describe() {
    coordinator::metrics::describe();
    ordering::stock::measures::describe();
    ordering::rebuild::describe();
    compensation::alerts::metrics::describe();
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
    describe_counter!(
        ORDERS_UNPAID_CANCELLED_TOTAL,
        "Orders cancelled because nobody paid in time"
    );
    describe_counter!(
        COMPENSATION_ATTEMPT_TOTAL,
        "Tries of work that failed before, by outcome"
    );
    describe_counter!(
        COMPENSATION_SUCCESS_TOTAL,
        "Work settled by being tried again"
    );
    describe_histogram!(
        COMPENSATION_RETRY_NUMBER,
        Unit::Count,
        "In which try work was settled"
    );
    describe_gauge!(
        COMPENSATION_POLICY_VERSION,
        Unit::Count,
        "The version of the retry policy this process goes by"
    );
    describe_gauge!(
        COMPENSATION_BUDGET_LEFT,
        Unit::Count,
        "Retries that may begin before the budget is used up"
    );
    describe_gauge!(
        COMPENSATION_BREAKER_OPEN,
        Unit::Count,
        "Causes whose retries are put off together"
    );
    describe_counter!(
        COMPENSATION_BREAKER_TOTAL,
        "How often a cause's breaker changed, by event"
    );
    describe_counter!(
        COMPENSATION_PUT_OFF_TOTAL,
        "Due work put off because its cause lasts"
    );
    describe_gauge!(COMPENSATION_QUEUE, Unit::Count, "Open work, by state");
    describe_gauge!(
        DLQ_BACKLOG,
        Unit::Count,
        "Dead letters neither settled nor archived"
    );
    describe_counter!(FAILED_ORDER_ARCHIVED_TOTAL, "Orders given up");
    describe_gauge!(
        FAILED_ORDER_ARCHIVE_OPEN,
        Unit::Count,
        "Archived rows that wait for an operator"
    );
}
