//! Acts of operators: asked for in the admin, carried out by the compensator, an item each for what they are done to.
//!
//! A `single` replay or discard is claimed with the click. An operation on all that a filter matches is a row first: its items are
//! [selected](tick) piece by piece, nothing is done to any of them until the time to undo it is over, and then they are begun at its
//! rate and by its [ladder]. A claim comes before anything is done to a row of the archive, and a row has one claim: what is
//! in another operation's hands is refused, with whose.

mod acts;
mod bulk;
mod ends;
mod items;
pub mod ladder;
mod listed;
mod matching;
mod reading;
mod reconciling;
mod single;
pub mod state;
pub mod terms;
pub mod tick;

pub use acts::{Act, CONFIRM_WITHIN, Done, NotDone, act, confirm};
pub use bulk::{Made, NewBulk, NotTaken, OPEN_AT_MOST, create};
pub use ends::{End, Ends};
pub use items::{
    ARCHIVED, DISCARDED, Requested, SUPERSEDED, claim_requested, discarded, look_again, processing,
    refuse, settled,
};
pub use listed::{Place, items, latest, page};
pub use matching::{Matching, matching};
pub use reading::{Bulk, Counts, Item, LastAct, Operation, SecondPerson, find};
pub use reconciling::{
    Notes, RECONCILED, begin, claim_reconcile, claim_reconcile_in, note, reconciled,
};
pub use single::{
    ReplayRefused, claim_discard, claim_discard_in, claim_replay, claim_replay_in, claim_version_in,
};
pub use state::{Kind, State};

pub(crate) use single::open_row;

use coordinator::statement::filled_up;
use std::str::FromStr;

/// A stored name.
fn stored<T: FromStr>(name: &str) -> sqlx::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    name.parse()
        .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))
}
