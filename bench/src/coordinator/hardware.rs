//! What the figures were measured on. No figure is worth anything without it.

use super::stage::Stage;
use anyhow::Context;
use serde_json::{Value, json};
use sqlx::Row as _;
use std::{collections::HashMap, fs, thread};

/// The machine, and what its servers promise to keep.
///
/// # Errors
/// What the servers say.
pub async fn look(stage: &Stage) -> anyhow::Result<Value> {
    let row = sqlx::query(
        "select version() as version, cast(@@global.innodb_flush_log_at_trx_commit as signed) as flush, \
         cast(@@global.log_bin as signed) as log_bin, cast(@@global.sync_binlog as signed) as sync_binlog, \
         cast(@@global.innodb_buffer_pool_size as signed) as buffer_pool",
    )
    .fetch_one(&stage.db)
    .await?;
    let redis: HashMap<String, String> = redis::cmd("CONFIG")
        .arg("GET")
        .arg("append*")
        .query_async(&mut stage.redis.clone())
        .await
        .context("asking Redis for its durability settings")?;
    let of_redis = |name: &str| redis.get(name).cloned().unwrap_or_default();
    Ok(json!({
        "cores": thread::available_parallelism()?.get(),
        "processor": first_of("/proc/cpuinfo", "model name"),
        "memory": first_of("/proc/meminfo", "MemTotal"),
        "load_average": fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
        "mysql": row.try_get::<String, _>("version")?,
        "innodb_flush_log_at_trx_commit": row.try_get::<i64, _>("flush")?,
        "log_bin": row.try_get::<i64, _>("log_bin")?,
        "sync_binlog": row.try_get::<i64, _>("sync_binlog")?,
        "innodb_buffer_pool_mib": row.try_get::<i64, _>("buffer_pool")? / 1024 / 1024,
        "redis_appendonly": of_redis("appendonly"),
        "redis_appendfsync": of_redis("appendfsync"),
    }))
}

/// The value after the first line that begins with `name`; nothing where the system has no such file.
fn first_of(file: &str, name: &str) -> String {
    fs::read_to_string(file)
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_once(':'))
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}
