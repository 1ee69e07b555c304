//! Signs of life: every process writes into MySQL now and then that it runs and what it counted. So others notice when it stops, and
//! who watches figures finds those of all processes in one place. Nobody's work depends on them: a process that cannot write one
//! goes on.

use crate::{mysql, settings::Mysql, telemetry::Metrics};
use chrono::{DateTime, Utc};
use sqlx::{ConnectOptions as _, MySqlConnection, MySqlPool};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

/// Between two signs.
pub const EVERY: Duration = Duration::from_secs(5);
/// How long one may take.
const WITHIN: Duration = Duration::from_secs(3);
/// Instances whose last sign is older are forgotten, the latest of each name aside.
const FORGOTTEN_AFTER_H: i64 = 24;

/// Counts since a process started, by metric and labels as Prometheus writes them.
pub type Counted = BTreeMap<String, f64>;

/// Says that this process runs.
pub struct Heartbeat {
    name: &'static str,
    instance: String,
    mysql: Mysql,
    metrics: Metrics,
    shown: &'static [&'static str],
}

/// The last sign of one process.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// What it is.
    pub name: String,
    /// Tells it from others of its name; a restart is another.
    pub instance: String,
    /// How long ago it gave it, by the database's clock.
    pub silent: Duration,
    /// What it had counted.
    pub counted: Counted,
}

impl Heartbeat {
    /// Signs under the process's name, with the metrics of these names.
    #[must_use]
    pub fn new(
        name: &'static str,
        mysql: &Mysql,
        metrics: Metrics,
        shown: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            instance: Uuid::now_v7().to_string(),
            mysql: mysql.clone(),
            metrics,
            shown,
        }
    }

    /// Gives signs until `stop`, over a connection of its own: a busy pool does not make a process look dead.
    pub async fn run(self, stop: CancellationToken) {
        let mut connection = None;
        let mut silent = false;
        while !stop.is_cancelled() {
            let given = timeout(WITHIN, self.give(&mut connection)).await;
            match given.map_err(|_| sqlx::Error::PoolTimedOut).flatten() {
                Ok(()) => silent = false,
                Err(cause) => {
                    connection = None;
                    if silent {
                        debug!("Still no sign of life in MySQL: {cause}");
                    } else {
                        warn!("MySQL takes no sign of life; the work goes on: {cause}");
                    }
                    silent = true;
                }
            }
            stop.run_until_cancelled(sleep(EVERY)).await;
        }
    }

    async fn give(&self, connection: &mut Option<MySqlConnection>) -> sqlx::Result<()> {
        let db = match connection {
            Some(db) => db,
            None => connection.insert(mysql::options(&self.mysql).connect().await?),
        };
        give(
            db,
            self.name,
            &self.instance,
            &self.metrics.counted(self.shown),
        )
        .await
    }
}

/// Writes one sign, as [`Heartbeat`] does.
///
/// # Errors
/// What MySQL says.
pub async fn give(
    db: &mut MySqlConnection,
    name: &str,
    instance: &str,
    counted: &Counted,
) -> sqlx::Result<()> {
    let text = serde_json::to_string(counted).unwrap_or_else(|_| "{}".to_owned());
    sqlx::query!(
        "insert into processes (name, instance, seen_at, counted) values (?, ?, utc_timestamp(3), ?)
         on duplicate key update seen_at = values(seen_at), counted = values(counted)",
        name,
        instance,
        text
    )
    .execute(db)
    .await
    .map(drop)
}

/// The last signs of all processes, of the latest day.
///
/// # Errors
/// What MySQL says.
pub async fn processes(db: &MySqlPool) -> sqlx::Result<Vec<Process>> {
    let rows = sqlx::query!(
        r#"select name, instance, counted, timestampdiff(microsecond, seen_at, utc_timestamp(3)) as "silent_us!: i64"
           from processes where seen_at > utc_timestamp(3) - interval ? hour order by name, instance"#,
        FORGOTTEN_AFTER_H
    )
    .fetch_all(db)
    .await?;
    let processes = rows.into_iter().map(|row| Process {
        name: row.name,
        instance: row.instance,
        silent: micros(row.silent_us),
        counted: serde_json::from_str(&row.counted).unwrap_or_default(),
    });
    Ok(processes.collect())
}

/// When any process of this name last gave a sign, and how long ago that is; `None`: never.
///
/// # Errors
/// What MySQL says.
pub async fn last_seen(
    db: &MySqlPool,
    name: &str,
) -> sqlx::Result<Option<(DateTime<Utc>, Duration)>> {
    let row = sqlx::query!(
        r#"select seen_at as "seen_at: DateTime<Utc>", timestampdiff(microsecond, seen_at, utc_timestamp(3)) as "silent_us!: i64"
           from processes where name = ? order by seen_at desc limit 1"#,
        name
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.seen_at, micros(row.silent_us))))
}

/// How many processes of this name gave a sign within so long.
///
/// # Errors
/// What MySQL says.
pub async fn running(db: &MySqlPool, name: &str, within: Duration) -> sqlx::Result<u32> {
    let seconds = i64::try_from(within.as_secs()).unwrap_or(i64::MAX);
    let running = sqlx::query_scalar!(
        "select count(*) from processes where name = ? and seen_at > utc_timestamp(3) - interval ? second",
        name,
        seconds
    )
    .fetch_one(db)
    .await?;
    Ok(u32::try_from(running).unwrap_or(u32::MAX))
}

/// Removes signs older than a day where the same name has given a newer one.
///
/// # Errors
/// What MySQL says.
pub async fn forget_old(db: &MySqlPool) -> sqlx::Result<()> {
    sqlx::query!(
        "delete old from processes old join processes newer on newer.name = old.name and newer.seen_at > old.seen_at
         where old.seen_at < utc_timestamp(3) - interval ? hour",
        FORGOTTEN_AFTER_H
    )
    .execute(db)
    .await
    .map(drop)
}

/// A clock that was set back makes nobody silent.
fn micros(count: i64) -> Duration {
    Duration::from_micros(u64::try_from(count).unwrap_or_default())
}
