//! Orders as their buyers read them. Decisions write them.

use crate::{
    ids::{OrderId, SaleId},
    paging::Paging,
    status::OrderStatus,
};
use chrono::{DateTime, Utc};
use identity::UserId;
use sqlx::MySqlPool;

/// An order that was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The order.
    pub id: OrderId,
    /// The sale it belongs to.
    pub sale_id: SaleId,
    /// Who ordered.
    pub user_id: UserId,
    /// Units.
    pub quantity: u32,
    /// What a buyer is told.
    pub status: ShownStatus,
    /// Why it was rejected; `unpaid` where it was cancelled because nobody paid in time.
    pub reason: Option<String>,
    /// When it was admitted.
    pub created_at: DateTime<Utc>,
}

/// What a buyer is told of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownStatus {
    /// Not written yet, or written and not counted as sold in Redis yet: who reads `confirmed` finds it in the stock, too.
    Processing,
    /// As it is stored.
    Settled(OrderStatus),
}

impl ShownStatus {
    /// How it is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Settled(status) => status.as_str(),
        }
    }
}

/// An order of `user`. Another's order is not there.
///
/// # Errors
/// What the database says.
pub async fn find(db: &MySqlPool, user: UserId, order: OrderId) -> sqlx::Result<Option<Order>> {
    sqlx::query_as!(
        Row,
        r#"select o.id as "id: OrderId", o.sale_id as "sale_id: SaleId", o.user_id as "user_id: UserId",
                  o.quantity as "quantity: u32", o.status, o.reason, o.created_at as "created_at: DateTime<Utc>",
                  t.gid is not null as "committing: bool"
           from orders o left join transactions t on t.gid = o.gid and t.state = 'committing'
           where o.id = ? and o.user_id = ?"#,
        order,
        user
    )
    .fetch_optional(db)
    .await?
    .map(Row::view)
    .transpose()
}

/// A page of the orders of `user`, newest first, and how many there are.
///
/// # Errors
/// What the database says.
pub async fn list_of_user(
    db: &MySqlPool,
    user: UserId,
    page: Paging,
) -> sqlx::Result<(Vec<Order>, u64)> {
    let rows = sqlx::query_as!(
        Row,
        r#"select o.id as "id: OrderId", o.sale_id as "sale_id: SaleId", o.user_id as "user_id: UserId",
                  o.quantity as "quantity: u32", o.status, o.reason, o.created_at as "created_at: DateTime<Utc>",
                  t.gid is not null as "committing: bool"
           from orders o left join transactions t on t.gid = o.gid and t.state = 'committing'
           where o.user_id = ? order by o.id desc limit ? offset ?"#,
        user,
        page.per_page,
        page.offset()
    )
    .fetch_all(db)
    .await?;
    let total = sqlx::query_scalar!("select count(*) from orders where user_id = ?", user)
        .fetch_one(db)
        .await?;
    let orders = rows
        .into_iter()
        .map(Row::view)
        .collect::<sqlx::Result<_>>()?;
    Ok((orders, total.unsigned_abs()))
}

struct Row {
    id: OrderId,
    sale_id: SaleId,
    user_id: UserId,
    quantity: u32,
    status: String,
    reason: Option<String>,
    created_at: DateTime<Utc>,
    committing: bool,
}

impl Row {
    fn view(self) -> sqlx::Result<Order> {
        let Self {
            id,
            sale_id,
            user_id,
            quantity,
            status,
            reason,
            created_at,
            committing,
        } = self;
        let status = if committing {
            ShownStatus::Processing
        } else {
            ShownStatus::Settled(
                status
                    .parse()
                    .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))?,
            )
        };
        Ok(Order {
            id,
            sale_id,
            user_id,
            quantity,
            status,
            reason,
            created_at,
        })
    }
}
