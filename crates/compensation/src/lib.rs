//! Work that failed: tried again by a policy, handed on as a dead letter, archived with its whole history, told of, and put back
//! by operators.
//!
//! It owns the tables of these things and their rules. It knows no order's rules: what a try does, and what giving up means, is
//! its caller's.

pub mod alerts;
pub mod archive;
pub mod attempt;
pub mod breaker;
pub mod budget;
pub mod fingerprint;
pub mod headers;
pub mod log;
mod many;
pub mod operations;
pub mod personal;
pub mod policy;
pub mod queue;
pub mod report;
pub mod retention;
pub mod slow_start;
pub mod state;
pub mod watch;
