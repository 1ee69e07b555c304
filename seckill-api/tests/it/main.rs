//! The buyers' API on real servers: `cargo xtask test` starts them.

mod accounts;
mod app;
mod bad_input;
mod broken_servers;
mod catalogue;
mod changes;
mod description;
mod orders;
