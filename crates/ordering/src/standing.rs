//! Where MySQL says an order stands, for whoever repairs it.

use crate::{
    ids::OrderId,
    status::{OrderOutcome, OrderStatus},
};
use coordinator::Gid;
use sqlx::MySqlPool;

/// An order's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The transaction that counts.
    pub gid: Gid,
    /// Which generation it was.
    pub generation: u32,
    /// The order's status.
    pub status: OrderStatus,
    reason: Option<String>,
}

impl Standing {
    /// How the transaction that counts was decided.
    #[must_use]
    pub fn outcome(&self) -> OrderOutcome {
        OrderOutcome::from(self.status.outcome(self.reason.as_deref()))
    }
}

/// The order's row; `None` while no decision made one.
///
/// # Errors
/// What the database says.
pub async fn find(db: &MySqlPool, order: OrderId) -> sqlx::Result<Option<Standing>> {
    let row = sqlx::query!(
        r#"select gid as "gid: Gid", generation as "generation: u32", status, reason from orders where id = ?"#,
        order
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(Standing {
            gid: row.gid,
            generation: row.generation,
            status: row
                .status
                .parse()
                .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))?,
            reason: row.reason,
        })
    })
    .transpose()
}
