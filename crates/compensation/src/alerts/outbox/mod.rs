//! The table `alert_outbox`: one row a notice and channel, from before it is sent until it is delivered or given up; and beside it every
//! try, and how each channel is.

mod acts;
mod attempts;
mod channels;
mod claim;
mod read;
mod record;
mod write;

pub use acts::{RedeliverError, redeliver, send_test, stands_no_more, switch_on};
pub use attempts::{Attempt, attempts};
pub use channels::{Standing, counts_by_channel, standings};
pub(super) use claim::{Claimed, Looked, Terms, claim_due};
pub use read::{
    Counts, Delivery, Position, Show, State, counts, digested, list, notice, of_notice, of_subject,
};
pub(super) use record::{Tried, give_up, give_up_unknown_channels, record, rest};
pub use write::insert_notice;
pub(super) use write::restore;

fn micros(of: std::time::Duration) -> i64 {
    i64::try_from(of.as_micros()).unwrap_or(i64::MAX)
}
