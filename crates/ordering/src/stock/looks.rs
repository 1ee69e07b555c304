//! A sale, one of its buyers and some reservations as they stand, for whoever compares them with MySQL. Reads only.

use super::{Reservation, Stock, StockError, reserve, scripts};
use crate::{
    keys::{self, Names},
    reconcile::{FIELDS, Hash, HashFields},
};
use coordinator::Gid;
use identity::UserId;
use std::collections::HashMap;

/// What was seen of a sale in one epoch.
pub(crate) struct Look {
    /// Its hash.
    pub hash: Hash,
    /// The buyer's units, those that are only held among them.
    pub units: i64,
    /// Those of the reservations that are there.
    pub reservations: HashMap<Gid, Reservation>,
}

impl Stock {
    /// Looks at a sale in the epoch MySQL knows: first at the reservations, one by one, then at numbers and buyer at one instant.
    ///
    /// # Errors
    /// When the sale is fenced, in another epoch, or Redis does not answer.
    pub(crate) async fn look(
        &self,
        names: Names,
        user: UserId,
        gids: &[Gid],
    ) -> Result<Look, StockError> {
        let mut reservations = HashMap::with_capacity(gids.len());
        for gid in gids {
            if let Some(found) = self.reservation_in(names, *gid).await? {
                reservations.insert(*gid, found);
            }
        }
        let mut ask = redis::pipe();
        ask.atomic()
            .cmd("HMGET")
            .arg(keys::stock(names.sale))
            .arg(&FIELDS)
            .cmd("HGET")
            .arg(names.buyers())
            .arg(user.to_string());
        let (fields, buyer): (HashFields, Option<String>) =
            ask.query_async(&mut self.redis.clone()).await?;
        let hash = Hash::from(fields);
        if hash.open_epoch() != Some(names.epoch) {
            return Err(StockError::Fenced);
        }
        Ok(Look {
            hash,
            units: buyer.as_deref().map_or(Ok(0), units_of)?,
            reservations,
        })
    }

    /// KEYS and ARGV as `lua/reservation.lua` lists them. A node that lost its scripts answers for no sale.
    async fn reservation_in(
        &self,
        names: Names,
        gid: Gid,
    ) -> Result<Option<Reservation>, StockError> {
        let mut call =
            scripts::RESERVATION.call(&[keys::stock(names.sale), names.reservation(gid)]);
        call.arg(names.epoch);
        reserve::found(&self.send(&call).await?)
    }
}

/// A buyer is kept as `units|latest order id`.
fn units_of(buyer: &str) -> Result<i64, StockError> {
    let units = buyer
        .split_once('|')
        .and_then(|(units, _)| units.parse().ok());
    units.ok_or_else(|| StockError::UnknownReply(format!("a buyer kept as {buyer:.80}")))
}
