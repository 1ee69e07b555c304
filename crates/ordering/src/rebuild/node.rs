//! The Redis side of a rebuild, on one connection that is never opened again: if it breaks, every later call fails.

use super::{ANSWER_WITHIN, RebuildError, snapshot::Snapshot};
use crate::{
    ids::{OrderId, SaleId},
    keys::{self, Names},
    message::{Idempotency, OrderMessage},
    stock::scripts,
};
use chrono::{TimeDelta, Utc};
use coordinator::Gid;
use identity::UserId;
use redis::{AsyncConnectionConfig, Client, RedisResult, aio::MultiplexedConnection};
use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};
use uuid::Uuid;

/// Records, keys or buyers a round trip.
const PAGE: usize = 500;
/// How long a buyer's key is good for.
const KEY_LIFE: TimeDelta = TimeDelta::hours(24);

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

/// A reservation that was neither sold nor given back when the sale was closed.
#[derive(Debug, Clone)]
pub(super) struct Survivor {
    pub gid: Gid,
    pub order: OrderId,
    pub user: UserId,
    pub units: i64,
    /// Its next look, ms since 1970.
    pub look_at: f64,
    pub record: Record,
}

/// Whether Redis still has a reservation's record.
#[derive(Debug, Clone)]
pub(super) enum Record {
    /// Under the old epoch's names.
    Kept,
    /// It is made anew, from the message that was published.
    Lost(Vec<u8>),
}

/// The hash's numbers in the new epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub available: i64,
    pub held: i64,
    pub owed: i64,
}

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

    /// Closes the sale for the rebuild with this number; returns the epoch its hash has, if it has one.
    pub async fn close(&mut self, sale: SaleId, number: i64) -> Result<Option<i64>, RebuildError> {
        let (word, epoch): (String, Option<i64>) = redis::cmd("EVAL")
            .arg(CLOSE)
            .arg(1)
            .arg(keys::stock(sale))
            .arg(number)
            .query_async(&mut self.0)
            .await?;
        if word == "closed" {
            Ok(epoch)
        } else {
            Err(RebuildError::Superseded(sale))
        }
    }

    /// What stands in `pending` with its record. Nothing changes it while the sale is closed.
    pub async fn survivors(
        &mut self,
        sale: SaleId,
        epoch: Option<i64>,
    ) -> RedisResult<Vec<Survivor>> {
        let Some(epoch) = epoch else {
            return Ok(Vec::new());
        };
        let names = Names { sale, epoch };
        let mut survivors = Vec::new();
        for start in (0..).step_by(PAGE) {
            let page: Vec<(String, f64)> = redis::cmd("ZRANGE")
                .arg(names.pending())
                .arg(start)
                .arg(start + PAGE - 1)
                .arg("WITHSCORES")
                .query_async(&mut self.0)
                .await?;
            let last = page.len() < PAGE;
            survivors.extend(self.with_records(names, page).await?);
            if last {
                break;
            }
        }
        Ok(survivors)
    }

    async fn with_records(
        &mut self,
        names: Names,
        page: Vec<(String, f64)>,
    ) -> RedisResult<Vec<Survivor>> {
        type Fields = (Option<String>, Option<String>, Option<String>, Option<i64>);
        if page.is_empty() {
            return Ok(Vec::new());
        }
        let members: Vec<(Gid, f64)> = page
            .iter()
            .filter_map(|(gid, score)| Some((Gid::from_uuid(gid.parse::<Uuid>().ok()?), *score)))
            .collect();
        let mut ask = redis::pipe();
        for (gid, _) in &members {
            ask.cmd("HMGET")
                .arg(names.reservation(*gid))
                .arg(&["state", "order", "user", "units"]);
        }
        let records: Vec<Fields> = ask.query_async(&mut self.0).await?;
        let survivor = |((gid, look_at), (state, order, user, units)): ((Gid, f64), Fields)| {
            let undecided = matches!(state.as_deref(), Some("reserved" | "prepared"));
            undecided.then_some(())?;
            Some(Survivor {
                gid,
                order: order?.parse().ok()?,
                user: user?.parse().ok()?,
                units: units?,
                look_at,
                record: Record::Kept,
            })
        };
        Ok(members
            .into_iter()
            .zip(records)
            .filter_map(survivor)
            .collect())
    }

    /// Writes the sale under its new epoch's names: the snapshot, and `held` with record, key and buyer's units.
    pub async fn write(
        &mut self,
        snapshot: &mut Snapshot,
        old_epoch: Option<i64>,
        held: &[Survivor],
    ) -> Result<Numbers, RebuildError> {
        let names = snapshot.names();
        // Empty but for an older MySQL put back beside a newer Redis.
        redis::cmd("UNLINK")
            .arg(names.buyers())
            .arg(names.pending())
            .exec_async(&mut self.0)
            .await?;
        for page in held.chunks(PAGE) {
            let old = Names {
                epoch: old_epoch.unwrap_or_default(),
                ..names
            };
            self.copy_records(old, names, page).await?;
        }
        // After the survivors' keys: where both name one, the decided order has it.
        let mut after = None;
        loop {
            let page = snapshot.keys(after, PAGE).await?;
            after = page.last().map(|key| key.order);
            self.write_keys(
                names,
                page.into_iter()
                    .map(|key| (key.user, key.order, key.idempotency, key.created_at)),
            )
            .await?;
            if after.is_none() {
                break;
            }
        }
        self.write_buyers(snapshot, held).await?;
        let held = held.iter().map(|survivor| survivor.units).sum::<i64>();
        let free = snapshot.available();
        Ok(Numbers {
            available: (free - held).max(0),
            held,
            owed: (held - free).max(0),
        })
    }

    async fn copy_records(
        &mut self,
        old: Names,
        new: Names,
        page: &[Survivor],
    ) -> Result<(), RebuildError> {
        let records = self.records(old, page).await?;
        let mut write = redis::pipe();
        let mut owners = Vec::new();
        for (survivor, fields) in page.iter().zip(&records) {
            if fields.is_empty() {
                return Err(RebuildError::LostAgain(old.sale));
            }
            write
                .hset_multiple(new.reservation(survivor.gid), fields)
                .ignore();
            write
                .zadd(new.pending(), survivor.gid.to_string(), survivor.look_at)
                .ignore();
            let message = fields
                .iter()
                .find(|(name, _)| name == "message")
                .and_then(|(_, body)| OrderMessage::parse(body).ok());
            if let Some((idempotency, created_at)) =
                message.and_then(|it| Some((it.idempotency?, it.created_at)))
            {
                owners.push((survivor.user, survivor.order, idempotency, created_at));
            }
        }
        write.exec_async(&mut self.0).await?;
        self.write_keys(new, owners).await?;
        Ok(())
    }

    /// The fields of each survivor's record, in the order of `page`.
    async fn records(
        &mut self,
        old: Names,
        page: &[Survivor],
    ) -> RedisResult<Vec<Vec<(String, Vec<u8>)>>> {
        let mut ask = redis::pipe();
        for survivor in page {
            ask.cmd("HGETALL").arg(old.reservation(survivor.gid));
        }
        let mut records: Vec<Vec<(String, Vec<u8>)>> = ask.query_async(&mut self.0).await?;
        for (survivor, fields) in page.iter().zip(&mut records) {
            if let Record::Lost(message) = &survivor.record {
                let text = |name: &str, value: String| (name.to_owned(), value.into_bytes());
                *fields = vec![
                    text("state", "reserved".to_owned()),
                    text("order", survivor.order.to_string()),
                    text("user", survivor.user.to_string()),
                    text("units", survivor.units.to_string()),
                    ("message".to_owned(), message.clone()),
                ];
            }
        }
        Ok(records)
    }

    async fn write_keys(
        &mut self,
        names: Names,
        keys: impl IntoIterator<Item = (UserId, OrderId, Idempotency, chrono::DateTime<Utc>)>,
    ) -> RedisResult<()> {
        let now = Utc::now();
        let mut write = redis::pipe();
        for (user, order, Idempotency { key, body_hash }, created_at) in keys {
            let left = (KEY_LIFE - (now - created_at)).num_milliseconds();
            if left > 0 {
                write
                    .cmd("SET")
                    .arg(names.key(user, &key))
                    .arg(format!("{order}|{body_hash}"))
                    .arg("PX")
                    .arg(left)
                    .ignore();
            }
        }
        if write.is_empty() {
            Ok(())
        } else {
            write.exec_async(&mut self.0).await
        }
    }

    async fn write_buyers(
        &mut self,
        snapshot: &mut Snapshot,
        held: &[Survivor],
    ) -> Result<(), RebuildError> {
        let name = snapshot.names().buyers();
        let mut holding: HashMap<UserId, (i64, OrderId)> = HashMap::new();
        for survivor in held {
            match holding.entry(survivor.user) {
                Entry::Vacant(free) => {
                    free.insert((survivor.units, survivor.order));
                }
                Entry::Occupied(mut buyer) => {
                    let (units, order) = buyer.get_mut();
                    *units += survivor.units;
                    *order = (*order).max(survivor.order);
                }
            }
        }
        let mut after = UserId::from_uuid(Uuid::nil());
        loop {
            let page = snapshot.buyers(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.user;
            let fields: Vec<_> = page
                .into_iter()
                .map(|buyer| {
                    let (held, order) = holding
                        .remove(&buyer.user)
                        .map_or((0, None), |(units, order)| (units, Some(order)));
                    buyer_field(
                        buyer.user,
                        i64::from(buyer.units) + held,
                        order.max(buyer.last_order),
                    )
                })
                .collect();
            redis::cmd("HSET")
                .arg(&name)
                .arg(fields)
                .exec_async(&mut self.0)
                .await?;
        }
        let fields: Vec<_> = holding
            .into_iter()
            .map(|(user, (units, order))| buyer_field(user, units, Some(order)))
            .collect();
        for page in fields.chunks(PAGE) {
            redis::cmd("HSET")
                .arg(&name)
                .arg(page)
                .exec_async(&mut self.0)
                .await?;
        }
        Ok(())
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
            let old: Vec<String> = names
                .into_iter()
                .filter(|name| is_old(name, epochs))
                .collect();
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

fn buyer_field(user: UserId, units: i64, order: Option<OrderId>) -> (String, String) {
    (
        user.to_string(),
        format!(
            "{units}|{}",
            order.map(|order| order.to_string()).unwrap_or_default()
        ),
    )
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
