//! What a week was like: how much was tried again and how it ended, what was given up and why, how long repair took, who was told.
//!
//! A [`Week`] is counted by [`measure()`] from what the tables keep, hour by hour and from indexes alone, so that a million tries neither
//! fill the memory nor hold anybody up. [`make`] stores it once and has people told in the same transaction; whoever comes second finds
//! it made. It does not correct itself: what is replayed after a week was stored belongs to the week of the replay.

mod figures;
mod measure;
mod spread;
mod store;
mod week;
mod words;

pub use figures::{Cause, Figures, Open, Tries};
pub use measure::{Hour, TriesKept, hour, measure};
pub use spread::{Buckets, Spread};
pub use store::{KIND, Made, Stored, due, find, latest, make, newest, now};
pub use week::{NoWeek, Week};
