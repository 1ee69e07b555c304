//! Whether a failed order could be placed now: what MySQL says before an operator's click, and what Redis says after it.
//!
//! Neither decides. The replay's own decision does.

use crate::{
    ids::OrderId,
    message::OrderMessage,
    status::OrderStatus,
    stock::{Refusal, Reserve, ReserveError, Stock, Window},
};
use chrono::{DateTime, Utc};
use coordinator::statement;
use sqlx::{FromRow, MySql, MySqlPool, QueryBuilder};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// The code of the reason why a failed order would surely be refused now; `None` where it may be tried.
///
/// `not_found` and `already_resolved` (it is not `failed` any more) besides `sale_paused`, `limit_exceeded`, `sold_out` and
/// `insufficient_stock`. Whether the sale is over does not count: the order was admitted in time.
///
/// # Errors
/// What the database says.
pub async fn refusal(db: &MySqlPool, order: OrderId) -> sqlx::Result<Option<&'static str>> {
    let found = outlook(db, order).await?;
    Ok(found.map_or(Some("not_found"), |found| found.refusal(found.units)))
}

/// What a replay of an order would meet in MySQL now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// The order's status.
    pub status: OrderStatus,
    /// Units its row has; a replay may ask for others.
    pub units: i64,
    /// Units of the sale the buyer has.
    pub buyer_units: i64,
    /// Its sale; `None` where it is gone.
    pub sale: Option<SaleNow>,
}

/// A sale as a replay would find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaleNow {
    /// Whether it takes no orders.
    pub paused: bool,
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// When it is over.
    pub ends_at: DateTime<Utc>,
    /// Units that nobody has bought.
    pub available: i64,
    /// Units one buyer may have.
    pub limit: i64,
}

impl Outlook {
    /// Why a replay that asks for so many units would surely be refused now, as [`refusal`] says it.
    #[must_use]
    pub fn refusal(&self, units: i64) -> Option<&'static str> {
        let Some(sale) = &self.sale else {
            return Some("sale_not_found");
        };
        refused(&Facts {
            failed: self.status == OrderStatus::Failed,
            paused: sale.paused,
            units: self.buyer_units,
            limit: sale.limit,
            quantity: units,
            available: sale.available,
        })
    }

    /// Why Redis, which has so many units free and counts so many of the buyer, would not reserve these. It counts those that are only
    /// held, too, so what it refuses now it may have a moment later.
    #[must_use]
    pub fn refusal_of_redis(&self, units: i64, free: i64, of_buyer: i64) -> Option<&'static str> {
        let limit = self.sale.as_ref().map_or(i64::MAX, |sale| sale.limit);
        refused(&Facts {
            failed: true,
            paused: false,
            units: of_buyer,
            limit,
            quantity: units,
            available: free,
        })
    }
}

/// What a replay of the order would meet; `None`: it has no row.
///
/// # Errors
/// What the database says.
pub async fn outlook(db: &MySqlPool, order: OrderId) -> sqlx::Result<Option<Outlook>> {
    let found = sqlx::query!(
        r#"select o.status, o.quantity, s.state as "sale_state?", s.starts_at as "starts_at?: DateTime<Utc>",
                  s.ends_at as "ends_at?: DateTime<Utc>", i.available as "available?", s.per_user_limit as "per_user_limit?",
                  coalesce(b.units, 0) as "units!: i64"
           from orders o left join sales s on s.id = o.sale_id left join sale_inventory i on i.sale_id = o.sale_id
           left join sale_buyers b on b.sale_id = o.sale_id and b.user_id = o.user_id
           where o.id = ?"#,
        order
    )
    .fetch_optional(db)
    .await?;
    let Some(found) = found else { return Ok(None) };
    let sale = match (
        found.sale_state,
        found.starts_at,
        found.ends_at,
        found.available,
        found.per_user_limit,
    ) {
        (Some(state), Some(starts_at), Some(ends_at), Some(available), Some(limit)) => {
            Some(SaleNow {
                paused: state == "paused",
                starts_at,
                ends_at,
                available: i64::from(available),
                limit: i64::from(limit),
            })
        }
        _ => None,
    };
    Ok(Some(Outlook {
        status: found
            .status
            .parse()
            .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))?,
        units: i64::from(found.quantity),
        buyer_units: found.units,
        sale,
    }))
}

/// What the answer depends on.
struct Facts {
    failed: bool,
    paused: bool,
    /// The buyer's, of this sale.
    units: i64,
    limit: i64,
    quantity: i64,
    available: i64,
}

fn refused(facts: &Facts) -> Option<&'static str> {
    if !facts.failed {
        Some("already_resolved")
    } else if facts.paused {
        Some("sale_paused")
    } else if facts.units + facts.quantity > facts.limit {
        Some("limit_exceeded")
    } else if facts.available == 0 {
        Some("sold_out")
    } else if facts.available < facts.quantity {
        Some("insufficient_stock")
    } else {
        None
    }
}

/// What would become of a failed order, were it replayed alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prospect {
    /// Whether the order is `failed`.
    pub failed: bool,
    /// As [`refusal`] says it.
    pub refusal: Option<&'static str>,
    /// Its sale.
    pub sale: Uuid,
    /// Its units.
    pub quantity: i64,
    /// Units of the sale that are left for it and for all others.
    pub available: i64,
}

/// What would become of each of many orders, were it replayed alone: with the units of its row, or those of `edited`. Those without a row
/// are left out.
///
/// # Errors
/// What the database says.
pub async fn prospects(
    db: &MySqlPool,
    orders: &[Uuid],
    edited: &BTreeMap<Uuid, i64>,
) -> sqlx::Result<HashMap<Uuid, Prospect>> {
    let mut found = HashMap::with_capacity(orders.len());
    for orders in statement::runs(orders) {
        let mut query = QueryBuilder::<MySql>::new(
            "select o.id, o.status, o.quantity, o.sale_id, s.state as sale_state, i.available, s.per_user_limit,
                    cast(coalesce(b.units, 0) as signed) as units
             from orders o left join sales s on s.id = o.sale_id left join sale_inventory i on i.sale_id = o.sale_id
             left join sale_buyers b on b.sale_id = o.sale_id and b.user_id = o.user_id
             where o.id in ",
        );
        statement::push_list(&mut query, orders.iter().copied());
        let rows: Vec<Row> = query.build_query_as().fetch_all(db).await?;
        found.extend(rows.into_iter().map(|row| {
            let units = edited.get(&row.id).copied();
            (row.id, row.prospect(units))
        }));
    }
    Ok(found)
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    status: String,
    quantity: i32,
    sale_id: Uuid,
    sale_state: Option<String>,
    available: Option<i32>,
    per_user_limit: Option<i32>,
    units: i64,
}

impl Row {
    fn prospect(&self, edited: Option<i64>) -> Prospect {
        let quantity = edited.unwrap_or_else(|| i64::from(self.quantity));
        let failed = self.status == "failed";
        let refusal = match (&self.sale_state, self.available, self.per_user_limit) {
            (Some(state), Some(available), Some(limit)) => refused(&Facts {
                failed,
                paused: state == "paused",
                units: self.units,
                limit: i64::from(limit),
                quantity,
                available: i64::from(available),
            }),
            _ => Some("sale_not_found"),
        };
        Prospect {
            failed,
            refusal,
            sale: self.sale_id,
            quantity,
            available: i64::from(self.available.unwrap_or_default()),
        }
    }
}

/// Why the units of a replay are not reserved.
#[derive(Debug)]
pub enum NotReserved {
    /// Refused now, with the reason's code. Nothing is held.
    Refused(&'static str),
    /// It may be held, or the sale cannot be asked now: ask again, under the same gid.
    AskAgain(String),
}

/// Reserves the units of a replay under its own gid: without the buyer's key, and whether or not the sale is over.
///
/// Asked again, it is `Ok` again, whatever became of the reservation since: the decision under this gid tells.
///
/// # Errors
/// [`NotReserved`].
pub async fn reserve(stock: &Stock, replay: &OrderMessage) -> Result<(), NotReserved> {
    let message = replay.to_bytes();
    let ask = Reserve {
        sale: replay.sale_id,
        gid: replay.gid,
        order: replay.order_id,
        user: replay.user_id,
        units: replay.quantity,
        idempotency: None,
        message: &message,
        window: Window::Skipped,
    };
    match stock.reserve(&ask).await {
        Ok(_) => Ok(()),
        Err(ReserveError::Refused(refusal)) => match refusal {
            // Too many units of the sale wait for their decision: that passes.
            Refusal::Busy => Err(NotReserved::AskAgain(
                "too many orders are waiting".to_owned(),
            )),
            Refusal::NotOpen => Err(NotReserved::Refused("sale_paused")),
            Refusal::AlreadyOrdered { .. } | Refusal::LimitExceeded => {
                Err(NotReserved::Refused("limit_exceeded"))
            }
            Refusal::SoldOut => Err(NotReserved::Refused("sold_out")),
            Refusal::Insufficient { .. } => Err(NotReserved::Refused("insufficient_stock")),
            Refusal::IdempotencyConflict => Err(NotReserved::Refused("idempotency_conflict")),
        },
        Err(cause @ (ReserveError::Fenced | ReserveError::Unknown(_))) => {
            Err(NotReserved::AskAgain(cause.to_string()))
        }
    }
}
