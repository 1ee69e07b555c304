//! Receivers of alerts: whether they do what they must, and whether a message arrives.

mod check;
mod report;
mod suite;
mod trial;
mod trials;
pub mod verify;
