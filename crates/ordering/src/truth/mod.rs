//! What is true of one order, wherever something is written of it: its row, its transactions with their branches, what Redis holds for
//! it, its sale and its buyer in both stores; and [what that means](fn@verdict).
//!
//! It reads and changes nothing. MySQL is read first, then Redis, then MySQL again, so that what is final in MySQL was told to Redis
//! before Redis is asked. Redis may be away: it has [`REDIS_WITHIN`] to answer, and what it does not tell is unknown, not wrong. What is
//! being done about the order is for the caller to know, for this crate knows no retries and no archive.

mod verdict;

pub use verdict::{Mend, Verdict, Waits, Wrong, verdict};

use crate::{
    ids::{OrderId, SaleId},
    keys::Names,
    reconcile::{self, Numbers, Row},
    status::OrderStatus,
    stock::{Reservation, Stock, StockError, looks::Look},
};
use chrono::{DateTime, Utc};
use coordinator::{
    Gid, Outcome,
    control::{self, Details},
};
use identity::UserId;
use sqlx::MySqlPool;
use std::{collections::HashMap, time::Duration};
use tokio::time::timeout;
use uuid::Uuid;

/// What Redis has for all its answers: a page that shows them waits no longer.
pub const REDIS_WITHIN: Duration = Duration::from_millis(300);

/// Which order, and what the caller knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The order.
    pub order: OrderId,
    /// Its sale.
    pub sale: SaleId,
    /// Its buyer.
    pub user: UserId,
    /// Transactions that were to settle it, as far as they are known. The one that counts is found by itself.
    pub gids: Vec<Gid>,
    /// What is being done about it.
    pub repairs: Repairs,
}

impl Asked {
    /// The same of ids as an archive keeps them.
    #[must_use]
    pub fn of(order: Uuid, sale: Uuid, user: Uuid, gids: Vec<Uuid>, repairs: Repairs) -> Self {
        Self {
            order: OrderId::from_uuid(order),
            sale: SaleId::from_uuid(sale),
            user: UserId::from_uuid(user),
            gids: gids.into_iter().map(Gid::from_uuid).collect(),
            repairs,
        }
    }
}

/// What is being done about an order that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repairs {
    /// It is being tried, given up or replayed.
    UnderWay,
    /// It was given up without a decision; its units are kept for it.
    Held,
    /// It was given up. A person decides what becomes of it.
    GivenUp,
    /// Nothing is left to do.
    Over,
}

/// All of it. What Redis said and what MySQL said belong together as the module tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// What was asked for.
    pub asked: Asked,
    /// The order's row; `None` while no decision made one.
    pub order: Option<OrderRow>,
    /// Its transactions, the one that counts last.
    pub transactions: Vec<Known>,
    /// Its sale's row.
    pub sale: Option<SaleRow>,
    /// Its buyer's rows.
    pub buyer: Buyer,
    /// What Redis has.
    pub redis: Result<InRedis, Unknown>,
    /// What the sale's numbers say in both; `None` where Redis did not tell, or there is no sale.
    pub compared: Option<reconcile::Verdict>,
}

/// An order's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// The transaction that counts.
    pub gid: Gid,
    /// Which generation it was.
    pub generation: u32,
    /// The order's status.
    pub status: OrderStatus,
    /// Why, where it was refused or given up.
    pub reason: Option<String>,
    /// Its units.
    pub units: u32,
    /// When it was decided.
    pub decided_at: DateTime<Utc>,
}

/// A transaction that was to settle the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The transaction.
    pub gid: Gid,
    /// Its row with its branches; `None` where it was never decided, or retention removed it.
    pub details: Option<Details>,
}

/// A sale's row of the inventory, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaleRow {
    /// Units of the sale.
    pub total: i64,
    /// Units that can still be sold.
    pub available: i64,
    /// Units sold.
    pub sold: i64,
    /// How often its Redis state was rebuilt.
    pub epoch: i64,
}

/// A buyer's units of the sale in MySQL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Buyer {
    /// Those the buyer is counted as having.
    pub units: i64,
    /// Those of the buyer's orders that stand.
    pub ordered: i64,
}

/// What Redis has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InRedis {
    /// The sale's epoch.
    pub epoch: i64,
    /// The sale's numbers.
    pub numbers: Numbers,
    /// The buyer's units, those that are only held among them.
    pub units: i64,
    /// Reservations of the order's transactions, as far as there are any.
    pub reservations: HashMap<Gid, Reservation>,
}

/// Why Redis did not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// It did not answer in time.
    Away,
    /// The sale is being rebuilt, or has to be.
    BeingRebuilt,
    /// Nobody is to be asked.
    NotAsked,
}

impl OrderRow {
    /// How the transaction that counts was decided.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.status.outcome(self.reason.as_deref())
    }
}

impl Unknown {
    /// A stable code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::BeingRebuilt => "being_rebuilt",
            Self::NotAsked => "not_asked",
        }
    }
}

impl From<StockError> for Unknown {
    fn from(cause: StockError) -> Self {
        match cause {
            StockError::Fenced => Self::BeingRebuilt,
            StockError::Full | StockError::NoAnswer(_) | StockError::UnknownReply(_) => Self::Away,
        }
    }
}

/// Looks at everything. Without a stock node, or while it is away, MySQL's part of it.
///
/// # Errors
/// What MySQL says.
pub async fn of_order(db: &MySqlPool, stock: Option<&Stock>, asked: Asked) -> sqlx::Result<Truth> {
    let order = order_row(db, asked.order).await?;
    let mut transactions = Vec::with_capacity(asked.gids.len() + 1);
    for gid in gids(&asked, order.as_ref()) {
        let details = control::get(db, gid).await?;
        transactions.push(Known { gid, details });
    }
    let before = InMysql::read(db, &asked).await?;
    let looked = match (stock, &before.sale) {
        (Some(stock), Some(sale)) => look(stock, &asked, sale.epoch, &transactions).await,
        _ => Err(Unknown::NotAsked),
    };
    let after = InMysql::read(db, &asked).await?;
    let compared = match (&looked, &before.sale, &after.sale) {
        (Ok(look), Some(was), Some(is)) if before.buyer == after.buyer => {
            was.compare(&look.hash, is)
        }
        (Ok(_), Some(_), Some(_)) => Some(reconcile::Verdict::OnTheWay),
        _ => None,
    };
    Ok(Truth {
        redis: looked.and_then(|look| InRedis::of(look).ok_or(Unknown::BeingRebuilt)),
        sale: after.sale.map(|row| SaleRow {
            total: row.total,
            available: row.available,
            sold: row.sold,
            epoch: row.epoch,
        }),
        buyer: after.buyer,
        asked,
        order,
        transactions,
        compared,
    })
}

/// Those of the caller once each, and the one that counts at the end.
fn gids(asked: &Asked, order: Option<&OrderRow>) -> Vec<Gid> {
    let mut gids: Vec<Gid> = Vec::with_capacity(asked.gids.len() + 1);
    for gid in &asked.gids {
        if !gids.contains(gid) && order.is_none_or(|order| order.gid != *gid) {
            gids.push(*gid);
        }
    }
    gids.extend(order.map(|order| order.gid));
    gids
}

async fn look(
    stock: &Stock,
    asked: &Asked,
    epoch: i64,
    transactions: &[Known],
) -> Result<Look, Unknown> {
    let names = Names {
        sale: asked.sale,
        epoch,
    };
    let gids: Vec<Gid> = transactions.iter().map(|known| known.gid).collect();
    match timeout(REDIS_WITHIN, stock.look(names, asked.user, &gids)).await {
        Ok(looked) => looked.map_err(Unknown::from),
        Err(_) => Err(Unknown::Away),
    }
}

impl InRedis {
    fn of(look: Look) -> Option<Self> {
        Some(Self {
            epoch: look.hash.open_epoch()?,
            numbers: look.hash.numbers()?,
            units: look.units,
            reservations: look.reservations,
        })
    }
}

async fn order_row(db: &MySqlPool, order: OrderId) -> sqlx::Result<Option<OrderRow>> {
    let row = sqlx::query!(
        r#"select gid as "gid: Gid", generation as "generation: u32", status, reason, quantity as "quantity: u32",
                  decided_at as "decided_at: DateTime<Utc>"
           from orders where id = ?"#,
        order
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(OrderRow {
            gid: row.gid,
            generation: row.generation,
            status: row
                .status
                .parse()
                .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))?,
            reason: row.reason,
            units: row.quantity,
            decided_at: row.decided_at,
        })
    })
    .transpose()
}

/// Sale and buyer at about one moment: where nothing of them changed between two of these, Redis can be compared with them.
struct InMysql {
    sale: Option<Row>,
    buyer: Buyer,
}

impl InMysql {
    async fn read(db: &MySqlPool, asked: &Asked) -> sqlx::Result<Self> {
        let buyer = sqlx::query!(
            r#"select cast(coalesce((select units from sale_buyers where sale_id = ? and user_id = ?), 0) as signed) as "units!: i64",
                      cast(coalesce((select sum(quantity) from orders where user_id = ? and sale_id = ?
                                     and status in ('confirmed', 'paid', 'shipped', 'delivered')), 0) as signed) as "ordered!: i64""#,
            asked.sale,
            asked.user,
            asked.user,
            asked.sale
        )
        .fetch_one(db)
        .await?;
        Ok(Self {
            sale: Row::of(db, asked.sale).await?,
            buyer: Buyer {
                units: buyer.units,
                ordered: buyer.ordered,
            },
        })
    }
}
