//! What is measured here, all in one place. Ids are never labels.

use metrics::{Unit, describe_counter};

/// Counter by `outcome`: `ok`, `bad_credentials`, `throttled`, `failed`.
pub const LOG_INS_TOTAL: &str = "admin_log_ins_total";

/// Counter by `outcome`: replays asked for, `taken` or why not.
pub const REPLAYS_TOTAL: &str = "admin_replays_total";

/// Describes the metrics of this process to the recorder.
pub fn describe() {
    describe_counter!(
        LOG_INS_TOTAL,
        Unit::Count,
        "Operators' log-ins, by how they ended"
    );
    describe_counter!(
        REPLAYS_TOTAL,
        Unit::Count,
        "Replays asked for, by what became of the request"
    );
}
