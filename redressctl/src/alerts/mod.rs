//! Alerts: what was sent to whom, and whether a receiver does what it must before it is put into the settings.

mod check;
pub mod listing;
mod report;
mod suite;
mod trial;
mod trials;
pub mod verify;
