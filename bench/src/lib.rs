//! The load Redress is measured and tried with: buyers, many at once, who do what buyers do. They click twice, lose their
//! connection, come again when told to, and write down in the auditor's journal what they asked and what they were told.
//!
//! It judges nothing: that is the auditor's.
//!
//! Beside the buyers, who know only HTTP, stand the scenarios of the coordinator and of failed work, which drive the product's crates
//! directly, and [`seed`], which makes failed work up by the million.

pub mod buyers;
pub mod compensation;
pub mod coordinator;
pub mod http;
pub mod report;
pub mod secrets;
pub mod seed;
pub mod stage;
