//! Accounts on a real database: `cargo xtask test` starts it.

mod lock_outs;
mod operators;
mod users;
