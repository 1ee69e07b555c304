//! The scans on real servers: `cargo xtask test` starts them.

mod comparison;
mod fence_watch;
mod leases;
mod overdue;
mod process;
mod unfinished;
mod world;
