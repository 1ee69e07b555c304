//! Taking a confirmed order back before it is paid for: a decision like any other, under a gid derived from the one that placed it,
//! so that a double click is one transaction.

use crate::{
    decision::NOT_CANCELLABLE,
    engine::OrderEngine,
    ids::{OrderId, Quantity, SaleId},
    message::{OrderMessage, VERSION},
    orders::{self, Order},
    status::{OrderOutcome, OrderStatus},
    work::TakenBack,
};
use chrono::{DateTime, Utc};
use coordinator::{Gid, SubmitError, TxState};
use identity::UserId;
use sqlx::MySqlPool;

/// Why an order was not cancelled. Nothing was changed, unless it is [`CancelError::Unavailable`].
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// The user has no such order that was decided.
    #[error("there is no such order that was decided")]
    NotFound,
    /// Its own transaction is not finished yet: ask again in a moment.
    #[error("the order is still being settled")]
    NotSettled,
    /// Paid for, refused, given up: there is nothing to take back.
    #[error("an order that is {0} cannot be cancelled")]
    NotCancellable(OrderStatus),
    /// It cannot be told whether it was cancelled. Asking again gives the one answer.
    #[error("orders cannot be cancelled now")]
    Unavailable(#[source] SubmitError),
    /// MySQL failed before anything was asked for.
    #[error("MySQL does not tell the order")]
    Database(#[from] sqlx::Error),
}

/// Cancels a confirmed order of `user`; again, the same. Its units can be bought once Redis was told, which follows by itself.
///
/// # Errors
/// [`CancelError`].
pub async fn cancel(
    db: &MySqlPool,
    engine: &OrderEngine,
    user: UserId,
    order: OrderId,
) -> Result<Order, CancelError> {
    let placed = find(db, user, order).await?.ok_or(CancelError::NotFound)?;
    match placed.status()? {
        OrderStatus::Cancelled => return cancelled(db, user, order).await,
        OrderStatus::Confirmed if !placed.is_finished() => return Err(CancelError::NotSettled),
        OrderStatus::Confirmed => {}
        other => return Err(CancelError::NotCancellable(other)),
    }
    match engine.cancel(placed.message()?, TakenBack::ByBuyer).await {
        Ok(OrderOutcome::Confirmed) => cancelled(db, user, order).await,
        Ok(OrderOutcome::Rejected { reason }) if reason == NOT_CANCELLABLE => {
            let now = find(db, user, order).await?.ok_or(CancelError::NotFound)?;
            Err(CancelError::NotCancellable(now.status()?))
        }
        // Another transaction settled the order anew since it was looked at.
        Ok(_) => Err(CancelError::NotSettled),
        Err(cause) => Err(CancelError::Unavailable(cause)),
    }
}

async fn cancelled(db: &MySqlPool, user: UserId, order: OrderId) -> Result<Order, CancelError> {
    orders::find(db, user, order)
        .await?
        .ok_or(CancelError::NotFound)
}

/// What placed an order, and how far that transaction is.
pub(crate) struct Placed {
    pub id: OrderId,
    pub gid: Gid,
    pub generation: u32,
    pub user_id: UserId,
    pub sale_id: SaleId,
    pub quantity: u32,
    pub price: i64,
    pub status: String,
    pub created_at: DateTime<Utc>,
    /// Nothing once retention removed the transaction.
    pub tx_state: Option<String>,
}

async fn find(db: &MySqlPool, user: UserId, order: OrderId) -> sqlx::Result<Option<Placed>> {
    sqlx::query_as!(
        Placed,
        r#"select o.id as "id: _", o.gid as "gid: _", o.generation as "generation: u32", o.user_id as "user_id: _",
                  o.sale_id as "sale_id: _", o.quantity as "quantity: u32", o.price, o.status, o.created_at as "created_at: _",
                  t.state as "tx_state?"
           from orders o left join transactions t on t.gid = o.gid where o.id = ? and o.user_id = ?"#,
        order,
        user
    )
    .fetch_optional(db)
    .await
}

impl Placed {
    fn status(&self) -> sqlx::Result<OrderStatus> {
        self.status
            .parse()
            .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.tx_state
            .as_deref()
            .is_none_or(|state| state == TxState::Committed.as_str())
    }

    /// The order as it was placed, as far as taking it back needs it.
    pub(crate) fn message(self) -> sqlx::Result<OrderMessage> {
        Ok(OrderMessage {
            version: VERSION,
            order_id: self.id,
            gid: self.gid,
            generation: self.generation,
            sale_id: self.sale_id,
            user_id: self.user_id,
            quantity: Quantity::try_from(self.quantity)
                .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))?,
            price: self.price,
            remark: None,
            idempotency: None,
            created_at: self.created_at,
        })
    }
}
