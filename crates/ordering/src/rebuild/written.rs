//! What a sale has in the new epoch, beside its survivors: buyers' units and buyers' keys, read page by page and written while the
//! next page is read, so that a million buyers cost the time of one side and the memory of two pages.

use super::{
    RebuildError,
    node::Node,
    snapshot::{Buyer, Snapshot, View},
    survivors::Survivor,
};
use crate::{ids::OrderId, keys::Names, message::Idempotency};
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::try_join;
use identity::UserId;
use redis::RedisResult;
use std::collections::{HashMap, hash_map::Entry};

/// How long a buyer's key is good for.
const KEY_LIFE: TimeDelta = TimeDelta::hours(24);
/// Buyers without an order in MySQL that are written in one round trip.
const PAGE: usize = 500;

/// The hash's numbers in the new epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub available: i64,
    pub held: i64,
    pub owed: i64,
}

/// Units that survivors hold, by buyer, with the latest order of each.
type Holding = HashMap<UserId, (i64, OrderId)>;

impl Node {
    /// Writes the sale under its new epoch's names: the snapshot, and `held` with record, key and buyer's units.
    pub async fn write(
        &mut self,
        snapshot: &mut Snapshot,
        old_epoch: Option<i64>,
        held: &[Survivor],
    ) -> Result<Numbers, RebuildError> {
        let names = snapshot.names();
        let old = Names {
            epoch: old_epoch.unwrap_or_default(),
            ..names
        };
        self.make_room(old, names).await?;
        self.copy_records(old, names, held).await?;
        // After the survivors' keys: where both name one, the decided order has it.
        match snapshot.views() {
            (view, Some(beside)) => {
                let mut node = self.clone();
                try_join(node.write_all_keys(beside), self.write_buyers(view, held)).await?;
            }
            (view, None) => {
                self.write_all_keys(view).await?;
                self.write_buyers(view, held).await?;
            }
        }
        let held = held.iter().map(|survivor| survivor.units).sum::<i64>();
        let free = snapshot.available();
        Ok(Numbers {
            available: (free - held).max(0),
            held,
            owed: (held - free).max(0),
        })
    }

    async fn write_all_keys(&mut self, view: &mut View) -> Result<(), RebuildError> {
        let names = view.names();
        let mut page = view.keys(None).await?;
        while let Some(last) = page.last() {
            let after = last.order;
            let next = async {
                if page.len() < View::PAGE {
                    return Ok(Vec::new());
                }
                view.keys(Some(after)).await.map_err(RebuildError::from)
            };
            let keys = page
                .iter()
                .map(|key| (key.user, key.order, &key.idempotency, key.created_at));
            let writing = async {
                self.write_keys(names, keys)
                    .await
                    .map_err(RebuildError::from)
            };
            let ((), next) = try_join(writing, next).await?;
            page = next;
        }
        Ok(())
    }

    /// Keys and the orders that own them, for what is left of their day.
    pub async fn write_keys<'a>(
        &mut self,
        names: Names,
        keys: impl IntoIterator<Item = (UserId, OrderId, &'a Idempotency, DateTime<Utc>)>,
    ) -> RedisResult<()> {
        let now = Utc::now();
        let mut write = redis::pipe();
        for (user, order, Idempotency { key, body_hash }, created_at) in keys {
            let left = (KEY_LIFE - (now - created_at)).num_milliseconds();
            if left > 0 {
                write
                    .cmd("SET")
                    .arg(names.key(user, key))
                    .arg(format!("{order}|{body_hash}"))
                    .arg("PX")
                    .arg(left)
                    .ignore();
            }
        }
        if write.is_empty() {
            Ok(())
        } else {
            write.exec_async(self.connection()).await
        }
    }

    async fn write_buyers(
        &mut self,
        view: &mut View,
        held: &[Survivor],
    ) -> Result<(), RebuildError> {
        let name = view.names().buyers();
        let mut holding = by_buyer(held);
        let mut page = view.buyers(None).await?;
        while let Some(last) = page.last() {
            let after = last.user;
            let fields: Vec<_> = page
                .iter()
                .map(|buyer| with_what_is_held(buyer, &mut holding))
                .collect();
            let next = async {
                if page.len() < View::PAGE {
                    return Ok(Vec::new());
                }
                view.buyers(Some(after)).await.map_err(RebuildError::from)
            };
            let writing = async {
                self.write_fields(&name, &fields)
                    .await
                    .map_err(RebuildError::from)
            };
            let ((), next) = try_join(writing, next).await?;
            page = next;
        }
        let fields: Vec<_> = holding
            .into_iter()
            .map(|(user, (units, order))| buyer_field(user, units, Some(order)))
            .collect();
        for page in fields.chunks(PAGE) {
            self.write_fields(&name, page).await?;
        }
        Ok(())
    }

    async fn write_fields(&mut self, name: &str, fields: &[(String, String)]) -> RedisResult<()> {
        redis::cmd("HSET")
            .arg(name)
            .arg(fields)
            .exec_async(self.connection())
            .await
    }
}

fn by_buyer(held: &[Survivor]) -> Holding {
    let mut holding = Holding::new();
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
    holding
}

fn with_what_is_held(buyer: &Buyer, holding: &mut Holding) -> (String, String) {
    let (held, order) = holding
        .remove(&buyer.user)
        .map_or((0, None), |(units, order)| (units, Some(order)));
    buyer_field(
        buyer.user,
        i64::from(buyer.units) + held,
        order.max(buyer.last_order),
    )
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
