//! Key figures that people are told of when they are beyond their bounds for long enough, and again when that is over.
//!
//! [`Watcher`] judges; [`store`] makes sure that of many watchers one tells. Who watches: every compensator, from the counts that all
//! processes write down. An archived order is told of where it is archived, a silent MySQL by the alerts' courier; that no
//! compensator is left to watch has to be noticed by another process.

mod bounds;
mod figure;
pub mod store;
mod traffic;
mod watcher;

pub use bounds::Bounds;
pub use figure::Figure;
pub use traffic::{Counts, Traffic};
pub use watcher::{Change, Look, Watcher};
