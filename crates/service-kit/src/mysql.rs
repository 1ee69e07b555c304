//! Connections to the MySQL-family server: READ COMMITTED, UTC, strict, and a look at whether it keeps what it commits.

use crate::settings::Mysql;
use anyhow::{Context, bail};
use sqlx::{
    AssertSqlSafe, Connection, Executor, MySqlConnection, MySqlPool, Row,
    mysql::{MySqlConnectOptions, MySqlPoolOptions},
};
use std::time::Duration;

/// How long a caller waits for a connection before it is told that there is none.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(3);
/// The server ends a session that is silent for so long, so that a process that sleeps or is cut off in the middle of a transaction
/// keeps its locks from nobody for longer. It is no shorter than any pause between two statements of one transaction.
const SILENT_AT_MOST: Duration = Duration::from_secs(10);
/// What rests in a pool is closed by us before the server does it.
const IDLE_AT_MOST: Duration = Duration::from_secs(6);

/// How to reach the server. Times are UTC; whoever opens a session sets its isolation.
#[must_use]
pub fn options(settings: &Mysql) -> MySqlConnectOptions {
    MySqlConnectOptions::new()
        .host(&settings.host)
        .port(settings.port)
        .username(&settings.user)
        .password(settings.password.expose())
        .database(&settings.name)
        .timezone("+00:00".to_owned())
}

/// A pool at READ COMMITTED, strict mode. Its first connection is made here.
///
/// # Errors
/// When the server does not answer or refuses the account.
pub async fn connect(settings: &Mysql) -> sqlx::Result<MySqlPool> {
    pool(options(settings), settings.max_connections)
        .connect()
        .await
}

/// A pool that is not connected yet.
#[must_use]
pub fn pool(options: MySqlConnectOptions, max_connections: u32) -> PoolOf {
    PoolOf {
        options,
        max_connections,
    }
}

/// See [`pool`].
#[derive(Debug, Clone)]
pub struct PoolOf {
    options: MySqlConnectOptions,
    max_connections: u32,
}

impl PoolOf {
    /// Connects.
    ///
    /// # Errors
    /// When the server does not answer or refuses the account.
    pub async fn connect(self) -> sqlx::Result<MySqlPool> {
        self.pool_options().connect_with(self.options).await
    }

    /// A pool whose first connection is made when the first is wanted.
    #[must_use]
    pub fn lazy(self) -> MySqlPool {
        self.pool_options().connect_lazy_with(self.options)
    }

    fn pool_options(&self) -> MySqlPoolOptions {
        MySqlPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(ACQUIRE_WITHIN)
            .idle_timeout(IDLE_AT_MOST)
            .after_connect(|session, _| {
                Box::pin(async move {
                    let settings = format!(
                        "set session transaction isolation level read committed; set session innodb_lock_wait_timeout = 5, \
                         session wait_timeout = {}, session sql_mode = concat(@@sql_mode, ',STRICT_TRANS_TABLES')",
                        SILENT_AT_MOST.as_secs()
                    );
                    session.execute(AssertSqlSafe(settings)).await.map(drop)
                })
            })
    }
}

/// Looks whether a commit survives a power cut: flush at commit, synced binary log when there is one, strict mode.
///
/// # Errors
/// Names the variable that has to change, or says that the server did not answer.
pub async fn check_durability(db: &MySqlPool) -> anyhow::Result<()> {
    let row = sqlx::query(
        "select cast(@@global.innodb_flush_log_at_trx_commit as signed) as flush, cast(@@global.sync_binlog as signed) as sync, \
         cast(@@global.log_bin as signed) as log_bin, @@global.sql_mode as sql_mode",
    )
    .fetch_one(db)
    .await
    .context("asking MySQL for its durability settings")?;
    if row.try_get::<i64, _>("flush")? != 1 {
        bail!(
            "MySQL must run with innodb_flush_log_at_trx_commit=1, or a power cut loses orders that were confirmed"
        );
    }
    if row.try_get::<i64, _>("log_bin")? == 1 && row.try_get::<i64, _>("sync")? != 1 {
        bail!("MySQL must run with sync_binlog=1 while its binary log is on");
    }
    if !row
        .try_get::<String, _>("sql_mode")?
        .contains("STRICT_TRANS_TABLES")
    {
        bail!("MySQL must run with STRICT_TRANS_TABLES in sql_mode, or it stores shortened values");
    }
    Ok(())
}

/// Whether the server answers, for the health check.
///
/// # Errors
/// What the server or the pool says.
pub async fn ping(db: &MySqlPool) -> sqlx::Result<()> {
    let mut session = db.acquire().await?;
    MySqlConnection::ping(&mut session).await
}
