//! The table `alert_outbox`: one row an alert and channel, from before it is sent until it is delivered or given up.

mod claim;
mod read;
mod write;

pub(super) use claim::{Claimed, claim_due, delivered, failed, give_up, give_up_unknown_channels};
pub use read::{Counts, Delivery, Position, Show, State, counts, list, of_subject};
pub use write::insert_notice;
pub(super) use write::restore;
