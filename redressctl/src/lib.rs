//! `redressctl`: what a person does with Redress from a terminal, without its processes and without its database.
//!
//! Nearly all of it asks the admin's JSON API, which has the rules: who may what, what is refused and why, what is written down. Two
//! things need no admin: trying out a receiver of alerts, and going along the chain of an exported audit.

mod admin;
pub mod alerts;
pub mod audit;
pub mod groups;
pub mod operations;
pub mod orders;
mod output;
pub mod policy;
mod table;
pub mod transactions;

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Whether all is as it must be.
    pub holds: bool,
    /// To be printed.
    pub text: String,
}

impl Report {
    /// Nothing is wrong.
    const fn well(text: String) -> Self {
        Self { holds: true, text }
    }
}
