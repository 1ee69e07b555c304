//! The sections of the settings with their defaults: one table, kept in the order of `config.example.yaml`.

use super::{
    ArchiveKeep, ArchivePostgres, ArchiveS3, ArchiveStorage, RetryBreaker, RetryBudget, Secret,
};
use serde::{Deserialize, Deserializer, de};
use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

/// What is written to the terminal.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// As `tracing`'s filters are written: `info`, `warn,ordering=debug`.
    pub filter: String,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One readable line.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info".to_owned(),
        }
    }
}

/// Tokens of buyers and staff.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Signs tokens (HS256); at least 32 bytes. The default is refused in production.
    pub token_secret: Secret,
    /// How long a token is good for, in seconds.
    pub token_ttl_s: u64,
}

impl Auth {
    /// The secret of a developer's machine. Public, so worth nothing.
    pub const DEVELOPMENT_SECRET: &str = "development only, known to everyone, never in production";
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            token_secret: Secret::new(Self::DEVELOPMENT_SECRET),
            token_ttl_s: 86_400,
        }
    }
}

/// The process that takes orders.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeckillApi {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Made at the start when it is missing.
    pub first_staff: FirstStaff,
}

impl Default for SeckillApi {
    fn default() -> Self {
        Self {
            listen: loopback(8080),
            first_staff: FirstStaff::default(),
        }
    }
}

/// The account that makes the first sale. None is made while the name is empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FirstStaff {
    /// Its name; empty: none is made.
    pub username: String,
    /// Its password, at least 8 characters. Changing it here changes nothing once the account exists.
    pub password: Secret,
}

/// The process that writes orders.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrderConsumer {
    /// Where health and metrics are served.
    pub listen: SocketAddr,
    /// The consumer group.
    pub group: String,
    /// Kafka's `group.instance.id`; empty: none. A name that survives restarts avoids a rebalance.
    pub instance_id: String,
    /// Orders taken off Kafka and not yet decided, at most.
    pub max_in_flight: usize,
}

impl Default for OrderConsumer {
    fn default() -> Self {
        Self {
            listen: loopback(8082),
            group: "order-consumer".to_owned(),
            instance_id: String::new(),
            max_in_flight: 4000,
        }
    }
}

/// The process that repairs.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compensator {
    /// Where health and metrics are served.
    pub listen: SocketAddr,
    /// The consumer group that takes in what failed.
    pub group: String,
}

impl Default for Compensator {
    fn default() -> Self {
        Self {
            listen: loopback(8083),
            group: "compensator".to_owned(),
        }
    }
}

/// Where orders are kept.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// MySQL or `MariaDB`.
    pub mysql: Mysql,
}

/// One MySQL-family server.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mysql {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Account.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Schema.
    pub name: String,
    /// Connections of a process's pool, at most. The engine's own few come on top.
    pub max_connections: u32,
}

impl Default for Mysql {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 3306,
            user: "redress".to_owned(),
            password: Secret::new("redress"),
            name: "redress".to_owned(),
            max_connections: 16,
        }
    }
}

/// Where stock is counted and buyers are kept apart.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// Reservations. One node.
    pub stock: Nodes,
    /// The sale lock. One or three independent nodes.
    pub lock: Nodes,
}

/// Some Redis servers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nodes {
    /// `redis://host:port`, each.
    #[serde(deserialize_with = "list")]
    pub urls: Vec<String>,
}

impl Default for Redis {
    fn default() -> Self {
        let nodes = |ports: &[u16]| Nodes {
            urls: ports
                .iter()
                .map(|port| format!("redis://127.0.0.1:{port}"))
                .collect(),
        };
        Self {
            stock: nodes(&[6379]),
            lock: nodes(&[6380, 6381, 6382]),
        }
    }
}

/// Where orders wait.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Orders that were admitted.
    pub orders_topic: String,
    /// Partitions the orders' topic is created with.
    pub orders_partitions: i32,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            orders_topic: "orders".to_owned(),
            orders_partitions: 8,
        }
    }
}

/// One buyer at a time in one sale.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SaleLock {
    /// Whether an order is refused when no majority of lock nodes answers. The lock only spares buyers from racing themselves,
    /// so without it orders are right all the same.
    pub required: bool,
    /// When a lock nobody released is free again, in milliseconds.
    pub ttl_ms: u64,
}

impl Default for SaleLock {
    fn default() -> Self {
        Self {
            required: false,
            ttl_ms: 5000,
        }
    }
}

/// What is let in.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admission {
    /// Orders one process admits at the same time; the next is told `busy`.
    pub max_in_flight: usize,
    /// Units a sale holds undecided, at most; beyond it `busy`. Bounds what a rebuild has to read.
    pub held_max: u32,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            max_in_flight: 2000,
            held_max: 100_000,
        }
    }
}

/// How transactions are decided.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Transaction {
    /// What the lease rows of scans begin with.
    pub lock_prefix: String,
    /// Transactions that make a batch full: it waits for no more.
    pub batch_size: usize,
    /// Transactions decided together, at most, where more than a full batch wait.
    pub batch_at_most: usize,
    /// How long a busy engine waits for a batch to fill, in milliseconds. An idle one does not wait.
    pub batch_wait_ms: u64,
    /// Batches decided at the same time, of different sales.
    pub batches_in_flight: usize,
    /// Transactions that may wait for their batch.
    pub queue: usize,
    /// How long a transaction with participants outside may stay undecided, in seconds, before the compensator takes it on.
    pub timeout_s: u64,
    /// How completions that failed are tried again.
    pub retry_policy: TransactionRetries,
    /// How long a finished transaction is kept, in hours; at least as long as Kafka keeps messages, 168.
    pub keep_finished_h: u64,
}

/// How completions that a participant failed are tried again. One that is away counts as nothing.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransactionRetries {
    /// Failed attempts before a transaction is stuck, until a person resumes it.
    pub max_attempts: u32,
    /// The wait after the first failed attempt, and between looks at a participant that is away, in milliseconds.
    pub first_wait_ms: u64,
    /// By how much each wait is longer than the one before.
    pub backoff_factor: f64,
    /// The longest wait, in seconds.
    pub max_wait_s: u64,
    /// By how much a wait is longer or shorter, as a share of it.
    pub jitter: f64,
}

impl Default for TransactionRetries {
    fn default() -> Self {
        Self {
            max_attempts: 20,
            first_wait_ms: 1000,
            backoff_factor: 2.0,
            max_wait_s: 60,
            jitter: 0.2,
        }
    }
}

impl Default for Transaction {
    fn default() -> Self {
        Self {
            lock_prefix: "global_tx_lock".to_owned(),
            batch_size: 200,
            batch_at_most: 500,
            batch_wait_ms: 2,
            batches_in_flight: 4,
            queue: 10_000,
            timeout_s: 300,
            retry_policy: TransactionRetries::default(),
            keep_finished_h: 336,
        }
    }
}

/// How work that failed is tried again.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compensation {
    /// Where the consumer hands on orders that failed by themselves.
    pub topic: String,
    /// Where messages go that cannot be orders, and orders whose retries are used up.
    pub dlq_topic: String,
    /// Retries after the first try.
    pub max_retries: u32,
    /// Seconds before each retry; the last value is repeated.
    #[serde(deserialize_with = "list")]
    pub retry_delay: Vec<String>,
    /// By how much a wait is longer or shorter, as a share of it.
    pub jitter: f64,
    /// Seconds, at most, that a participant's `Retry-After` puts a try off; 0: it is not listened to.
    pub retry_after_max_s: f64,
    /// How many retries may fail.
    pub budget: RetryBudget,
    /// When the retries of one cause are put off together.
    pub breaker: RetryBreaker,
    /// Where every attempt is written down.
    pub log_storage: LogStorage,
    /// The file for attempts, one JSON object a line.
    pub log_file: PathBuf,
}

/// Where attempts are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStorage {
    /// The table `compensation_logs`.
    Db,
    /// The file.
    File,
    /// Both.
    Both,
}

impl LogStorage {
    /// Whether the table has them.
    #[must_use]
    pub const fn in_db(self) -> bool {
        matches!(self, Self::Db | Self::Both)
    }

    /// Whether the file has them.
    #[must_use]
    pub const fn in_file(self) -> bool {
        matches!(self, Self::File | Self::Both)
    }
}

impl Default for Compensation {
    fn default() -> Self {
        Self {
            topic: "order-compensation".to_owned(),
            dlq_topic: "compensation_dlq".to_owned(),
            max_retries: 3,
            retry_delay: texts(&["10", "30", "60"]),
            jitter: 0.2,
            retry_after_max_s: 300.0,
            budget: RetryBudget::default(),
            breaker: RetryBreaker::default(),
            log_storage: LogStorage::Db,
            log_file: "data/compensation.log".into(),
        }
    }
}

/// What happens to work whose retries are used up.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dlq {
    /// Tries as a dead letter, before it is archived.
    pub max_retries: u32,
    /// Seconds before each of them; the last value is repeated.
    #[serde(deserialize_with = "list")]
    pub retry_delay: Vec<String>,
    /// A Standard Webhooks endpoint that is told of dead letters and archived orders, besides `alerts.channels`. Empty: none.
    pub alert_webhook: Secret,
    /// Signs its requests, as a webhook's secret in `alerts.channels` does; empty: they are not signed.
    pub alert_webhook_secret: Secret,
    /// Where the payload of what is given up is kept.
    pub archive_storage: ArchiveStorage,
    /// What the files for it are named after, one JSON object a line.
    pub archive_file: PathBuf,
    /// MiB after which another file is begun, besides one a day.
    pub archive_file_max_mb: u64,
    /// The Postgres for it.
    pub archive_postgres: ArchivePostgres,
    /// The bucket for it.
    pub archive_s3: ArchiveS3,
    /// How long what is handled stays.
    pub archive_keep_d: ArchiveKeep,
    /// Whether an archived order keeps its units, undecided, until an operator replays it.
    pub hold_stock: bool,
}

impl Default for Dlq {
    fn default() -> Self {
        Self {
            max_retries: 2,
            retry_delay: texts(&["60", "300"]),
            alert_webhook: Secret::default(),
            alert_webhook_secret: Secret::default(),
            archive_storage: ArchiveStorage::Mysql,
            archive_file: "data/archive.jsonl".into(),
            archive_file_max_mb: 64,
            archive_postgres: ArchivePostgres::default(),
            archive_s3: ArchiveS3::default(),
            archive_keep_d: ArchiveKeep::default(),
            hold_stock: false,
        }
    }
}

/// Seconds as they are written in a list, fractions allowed; `None` for what is none, or not between 0.05 s and a day.
#[must_use]
pub fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    (0.05..=86_400.0)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}

fn texts(of: &[&str]) -> Vec<String> {
    of.iter().map(ToString::to_string).collect()
}

/// How often the compensator looks, each in seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scans {
    /// For reservations nobody decided.
    pub overdue_reservations_s: u64,
    /// For decisions that were not completed.
    pub unfinished_transactions_s: u64,
    /// Whether a stock node restarted, was promoted or lost a sale.
    pub fence_watch_s: u64,
    /// Whether Redis and MySQL agree.
    pub compare_s: u64,
    /// Whether a sale on which they differ is made anew in Redis by itself.
    pub repair_drift: bool,
    /// For orders nobody paid for in time.
    pub unpaid_orders_s: u64,
    /// How long after its confirmation an order that nobody paid for is cancelled; 0: never.
    pub unpaid_after_s: u64,
}

impl Default for Scans {
    fn default() -> Self {
        Self {
            overdue_reservations_s: 5,
            unfinished_transactions_s: 2,
            fence_watch_s: 1,
            compare_s: 30,
            repair_drift: true,
            unpaid_orders_s: 10,
            unpaid_after_s: 0,
        }
    }
}

impl SaleLock {
    /// [`SaleLock::ttl_ms`].
    #[must_use]
    pub const fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms)
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A list in YAML, or one text with commas as the environment has it.
pub(super) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    struct OneOrMany;

    impl<'de> de::Visitor<'de> for OneOrMany {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list, or a text separated by commas")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(text
                .split(',')
                .map(|item| item.trim().to_owned())
                .filter(|item| !item.is_empty())
                .collect())
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
            let mut all = Vec::new();
            while let Some(item) = items.next_element()? {
                all.push(item);
            }
            Ok(all)
        }
    }

    from.deserialize_any(OneOrMany)
}
