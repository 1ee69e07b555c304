//! `redressctl`: what a person does with Redress from a terminal, without its processes and without its database.
//!
//! It tries out receivers of alerts before they are put into the settings, and goes along the chain of the audit.

pub mod alerts;
pub mod audit;

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Whether all is as it must be.
    pub holds: bool,
    /// To be printed.
    pub text: String,
}
