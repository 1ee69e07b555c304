//! The consumer on real servers: `cargo xtask test` starts them.

mod crashes;
mod dead_letters;
mod failures;
mod rebalances;
mod settling;
mod starting;
mod world;
