//! Where the servers of a running stack are, and what the auditor looks at there.

use anyhow::Context;
use serde::Deserialize;
use std::{fs, path::Path};

/// What the auditor needs of `endpoints.json`; the file says more.
#[derive(Debug, Clone, Deserialize)]
pub struct Endpoints {
    /// `mysql://user:password@host:port/name`.
    pub mysql: String,
    /// `redis://host:port` of the one stock node.
    pub redis_stock: String,
    /// `host:port` of a broker.
    pub kafka: String,
}

/// The names the stack gives its topics and its consumer group.
#[derive(Debug, Clone)]
pub struct Names {
    /// The topic of admitted orders.
    pub orders: String,
    /// The topic of orders to be tried again.
    pub compensation: String,
    /// The topic of dead letters.
    pub dead_letters: String,
    /// The consumer group that writes orders.
    pub group: String,
    /// The consumer group that takes in what failed.
    pub compensators: String,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            orders: "orders".into(),
            compensation: "order-compensation".into(),
            dead_letters: "compensation_dlq".into(),
            group: "order-consumer".into(),
            compensators: "compensator".into(),
        }
    }
}

impl Endpoints {
    /// Reads the file that `cargo xtask up` leaves.
    ///
    /// # Errors
    /// It is not there, or lacks one of the addresses.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            fs::read(path).with_context(|| format!("cannot read endpoints {}", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is not an endpoints file", path.display()))
    }
}
