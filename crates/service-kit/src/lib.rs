//! What every process needs and no domain owns: settings, connections, Kafka, telemetry, health, an orderly stop and the one
//! shape of an error. It knows nothing of orders, sales or users.

pub mod exit;
pub mod health;
pub mod heartbeat;
pub mod kafka;
pub mod mysql;
pub mod problem;
pub mod redis;
pub mod serve;
pub mod settings;
pub mod stop;
pub mod telemetry;

pub use serve::serve;
