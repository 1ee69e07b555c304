//! Orders on real servers: `cargo xtask test` starts them.

mod catalogue;
mod change;
mod commit_proxy;
mod decision;
mod every_step;
mod fence;
mod giving_back;
mod rebuild;
mod rebuild_load;
mod sale_lock;
mod shop;
mod size;
mod statements;
mod stock;
mod truth;
