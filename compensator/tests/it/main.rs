//! The scans and the repair on real servers: `cargo xtask test` starts them.

mod archive_watch;
mod command;
mod commits;
mod comparison;
mod every_step;
mod fence_watch;
mod killed_sender;
mod leases;
mod log_file;
mod overdue;
mod process;
mod repair;
mod repaired;
mod unfinished;
mod unpaid;
mod watcher;
mod weekly;
mod world;
