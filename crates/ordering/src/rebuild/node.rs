//! A rebuild's one connection to Redis, which is never opened again: if it breaks, every later call fails. Here is what it does to a
//! node and to a sale as a whole; what it writes for a sale is in `survivors` and `written`.

use super::{
    ANSWER_WITHIN, RebuildError,
    plan::{Closed, Planned},
    snapshot::Snapshot,
    written::Numbers,
};
use crate::{
    ids::SaleId,
    keys::{self, Names},
    stock::scripts,
};
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, aio::MultiplexedConnection};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Records or keys a round trip.
pub(super) const PAGE: usize = 500;
/// Sales closed in one round trip.
const CLOSED_AT_ONCE: usize = 100;

/// With a full memory, too: what was begun must be able to end.
const CLOSE: &str = concat!("#!lua flags=allow-oom\n", include_str!("../lua/close.lua"));
const FLIP: &str = concat!("#!lua flags=allow-oom\n", include_str!("../lua/flip.lua"));

/// What tells a node that restarted, or was promoted, from the one it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeIds {
    /// Changes at every start.
    pub run_id: String,
    /// Changes whenever the node becomes a master, and when it becomes a replica.
    pub replication_id: String,
}

impl NodeIds {
    /// Reads them from `connection`.
    ///
    /// # Errors
    /// [`redis::RedisError`].
    pub async fn read(connection: &mut impl redis::aio::ConnectionLike) -> RedisResult<Self> {
        let mut ask = redis::pipe();
        ask.cmd("INFO").arg("server").cmd("INFO").arg("replication");
        let (server, replication): (String, String) = ask.query_async(connection).await?;
        let field = |info: &str, name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|value| value.trim().to_owned())
                .unwrap_or_default()
        };
        Ok(Self {
            run_id: field(&server, "run_id:"),
            replication_id: field(&replication, "master_replid:"),
        })
    }
}

/// Clones share the connection: where one sees it broken, all do.
#[derive(Clone)]
pub(super) struct Node(MultiplexedConnection);

impl Node {
    pub async fn connect(client: &Client) -> RedisResult<Self> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(ANSWER_WITHIN));
        Ok(Self(
            client
                .get_multiplexed_async_connection_with_config(&config)
                .await?,
        ))
    }

    pub(super) const fn connection(&mut self) -> &mut MultiplexedConnection {
        &mut self.0
    }

    pub async fn ids(&mut self) -> RedisResult<NodeIds> {
        NodeIds::read(&mut self.0).await
    }

    pub async fn flush_scripts(&mut self) -> RedisResult<()> {
        redis::cmd("SCRIPT")
            .arg("FLUSH")
            .exec_async(&mut self.0)
            .await
    }

    pub async fn load_scripts(&mut self) -> RedisResult<()> {
        for script in scripts::ALL {
            script.load_async(&mut self.0).await?;
        }
        Ok(())
    }

    /// Closes the sales for the rebuild with this number, in their order. Those that a newer rebuild holds are left to it.
    pub async fn close(
        &mut self,
        sales: Vec<Planned>,
        number: i64,
    ) -> RedisResult<(Vec<Closed>, Vec<SaleId>)> {
        let (mut closed, mut refused) = (Vec::with_capacity(sales.len()), Vec::new());
        for page in sales.chunks(CLOSED_AT_ONCE) {
            let mut close = redis::pipe();
            for sale in page {
                close
                    .cmd("EVAL")
                    .arg(CLOSE)
                    .arg(1)
                    .arg(keys::stock(sale.sale))
                    .arg(number);
            }
            let answers: Vec<(String, Option<i64>)> = close.query_async(&mut self.0).await?;
            for (&planned, (word, old_epoch)) in page.iter().zip(answers) {
                if word == "closed" {
                    closed.push(Closed {
                        planned,
                        old_epoch,
                        since: Instant::now(),
                    });
                } else {
                    refused.push(planned.sale);
                }
            }
        }
        Ok((closed, refused))
    }

    /// Removes what only the old epoch's scripts would read, which may be most of a full memory, and what an older MySQL put back
    /// beside a newer Redis may have left under the new names. `pending` and the records are what the next rebuild needs if this one
    /// ends: they stay.
    pub async fn make_room(&mut self, old: Names, new: Names) -> RedisResult<()> {
        redis::cmd("UNLINK")
            .arg(old.buyers())
            .arg(new.buyers())
            .arg(new.pending())
            .exec_async(&mut self.0)
            .await
    }

    /// Removes what was written of an epoch that will not be opened.
    pub async fn forget(&mut self, names: Names) -> RedisResult<()> {
        redis::cmd("UNLINK")
            .arg(names.buyers())
            .arg(names.pending())
            .exec_async(&mut self.0)
            .await?;
        self.unlink(&names.everything(), |_| true).await
    }

    /// Opens the sale at its new epoch.
    pub async fn flip(
        &mut self,
        snapshot: &Snapshot,
        number: i64,
        numbers: &Numbers,
        held_max: u32,
    ) -> Result<(), RebuildError> {
        let names = snapshot.names();
        let mut flip = redis::cmd("EVAL");
        flip.arg(FLIP)
            .arg(1)
            .arg(keys::stock(names.sale))
            .arg(number)
            .arg(names.epoch);
        flip.arg("available")
            .arg(numbers.available)
            .arg("held")
            .arg(numbers.held)
            .arg("owed")
            .arg(numbers.owed);
        flip.arg("held_max").arg(held_max);
        for (field, value) in snapshot.rules() {
            flip.arg(field).arg(value);
        }
        let (word,): (String,) = flip.query_async(&mut self.0).await?;
        if word == "open" {
            Ok(())
        } else {
            Err(RebuildError::Superseded(names.sale))
        }
    }

    /// Unlinks what older epochs of these sales left among the names that match `pattern`.
    pub async fn sweep(&mut self, pattern: &str, epochs: &HashMap<SaleId, i64>) -> RedisResult<()> {
        self.unlink(pattern, |name| is_old(name, epochs)).await
    }

    async fn unlink(&mut self, pattern: &str, chosen: impl Fn(&str) -> bool) -> RedisResult<()> {
        let mut cursor = 0_u64;
        loop {
            let (next, names): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(pattern)
                .arg("COUNT")
                .arg(1000)
                .query_async(&mut self.0)
                .await?;
            let old: Vec<String> = names.into_iter().filter(|name| chosen(name)).collect();
            if !old.is_empty() {
                redis::cmd("UNLINK")
                    .arg(old)
                    .exec_async(&mut self.0)
                    .await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }
}

/// A name whose text cannot be read is left alone.
fn is_old(name: &str, epochs: &HashMap<SaleId, i64>) -> bool {
    let sale = name
        .strip_prefix('{')
        .and_then(|rest| rest.split_once('}'))
        .and_then(|(sale, _)| sale.parse().ok());
    let Some(sale) = sale else { return false };
    matches!((keys::epoch_of(sale, name), epochs.get(&sale)), (Some(epoch), Some(&now)) if epoch < now)
}

/// Whether the node answered, and refused: its connection still stands.
pub(super) fn refused(cause: &RedisError) -> bool {
    cause.clone().into_server_errors().is_some()
}

/// Whether the node refused because its memory is full.
pub(super) fn out_of_memory(cause: &RedisError) -> bool {
    cause
        .clone()
        .into_server_errors()
        .is_some_and(|errors| errors.iter().any(|(_, error)| error.code() == "OOM"))
}
