//! Whether a failed order could be placed now: what MySQL says before an operator's click, and what Redis says after it.
//!
//! Neither decides. The replay's own decision does.

use crate::{
    ids::OrderId,
    message::OrderMessage,
    stock::{Refusal, Reserve, ReserveError, Stock, Window},
};
use sqlx::MySqlPool;

/// The code of the reason why a failed order would surely be refused now; `None` where it may be tried.
///
/// `not_found` and `already_resolved` (it is not `failed` any more) besides `sale_paused`, `limit_exceeded`, `sold_out` and
/// `insufficient_stock`. Whether the sale is over does not count: the order was admitted in time.
///
/// # Errors
/// What the database says.
pub async fn refusal(db: &MySqlPool, order: OrderId) -> sqlx::Result<Option<&'static str>> {
    let found = sqlx::query!(
        r#"select o.status, o.quantity, s.state as "sale_state?", i.available as "available?", s.per_user_limit as "per_user_limit?",
                  coalesce(b.units, 0) as "units!: i64"
           from orders o left join sales s on s.id = o.sale_id left join sale_inventory i on i.sale_id = o.sale_id
           left join sale_buyers b on b.sale_id = o.sale_id and b.user_id = o.user_id
           where o.id = ?"#,
        order
    )
    .fetch_optional(db)
    .await?;
    let Some(found) = found else {
        return Ok(Some("not_found"));
    };
    let (Some(state), Some(available), Some(limit)) =
        (found.sale_state, found.available, found.per_user_limit)
    else {
        return Ok(Some("sale_not_found"));
    };
    Ok(if found.status != "failed" {
        Some("already_resolved")
    } else if state == "paused" {
        Some("sale_paused")
    } else if found.units + i64::from(found.quantity) > i64::from(limit) {
        Some("limit_exceeded")
    } else if available == 0 {
        Some("sold_out")
    } else if available < found.quantity {
        Some("insufficient_stock")
    } else {
        None
    })
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
