//! What MySQL holds, asked in plain SQL within one consistent snapshot.
//!
//! Sums and groups are the server's work; rows that must be compared with something outside are streamed.

use crate::{
    checks::Check,
    orders::Orders,
    verdict::Tally,
    witness::{Stored, Witness},
};
use anyhow::Context;
use futures::TryStreamExt;
use sqlx::{Connection, MySqlConnection};
use uuid::Uuid;

/// The orders that hold stock.
macro_rules! taken {
    () => {
        "('confirmed', 'paid', 'shipped', 'delivered')"
    };
}

/// One sale's row, as MySQL has it.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct Sale {
    /// The sale.
    pub id: Uuid,
    /// Units on offer.
    pub total: i32,
    /// Units not yet sold.
    pub available: i32,
    /// Units sold.
    pub sold: i32,
    /// Count of rebuilds of its Redis state.
    pub epoch: i64,
}

/// Connects and begins the snapshot everything is read in.
///
/// # Errors
/// The server cannot be reached or refuses.
pub async fn snapshot(url: &str) -> anyhow::Result<MySqlConnection> {
    let mut db = connect(url).await?;
    sqlx::query("set session transaction isolation level repeatable read")
        .execute(&mut db)
        .await?;
    sqlx::query("start transaction with consistent snapshot, read only")
        .execute(&mut db)
        .await?;
    Ok(db)
}

/// Connects.
///
/// # Errors
/// The server cannot be reached.
pub async fn connect(url: &str) -> anyhow::Result<MySqlConnection> {
    MySqlConnection::connect(url)
        .await
        .context("cannot connect to MySQL")
}

/// All sales.
///
/// # Errors
/// MySQL does not answer.
pub async fn sales(db: &mut MySqlConnection) -> sqlx::Result<Vec<Sale>> {
    sqlx::query_as(
        "select sale_id as id, total, available, sold, epoch from sale_inventory order by sale_id",
    )
    .fetch_all(db)
    .await
}

/// Promise 1 as far as MySQL alone can show it.
///
/// # Errors
/// MySQL does not answer.
pub async fn check_sales(
    db: &mut MySqlConnection,
    sales: &[Sale],
    tally: &mut Tally,
) -> sqlx::Result<()> {
    for sale in sales {
        tally.note(Check::MysqlConserved, sale.is_conserved(), || {
            sale.describe()
        });
    }
    check_sold(db, tally).await?;
    check_buyers(db, tally).await?;
    check_limits(db, tally).await?;
    check_keys(db, tally).await
}

impl Sale {
    /// Total = available + sold, nothing negative.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.total == self.available + self.sold && self.available >= 0 && self.sold >= 0
    }

    /// Its numbers as a violation tells them.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "sale {}: MySQL total {}, available {}, sold {}",
            self.id, self.total, self.available, self.sold
        )
    }
}

async fn check_sold(db: &mut MySqlConnection, tally: &mut Tally) -> sqlx::Result<()> {
    let sums: Vec<(Uuid, i64, i64)> = sqlx::query_as(concat!(
        "select sale_id, cast(sum(sold) as signed), cast(sum(taken) as signed) from (
             select sale_id, sold, 0 as taken from sale_inventory
             union all select sale_id, 0, quantity from orders where status in ",
        taken!(),
        ") both_sides group by sale_id"
    ))
    .fetch_all(db)
    .await?;
    for (sale, sold, taken) in sums {
        tally.note(Check::SoldIsTaken, sold == taken, || {
            format!("sale {sale}: sold {sold}, its orders take {taken}")
        });
    }
    Ok(())
}

async fn check_buyers(db: &mut MySqlConnection, tally: &mut Tally) -> sqlx::Result<()> {
    let mut sums = sqlx::query_as::<_, (Uuid, Uuid, i64, i64)>(concat!(
        "select sale_id, user_id, cast(sum(units) as signed), cast(sum(taken) as signed) from (
             select sale_id, user_id, units, 0 as taken from sale_buyers
             union all select sale_id, user_id, 0, quantity from orders where status in ",
        taken!(),
        ") both_sides group by sale_id, user_id"
    ))
    .fetch(db);
    while let Some((sale, user, units, taken)) = sums.try_next().await? {
        tally.note(Check::BuyersAgree, units == taken, || {
            format!("sale {sale}, user {user}: {units} units, their orders take {taken}")
        });
    }
    Ok(())
}

async fn check_limits(db: &mut MySqlConnection, tally: &mut Tally) -> sqlx::Result<()> {
    let mut buyers = sqlx::query_as::<_, (Uuid, Uuid, i32, i32)>(
        "select b.sale_id, b.user_id, b.units, s.per_user_limit from sale_buyers b join sales s on s.id = b.sale_id",
    )
    .fetch(db);
    while let Some((sale, user, units, limit)) = buyers.try_next().await? {
        tally.note(Check::LimitKept, (0..=limit).contains(&units), || {
            format!("sale {sale}, user {user}: {units} units, the limit is {limit}")
        });
    }
    Ok(())
}

/// A key's second order can only be one that was refused, or that failed.
async fn check_keys(db: &mut MySqlConnection, tally: &mut Tally) -> sqlx::Result<()> {
    let (keys,): (i64,) =
        sqlx::query_as("select count(distinct sale_id, user_id, idempotency_key) from orders")
            .fetch_one(&mut *db)
            .await?;
    let doubled: Vec<(Uuid, Uuid, String, i64)> = sqlx::query_as(
        "select sale_id, user_id, idempotency_key, count(*) from orders
         where idempotency_key is not null and status not in ('rejected', 'failed')
         group by sale_id, user_id, idempotency_key having count(*) > 1",
    )
    .fetch_all(db)
    .await?;
    tally.passed(
        Check::OneOrderPerKey,
        u64::try_from(keys)
            .unwrap_or(0)
            .saturating_sub(doubled.len() as u64),
    );
    for (sale, user, key, orders) in doubled {
        tally.note(Check::OneOrderPerKey, false, || {
            format!("sale {sale}, user {user}, key {key:?}: {orders} orders were granted")
        });
    }
    Ok(())
}

/// Walks all orders in the order of their ids, judges each and compares it with the journals.
///
/// # Errors
/// MySQL does not answer.
pub async fn walk_orders(
    db: &mut MySqlConnection,
    witness: &mut Witness,
    tally: &mut Tally,
) -> sqlx::Result<Orders> {
    let mut orders = Orders::default();
    let mut rows = sqlx::query_as::<_, OrderRow>(
        "select id, gid, generation, user_id, sale_id, quantity, status, reason, idempotency_key from orders order by id",
    )
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        orders.judge(&row, tally);
        let stored = Stored {
            id: row.id,
            sale: row.sale_id,
            user: row.user_id,
            key: row.idempotency_key.as_deref(),
            quantity: row.quantity,
            granted: row.was_granted(),
        };
        witness.compare(stored, row.status == "rejected", tally);
    }
    witness.finish(tally);
    Ok(orders)
}

/// One order, as MySQL has it.
#[derive(Debug, sqlx::FromRow)]
pub struct OrderRow {
    /// The order.
    pub id: Uuid,
    /// Its transaction.
    pub gid: Uuid,
    /// Which replay that transaction was.
    pub generation: i32,
    /// Whose it is.
    pub user_id: Uuid,
    /// What it buys from.
    pub sale_id: Uuid,
    /// Units.
    pub quantity: i32,
    /// Its end state.
    pub status: String,
    /// Why it was not granted.
    pub reason: Option<String>,
    /// The buyer's key.
    pub idempotency_key: Option<String>,
}

impl OrderRow {
    /// Stock was given to it, whatever became of it since.
    #[must_use]
    pub fn was_granted(&self) -> bool {
        !matches!(self.status.as_str(), "rejected" | "failed")
    }
}

/// Walks all transactions: finished, one an order, and of the order's outcome.
///
/// # Errors
/// MySQL does not answer.
pub async fn walk_transactions(
    db: &mut MySqlConnection,
    orders: &Orders,
    tally: &mut Tally,
) -> sqlx::Result<()> {
    let mut rows =
        sqlx::query_as::<_, (Uuid, String, String)>("select gid, kind, state from transactions")
            .fetch(db);
    while let Some((gid, kind, state)) = rows.try_next().await? {
        orders.judge_transaction(gid, &kind, &state, tally);
    }
    Ok(())
}

/// What still goes on by itself: transactions, orders to be tried again, replays, and alerts nobody tried to send yet.
///
/// # Errors
/// MySQL does not answer.
pub async fn unfinished(db: &mut MySqlConnection) -> sqlx::Result<(i64, i64, i64, i64)> {
    sqlx::query_as(
        "select (select count(*) from transactions where state in ('begun', 'prepared', 'committing', 'rolling_back')),
                (select count(*) from compensations where state in ('scheduled', 'dead', 'archiving')),
                (select count(*) from operation_items where state in ('requested', 'processing')),
                (select count(*) from alert_outbox where state = 'pending' and attempts = 0 and channel <> '')
                + (select count(*) from alerts where incident_id is null)",
    )
    .fetch_one(db)
    .await
}
