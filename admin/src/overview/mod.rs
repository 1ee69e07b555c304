//! What waits, what is stuck, what nobody was told: the figures of all parts on one page, each with the list behind it, and as JSON.
//!
//! Each part is asked for by itself and within a time: one that cannot be told says so, and the others are shown. Nothing is counted
//! further than a page may wait for; what happened in the last hours is counted beside and kept in memory (`hours`).

pub(crate) mod api;
mod cards;
mod chart;
mod hours;
pub(crate) mod page;
mod survey;

pub(crate) use hours::Hours;
