//! The audit: who did what, who was not allowed to, and what became of each item of an operation, as a [chain] of lines.
//!
//! Lines are only ever written at the end, each bound to the one before it by its hash, so that one that is altered, taken out, put
//! elsewhere or cut off later is [noticed](check). A chain without a secret stops nobody who may write to the database from making all
//! of it anew: against that helps the head of the chain as somebody else noted it.
//!
//! It knows no act: those who do something say what.

pub mod chain;
pub mod check;
pub mod head;
pub mod listing;
mod record;

pub use chain::{Hash, Line};
pub use head::Head;
pub use record::{Entry, Outcome, UnknownOutcome, record, record_all};
