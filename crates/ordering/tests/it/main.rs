//! Orders on real servers: `cargo xtask test` starts them.

mod commit_proxy;
mod decision;
mod fence;
mod rebuild;
mod sale_lock;
mod shop;
mod size;
mod stock;
