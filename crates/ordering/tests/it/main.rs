//! Orders on real servers: `cargo xtask test` starts them.

mod commit_proxy;
mod decision;
mod shop;
mod size;
mod stock;
