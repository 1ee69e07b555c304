//! The servers a compensator needs, reached one after another however long they take to come up.

use anyhow::Context as _;
use compensation::{alerts::Spool, archive::Store};
use ordering::foreign::Foreign;
use redis::aio::ConnectionManager;
use service_kit::{
    health::Health,
    kafka::{Producer, Topic, ensure_topics},
    mysql,
    redis::{Role, check, connect},
    settings::Settings,
};
use sqlx::MySqlPool;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Pauses between tries double, from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How long Kafka may take to answer the health check; below what the check allows.
const KAFKA_WITHIN: Duration = Duration::from_millis(250);

/// Open connections.
#[derive(Clone)]
pub struct Servers {
    /// MySQL.
    pub db: MySqlPool,
    /// The stock node.
    pub redis: ConnectionManager,
    /// Kafka.
    pub producer: Producer,
    /// Participants outside: their limits and breakers are the process's.
    pub foreign: Foreign,
    /// Where messages of what is given up are kept: whether it answers is known to the whole process.
    pub archive: Store,
    /// Where alerts wait while MySQL takes none: what it could not take is known to the whole process.
    pub spool: Spool,
}

/// What was reached so far, for the health check.
#[derive(Clone, Default)]
pub struct Reached {
    db: Arc<OnceLock<MySqlPool>>,
    redis: Arc<OnceLock<ConnectionManager>>,
    producer: Arc<OnceLock<Producer>>,
    archive: Arc<OnceLock<Store>>,
}

impl Reached {
    /// Reaches all servers, and makes the topics that are missing. `None` when `stop` came first.
    ///
    /// # Errors
    /// When a server answers and cannot be used: wrong account, or settings under which it loses what it was told.
    pub async fn all(
        &self,
        settings: &Settings,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<Servers>> {
        match stop.run_until_cancelled(self.one_by_one(settings)).await {
            None => Ok(None),
            Some(servers) => servers.map(Some),
        }
    }

    /// Reaches MySQL alone. `None` when `stop` came first.
    ///
    /// # Errors
    /// As [`Reached::all`].
    pub async fn mysql(
        &self,
        settings: &Settings,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<MySqlPool>> {
        stop.run_until_cancelled(self.db(settings))
            .await
            .transpose()
    }

    async fn db(&self, settings: &Settings) -> anyhow::Result<MySqlPool> {
        let db = until_up("MySQL", async || {
            match mysql::connect(&settings.database.mysql).await {
                Ok(db) => Ok(Ok(db)),
                Err(cause @ (sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut)) => {
                    Ok(Err(cause.into()))
                }
                Err(cause) => {
                    Err(anyhow::Error::new(cause).context("MySQL refuses the connection"))
                }
            }
        })
        .await?;
        mysql::check_durability(&db).await?;
        let _ = self.db.set(db.clone());
        Ok(db)
    }

    async fn one_by_one(&self, settings: &Settings) -> anyhow::Result<Servers> {
        let db = self.db(settings).await?;
        let url = settings
            .redis
            .stock
            .urls
            .first()
            .context("redis.stock.urls is empty")?;
        let mut redis = until_up("the stock node", async || {
            let mut redis = match connect(url).await {
                Ok(redis) => redis,
                Err(cause) => return Ok(Err(cause)),
            };
            // A node that still loads its data takes connections and answers nothing else.
            Ok(match service_kit::redis::ping(&mut redis).await {
                Ok(()) => Ok(redis),
                Err(cause) => Err(cause.into()),
            })
        })
        .await?;
        check(&mut redis, Role::Stock).await?;
        let _ = self.redis.set(redis.clone());
        let topics = [
            Topic {
                name: &settings.kafka.orders_topic,
                partitions: settings.kafka.orders_partitions,
            },
            Topic {
                name: &settings.compensation.topic,
                partitions: settings.kafka.orders_partitions,
            },
            Topic {
                name: &settings.compensation.dlq_topic,
                partitions: 1,
            },
        ];
        until_up("Kafka", async || {
            Ok(ensure_topics(&settings.kafka.brokers, &topics).await)
        })
        .await?;
        let producer =
            Producer::new(&settings.kafka.brokers).context("kafka.brokers makes no producer")?;
        let _ = self.producer.set(producer.clone());
        let archive = Store::new(&settings.dlq, db.clone())
            .context("dlq names an archive that cannot be used")?;
        let _ = self.archive.set(archive.clone());
        Ok(Servers {
            archive,
            db,
            redis,
            producer,
            foreign: Foreign::from_settings(&settings.participants)?,
            spool: Spool::new(&settings.alerts.spool),
        })
    }

    /// Probes by the names of the servers: `mysql`, `redis_stock`, `kafka`; and `archive`, as it answered last.
    #[must_use]
    pub fn health(&self, settings: &Settings) -> Health {
        let Self {
            db,
            redis,
            producer,
            archive,
        } = self.clone();
        let topic: Arc<str> = settings.kafka.orders_topic.as_str().into();
        Health::new()
            .with("mysql", move || {
                let db = db.get().cloned();
                async move { anyhow::Ok(mysql::ping(&db.context("not reached yet")?).await?) }
            })
            .with("redis_stock", move || {
                let redis = redis.get().cloned();
                async move {
                    anyhow::Ok(
                        service_kit::redis::ping(&mut redis.context("not reached yet")?).await?,
                    )
                }
            })
            .with("kafka", move || {
                let (producer, topic) = (producer.get().cloned(), Arc::clone(&topic));
                async move {
                    let producer = producer.context("not reached yet")?;
                    anyhow::Ok(
                        tokio::task::spawn_blocking(move || producer.probe(&topic, KAFKA_WITHIN))
                            .await??,
                    )
                }
            })
            .with("archive", move || {
                let trouble = archive.get().and_then(Store::trouble);
                async move { trouble.map_or(Ok(()), Err) }
            })
    }
}

/// Tries until the server is up, told once that it is not. The outer result ends the start.
async fn until_up<T>(
    server: &str,
    reach: impl AsyncFn() -> anyhow::Result<anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let (mut pause, longest) = PAUSES;
    let mut told = false;
    loop {
        match reach().await? {
            Ok(up) => return Ok(up),
            Err(cause) if told => tracing::debug!("Still waiting for {server}: {cause:#}"),
            Err(cause) => warn!("Waiting for {server}: {cause:#}"),
        }
        told = true;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}
