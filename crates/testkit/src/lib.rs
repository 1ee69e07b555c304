//! Real servers for tests: a schema and topics of a test's own on the shared MariaDB and Kafka, Redis, MariaDB and Postgres
//! servers and processes as children that a test may kill, pause and start again, ways to them on which chosen requests go wrong, receivers of
//! webhooks and of alerts as their vendors run them, a participant outside the system.
//!
//! `cargo xtask test` starts the shared servers and tells where they are; nothing here pretends to be one.

#![expect(
    clippy::missing_panics_doc,
    reason = "a test that cannot get its servers has failed, and says so by panicking"
)]

mod eventually;
pub mod every_step;
pub mod foreign_participant;
pub mod kafka;
pub mod kafka_tap;
pub mod mysql;
pub mod mysql_proxy;
pub mod mysql_server;
mod ports;
pub mod postgres_server;
pub mod process;
pub mod proxy;
pub mod receivers;
pub mod redis;
pub mod tap;
pub mod webhooks;

pub use eventually::eventually;

/// An address that `cargo xtask test` sets.
fn shared_server(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run the tests with `cargo xtask test`"))
}
