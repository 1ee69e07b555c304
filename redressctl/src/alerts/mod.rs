//! Alerts: what was sent to whom, and whether a receiver does what it must before it is put into the settings.

mod check;
pub mod listing;
mod message;
mod report;
mod suite;
pub mod verify;
