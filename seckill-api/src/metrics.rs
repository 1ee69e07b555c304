//! What is measured here, all in one place. Ids are never labels.

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use service_kit::problem::Problem;
use std::time::Instant;

/// Counter by `outcome`: requests for an order, `accepted` or the code of the problem they got.
pub const REQUESTS_TOTAL: &str = "seckill_requests_total";

/// Histogram, seconds: from the request for an order to its 202.
pub const ACCEPT_SECONDS: &str = "seckill_accept_seconds";

/// Counter: log-ins refused without looking at the password.
pub const THROTTLED_TOTAL: &str = "seckill_throttled_log_ins_total";

/// Describes the metrics of this process to the recorder.
pub fn describe() {
    describe_counter!(
        REQUESTS_TOTAL,
        Unit::Count,
        "Requests for an order, by what they were answered"
    );
    describe_histogram!(
        ACCEPT_SECONDS,
        Unit::Seconds,
        "From the request for an order to its acceptance"
    );
    describe_counter!(
        THROTTLED_TOTAL,
        Unit::Count,
        "Log-ins refused without looking at the password"
    );
    ordering::sale_lock::describe();
    ordering::stock::measures::describe();
}

/// Counts the answer to a request for an order that came in at `since`.
pub(crate) fn answered<T>(since: Instant, answer: &Result<T, Problem>) {
    match answer {
        Ok(_) => {
            counter!(REQUESTS_TOTAL, "outcome" => "accepted").increment(1);
            histogram!(ACCEPT_SECONDS).record(since.elapsed());
        }
        Err(problem) => counter!(REQUESTS_TOTAL, "outcome" => problem.code()).increment(1),
    }
}
