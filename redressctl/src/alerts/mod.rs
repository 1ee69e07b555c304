//! Receivers of alerts: whether they do what they must, and whether a message arrives.

mod check;
mod message;
mod report;
mod suite;
pub mod verify;
