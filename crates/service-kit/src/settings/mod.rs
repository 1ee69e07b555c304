//! The settings of all processes: one YAML file, then the environment (`REDRESS__SECTION__KEY`, lists separated by commas).
//!
//! Every process reads the same file, so that it cannot disagree with itself. Unknown keys and contradictions stop the start
//! with one line. `config.example.yaml` shows every key with its unit, its default and the reason.

mod admin;
mod alerts;
mod archive;
mod check;
mod load;
mod participants;
mod retention;
mod retries;
mod secret;
mod sections;
mod watch;

pub use admin::{Admin, FirstAdmin};
pub use alerts::{Alerts, ChannelKind, ChannelSettings, Language};
pub use archive::{ArchiveKeep, ArchivePostgres, ArchiveS3, ArchiveStorage};
pub use load::SettingsError;
pub use participants::{ParticipantSales, ParticipantSettings, ParticipantStyle};
pub use retention::Retention;
pub use retries::{RetryBreaker, RetryBudget};
pub use secret::Secret;
pub use sections::{
    Admission, Auth, Compensation, Compensator, Database, Dlq, FirstStaff, Kafka, Log, LogFormat,
    LogStorage, Mysql, Nodes, OrderConsumer, Redis, SaleLock, Scans, SeckillApi, Transaction,
    TransactionRetries, seconds,
};
pub use watch::Watch;

use serde::Deserialize;

/// Where a process runs. What is only safe on a developer's machine is refused in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// One machine, known secrets.
    #[default]
    Development,
    /// Everything else: the built-in secret is refused.
    Production,
}

/// All settings of all processes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where this runs.
    pub environment: Environment,
    /// What is written to the terminal.
    pub log: Log,
    /// Tokens.
    pub auth: Auth,
    /// The process that takes orders.
    pub seckill_api: SeckillApi,
    /// The process that writes them.
    pub order_consumer: OrderConsumer,
    /// The process that repairs.
    pub compensator: Compensator,
    /// Where orders are kept.
    pub database: Database,
    /// Where stock is counted and buyers are kept apart.
    pub redis: Redis,
    /// Where orders wait.
    pub kafka: Kafka,
    /// One buyer at a time in one sale.
    pub sale_lock: SaleLock,
    /// What is let in.
    pub admission: Admission,
    /// How transactions are decided.
    pub transaction: Transaction,
    /// Services outside this system that take part in orders.
    pub participants: Vec<ParticipantSettings>,
    /// How work that failed is tried again.
    pub compensation: Compensation,
    /// What happens once its retries are used up.
    pub dlq: Dlq,
    /// Who is told.
    pub alerts: Alerts,
    /// The operators' web.
    pub admin: Admin,
    /// Steps that fail on purpose, `STEP:SELECTOR:TIMES` each. Only in development.
    #[serde(deserialize_with = "sections::list")]
    pub faults: Vec<String>,
    /// How often the compensator looks.
    pub scans: Scans,
    /// When people are told that a figure is not as it should be.
    pub watch: Watch,
    /// How long records are kept that nobody works on any more.
    pub retention: Retention,
}
