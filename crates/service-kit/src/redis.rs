//! Connections to Redis, and a look at whether a node can be trusted with stock.

use anyhow::{Context, bail};
use redis::{
    Client, InfoDict,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
};
use std::{collections::HashMap, time::Duration};

/// A node that does not take a connection within this is down.
const CONNECT_WITHIN: Duration = Duration::from_millis(500);
/// A call that is not answered within this has an unknown outcome.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reservations: must keep what it is told and refuse rather than forget.
    Stock,
    /// The sale lock: may forget.
    Lock,
}

/// A connection that makes itself anew, shared by all its clones. Calls fail within a second or two when the node is gone.
///
/// # Errors
/// When the url is malformed or the node does not answer.
pub async fn connect(url: &str) -> anyhow::Result<ConnectionManager> {
    let (client, config) = how_to_connect(url)?;
    ConnectionManager::new_with_config(client, config)
        .await
        .with_context(|| format!("connecting to Redis at {url}"))
}

/// The same, connected at the first call: for a process that goes on without the node. A call while it is down fails.
///
/// # Errors
/// When the url is malformed.
pub fn connect_lazily(url: &str) -> anyhow::Result<ConnectionManager> {
    let (client, config) = how_to_connect(url)?;
    ConnectionManager::new_lazy_with_config(client, config)
        .with_context(|| format!("preparing a connection to Redis at {url}"))
}

fn how_to_connect(url: &str) -> anyhow::Result<(Client, ConnectionManagerConfig)> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT_WITHIN))
        .set_response_timeout(Some(ANSWER_WITHIN))
        .set_number_of_retries(2)
        .set_min_delay(Duration::from_millis(20))
        .set_max_delay(Duration::from_millis(200));
    let client = Client::open(url).with_context(|| format!("{url:?} is not a Redis url"))?;
    Ok((client, config))
}

/// Looks at version and, of a stock node, at how it keeps data: append-only file, written at least every second, nothing evicted.
///
/// # Errors
/// Names the setting that has to change, or says that the node did not answer.
pub async fn check(connection: &mut impl ConnectionLike, role: Role) -> anyhow::Result<()> {
    let info: InfoDict = redis::cmd("INFO")
        .arg("server")
        .query_async(connection)
        .await
        .context("asking Redis for its version")?;
    let version: String = info.get("redis_version").unwrap_or_default();
    let major: u32 = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok())
        .unwrap_or_default();
    if major < 7 {
        bail!(
            "Redis {version} is too old: 7 or newer is needed, because older ones keep scripts across a restart"
        );
    }
    if role == Role::Lock {
        return Ok(());
    }
    let kept: HashMap<String, String> = redis::cmd("CONFIG")
        .arg("GET")
        .arg("append*")
        .arg("maxmemory-policy")
        .query_async(connection)
        .await
        .context("asking Redis for its durability settings")?;
    let is = |name: &str, wanted: &[&str]| {
        kept.get(name)
            .is_some_and(|value| wanted.contains(&value.as_str()))
    };
    if !is("appendonly", &["yes"]) {
        bail!("the stock Redis must run with appendonly yes");
    }
    if !is("appendfsync", &["everysec", "always"]) {
        bail!("the stock Redis must run with appendfsync everysec (or always)");
    }
    if !is("maxmemory-policy", &["noeviction"]) {
        bail!(
            "the stock Redis must run with maxmemory-policy noeviction, or it drops reservations"
        );
    }
    Ok(())
}

/// Whether the node answers, for the health check.
///
/// # Errors
/// What the node or the connection says.
pub async fn ping(connection: &mut impl ConnectionLike) -> redis::RedisResult<()> {
    redis::cmd("PING").query_async(connection).await
}
