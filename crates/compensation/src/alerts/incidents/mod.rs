//! What people are told of: alerts of one group and severity are one incident, from the first one until it is over.
//!
//! [`Folder`] counts alerts into incidents and looks at those that are due; `saying` decides what is said, to whom and when; `state` is
//! the one table of what an incident may become; `over` knows when nothing is left to do. What is said is a row of the outbox, which
//! the courier delivers: how it gets there is not here.

mod acts;
mod fold;
mod folder;
mod ledger;
mod over;
mod reading;
mod saying;
mod state;
mod telling;

pub use acts::{Act, Done, NotDone, REASON_AT_MOST, SILENCE_AT_LEAST, SILENCE_AT_MOST, act};
pub use folder::Folder;
pub use reading::{
    Counted, Listed, Position, Sent, Show, alerts_of, deliveries_of, find, list, of_subject, open,
    stands,
};
pub use state::{Event, IllegalMove, State};

use crate::fingerprint::Fingerprint;

/// The group of alerts about archived rows with this cause: they are one incident, which is over when none of them is left to do.
#[must_use]
pub fn archived_group(cause: Fingerprint) -> String {
    format!("{}{cause}", over::ARCHIVED)
}

/// The group of alerts about dead letters with this cause.
#[must_use]
pub fn dead_letter_group(cause: Fingerprint) -> String {
    format!("dead_letter/{cause}")
}
