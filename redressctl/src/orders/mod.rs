//! Dead letters: found by a filter, shown whole, replayed and discarded.

mod act;
mod filter;
mod list;
mod show;

pub use act::{Discard, Replay, discard, replay};
pub use list::{List, list};
pub use show::{Show, show};
