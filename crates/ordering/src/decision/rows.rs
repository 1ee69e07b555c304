//! The statements of a decision. Each takes a whole batch; rows are locked in the order of their keys.

use super::{
    buyer_of,
    grant::{BuyerOf, Holding, Inventory, Shelves},
};
use crate::{
    ids::{OrderId, SaleId},
    message::OrderMessage,
    status::{ARCHIVED, OrderStatus},
    work::{Act, OrderWork},
};
use coordinator::{
    Gid, Verdict,
    statement::{filled_up, push_list, runs},
};
use identity::UserId;
use sqlx::{MySql, MySqlConnection, QueryBuilder, Row};
use std::collections::{BTreeSet, HashMap};

/// What an order's row says before this decision.
pub(super) struct ExistingOrder {
    pub gid: Gid,
    pub generation: u32,
    pub status: OrderStatus,
    pub reason: Option<String>,
}

/// Locks the rows these orders have already.
pub(super) async fn lock_existing(
    db: &mut MySqlConnection,
    messages: &[&OrderMessage],
) -> sqlx::Result<HashMap<OrderId, ExistingOrder>> {
    let ids: BTreeSet<OrderId> = messages.iter().map(|message| message.order_id).collect();
    let mut query = QueryBuilder::<MySql>::new(
        "select id, gid, generation, status, reason from orders where id in ",
    );
    push_list(&mut query, ids);
    query.push(" order by id for update");
    let rows = query.build().fetch_all(&mut *db).await?;
    rows.iter()
        .map(|row| {
            let status = row
                .try_get::<&str, _>("status")?
                .parse()
                .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))?;
            let existing = ExistingOrder {
                gid: row.try_get("gid")?,
                generation: row
                    .try_get::<i32, _>("generation")?
                    .try_into()
                    .unwrap_or_default(),
                status,
                reason: row.try_get("reason")?,
            };
            Ok((row.try_get("id")?, existing))
        })
        .collect()
}

/// Makes, locks and reads the buyers' rows. The upsert adds 0 units, so that a first-time buyer's row is there to be locked.
pub(super) async fn lock_buyers(
    db: &mut MySqlConnection,
    messages: &[&OrderMessage],
    shelves: &mut Shelves,
) -> sqlx::Result<()> {
    let buyers: BTreeSet<BuyerOf> = messages.iter().map(|message| buyer_of(message)).collect();
    if buyers.is_empty() {
        return Ok(());
    }
    let buyers: Vec<BuyerOf> = buyers.into_iter().collect();
    for buyers in runs(&buyers) {
        let mut query =
            QueryBuilder::<MySql>::new("insert into sale_buyers (sale_id, user_id, units) ");
        query.push_values(buyers, |mut row, (sale, user)| {
            row.push_bind(sale).push_bind(user).push("0");
        });
        query.push(" on duplicate key update units = units + 0");
        query.build().execute(&mut *db).await?;
    }

    let mut query = QueryBuilder::<MySql>::new(
        "select sale_id, user_id, units from sale_buyers where (sale_id, user_id) in ",
    );
    query.push_tuples(filled_up(buyers), |mut row, (sale, user)| {
        row.push_bind(sale).push_bind(user);
    });
    for row in query.build().fetch_all(&mut *db).await? {
        let holding = Holding {
            units: row.try_get("units")?,
            ..Holding::default()
        };
        shelves
            .holdings
            .insert((row.try_get("sale_id")?, row.try_get("user_id")?), holding);
    }
    Ok(())
}

/// Reads which keys other orders of these buyers hold. Their rows are locked, so nobody else writes such an order now.
pub(super) async fn read_keys(
    db: &mut MySqlConnection,
    messages: &[&OrderMessage],
    shelves: &mut Shelves,
) -> sqlx::Result<()> {
    let users: BTreeSet<UserId> = messages
        .iter()
        .filter(|message| message.idempotency.is_some())
        .map(|message| message.user_id)
        .collect();
    if users.is_empty() {
        return Ok(());
    }
    let own: BTreeSet<OrderId> = messages.iter().map(|message| message.order_id).collect();
    let mut query = QueryBuilder::<MySql>::new(
        "select id, sale_id, user_id, idempotency_key from orders \
         where idempotency_key is not null and decided_at >= utc_timestamp(3) - interval 24 hour and user_id in ",
    );
    push_list(&mut query, users);
    for row in query.build().fetch_all(&mut *db).await? {
        // A replay holds its own key already.
        if !own.contains(&row.try_get("id")?) {
            let buyer = (row.try_get("sale_id")?, row.try_get("user_id")?);
            shelves
                .keys
                .insert((buyer, row.try_get("idempotency_key")?));
        }
    }
    Ok(())
}

/// Locks the sales' rows, the last and hottest of all.
pub(super) async fn lock_inventory(
    db: &mut MySqlConnection,
    messages: &[&OrderMessage],
    shelves: &mut Shelves,
) -> sqlx::Result<()> {
    let sales: BTreeSet<SaleId> = messages.iter().map(|message| message.sale_id).collect();
    // The limit is read in a subquery of its own: its row is not to be locked.
    let mut query = QueryBuilder::<MySql>::new(
        "select sale_id, available, epoch, \
         (select per_user_limit from sales where sales.id = sale_inventory.sale_id) as per_user_limit \
         from sale_inventory where sale_id in ",
    );
    push_list(&mut query, sales);
    query.push(" order by sale_id for update");
    for row in query.build().fetch_all(&mut *db).await? {
        let inventory = Inventory {
            available: row.try_get("available")?,
            per_user_limit: row.try_get("per_user_limit")?,
            epoch: row.try_get("epoch")?,
            taken: 0,
        };
        shelves.inventory.insert(row.try_get("sale_id")?, inventory);
    }
    Ok(())
}

/// Writes what was granted and given back to the sales' and the buyers' rows.
pub(super) async fn take_units(db: &mut MySqlConnection, shelves: &Shelves) -> sqlx::Result<()> {
    for (sale, inventory) in shelves
        .inventory
        .iter()
        .filter(|(_, inventory)| inventory.taken != 0)
    {
        sqlx::query!(
            "update sale_inventory set available = available - ?, sold = sold + ? where sale_id = ?",
            inventory.taken,
            inventory.taken,
            sale
        )
        .execute(&mut *db)
        .await?;
    }
    // An upsert would check the negative row before it finds the one that is there.
    for ((sale, user), holding) in shelves
        .holdings
        .iter()
        .filter(|(_, holding)| holding.added < 0)
    {
        sqlx::query!(
            "update sale_buyers set units = units + ? where sale_id = ? and user_id = ?",
            holding.added,
            sale,
            user
        )
        .execute(&mut *db)
        .await?;
    }
    let mut granted: Vec<(&BuyerOf, &Holding)> = shelves
        .holdings
        .iter()
        .filter(|(_, holding)| holding.added > 0)
        .collect();
    granted.sort_unstable_by_key(|(buyer, _)| **buyer);
    for granted in runs(&granted) {
        let mut query = QueryBuilder::<MySql>::new(
            "insert into sale_buyers (sale_id, user_id, units, last_order_id) ",
        );
        query.push_values(granted, |mut row, ((sale, user), holding)| {
            row.push_bind(*sale)
                .push_bind(*user)
                .push_bind(holding.added)
                .push_bind(holding.last_order);
        });
        query.push(" on duplicate key update units = units + values(units), last_order_id = values(last_order_id)");
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

/// An order's row as this decision writes it.
pub(super) struct NewOrder<'a> {
    message: &'a OrderMessage,
    status: OrderStatus,
    reason: Option<String>,
}

impl<'a> NewOrder<'a> {
    pub fn new(work: &'a OrderWork, verdict: &Verdict) -> Self {
        let (status, reason) = match (work.act(), verdict) {
            (Act::Archive, _) => (OrderStatus::Failed, Some(ARCHIVED.to_owned())),
            (_, Verdict::Refused(reason)) => (OrderStatus::Rejected, Some(reason.clone())),
            (_, Verdict::Granted | Verdict::AlreadySettled(_)) => (OrderStatus::Confirmed, None),
        };
        Self {
            message: work.message(),
            status,
            reason,
        }
    }
}

/// Inserts orders that had no row.
pub(super) async fn insert(db: &mut MySqlConnection, orders: &[NewOrder<'_>]) -> sqlx::Result<()> {
    for orders in runs(orders) {
        let mut query = QueryBuilder::<MySql>::new(
            "insert into orders (id, gid, generation, user_id, sale_id, quantity, price, status, reason, remark, \
             idempotency_key, body_hash, created_at, decided_at) ",
        );
        query.push_values(orders, |mut row, order| {
            let NewOrder {
                message,
                status,
                reason,
            } = order;
            let (key, body_hash) = message
                .idempotency
                .as_ref()
                .map(|known| (&known.key, &known.body_hash))
                .unzip();
            row.push_bind(message.order_id)
                .push_bind(message.gid)
                .push_bind(message.generation)
                .push_bind(message.user_id)
                .push_bind(message.sale_id)
                .push_bind(message.quantity.get())
                .push_bind(message.price)
                .push_bind(status.as_str())
                .push_bind(reason)
                .push_bind(message.remark.as_deref())
                .push_bind(key)
                .push_bind(body_hash)
                .push_bind(message.created_at)
                .push("utc_timestamp(3)");
        });
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

/// Gives failed orders the outcome of their next generation, and what that one asked for: a person may have edited it. What its units
/// are is read from the row wherever it is taken back. Their rows are locked.
///
/// Of a remark that was admitted before there was a limit as much is written as the column takes, as when it was given up.
pub(super) async fn take_over(
    db: &mut MySqlConnection,
    orders: &[NewOrder<'_>],
) -> sqlx::Result<()> {
    for NewOrder {
        message,
        status,
        reason,
    } in orders
    {
        sqlx::query!(
            "update orders set gid = ?, generation = ?, quantity = ?, price = ?, remark = left(?, 500), status = ?, reason = ?, \
             decided_at = utc_timestamp(3) where id = ? and status = 'failed'",
            message.gid,
            message.generation,
            message.quantity.get(),
            message.price,
            message.remark.as_deref(),
            status.as_str(),
            reason,
            message.order_id
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// Takes confirmed orders back, and says why. Their rows are locked.
pub(super) async fn cancel(db: &mut MySqlConnection, orders: &[&OrderWork]) -> sqlx::Result<()> {
    for work in orders {
        sqlx::query!(
            "update orders set status = 'cancelled', reason = ? where id = ? and status = 'confirmed'",
            work.taken_back().reason(),
            work.message().order_id
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}
