//! The consumer on real servers: `cargo xtask test` starts them.

mod agreement;
mod commits;
mod coupons;
mod crashes;
mod dead_letters;
mod every_step;
mod failures;
mod mysql_killed;
mod rebalances;
mod redelivered;
mod redis_gone;
mod settling;
mod sleepers;
mod starting;
mod world;
