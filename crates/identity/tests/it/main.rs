//! Accounts on a real database: `cargo xtask test` starts it.

mod operators;
mod users;
