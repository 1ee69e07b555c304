//! The operators' web as operators and scripts use it, on a real database: `cargo xtask test` starts it.

mod accounts;
mod alerts;
mod app;
mod archives;
mod audit;
mod compensation_log;
mod compensator_watch;
mod csv;
mod discard;
mod failed;
mod groups;
mod incidents;
mod notes;
mod operations;
mod operators;
mod pages;
mod permissions;
mod policy;
mod replay;
mod reports;
mod sales;
mod tokens;
mod transactions;
mod truth;
mod versions;
