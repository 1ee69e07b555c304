//! What staff may change of a sale that is on: its units, its times, and whether it takes orders.
//!
//! MySQL first, then Redis (`Stock::set` with [`Sale::terms_at`]). What does not reach Redis is brought there by the comparison, or
//! by the rebuild.

use super::{Sale, SaleState};
use crate::ids::{ProductId, SaleId};
use chrono::{DateTime, SubsecRound as _, Utc};
use sqlx::{MySqlConnection, MySqlPool};

/// New values; what is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Units, `1..=i32::MAX`. More of them can be ordered at once, fewer are taken from those not sold.
    pub total: Option<u32>,
    /// Cut to milliseconds.
    pub starts_at: Option<DateTime<Utc>>,
    /// Cut to milliseconds.
    pub ends_at: Option<DateTime<Utc>>,
    /// Whether it takes orders in that time.
    pub state: Option<SaleState>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such sale.
    #[error("there is no such sale")]
    NotFound,
    /// It would end before it begins, or as it begins.
    #[error("the sale would end before it begins")]
    NoWindow,
    /// More units are sold than it would have.
    #[error("{sold} units are sold")]
    BelowSold {
        /// Units sold.
        sold: u32,
    },
    /// MySQL failed.
    #[error("MySQL does not change the sale")]
    Mysql(#[from] sqlx::Error),
}

/// Changes a sale in a transaction of its own. See [`change_in`].
///
/// # Errors
/// [`ChangeError`]; nothing was changed then.
pub async fn change(
    db: &MySqlPool,
    sale: SaleId,
    change: &Change,
) -> Result<(Sale, i64), ChangeError> {
    let mut tx = db.begin().await?;
    let changed = change_in(&mut tx, sale, change).await?;
    tx.commit().await?;
    Ok(changed)
}

/// Changes a sale in the caller's transaction, and gives it as it is then, with its epoch. Locks its row of `sales`, then the one of
/// `sale_inventory`, until that ends.
///
/// # Errors
/// [`ChangeError`]; the caller rolls back.
pub async fn change_in(
    db: &mut MySqlConnection,
    sale: SaleId,
    change: &Change,
) -> Result<(Sale, i64), ChangeError> {
    let mut changed = lock_terms(&mut *db, sale)
        .await?
        .ok_or(ChangeError::NotFound)?;
    let inventory = sqlx::query!(
        r#"select sold as "sold: u32", epoch from sale_inventory where sale_id = ? for update"#,
        sale
    )
    .fetch_one(&mut *db)
    .await?;
    change.apply(&mut changed)?;
    if changed.total < inventory.sold {
        return Err(ChangeError::BelowSold {
            sold: inventory.sold,
        });
    }
    write_terms(&mut *db, &changed).await?;
    sqlx::query!(
        "update sale_inventory set total = ?, available = ? - sold where sale_id = ?",
        changed.total,
        changed.total,
        sale
    )
    .execute(db)
    .await?;
    Ok((changed, inventory.epoch))
}

impl Change {
    /// Also without a new value it is a new revision: whoever asks again brings the terms to Redis again.
    fn apply(&self, sale: &mut Sale) -> Result<(), ChangeError> {
        let time = |new: Option<DateTime<Utc>>, old| new.map_or(old, |new| new.trunc_subsecs(3));
        sale.total = self.total.unwrap_or(sale.total);
        sale.starts_at = time(self.starts_at, sale.starts_at);
        sale.ends_at = time(self.ends_at, sale.ends_at);
        sale.state = self.state.unwrap_or(sale.state);
        sale.revision += 1;
        if sale.starts_at < sale.ends_at {
            Ok(())
        } else {
            Err(ChangeError::NoWindow)
        }
    }
}

async fn lock_terms(db: &mut MySqlConnection, sale: SaleId) -> sqlx::Result<Option<Sale>> {
    sqlx::query_as!(
        Sale,
        r#"select id as "id: SaleId", product_id as "product_id: ProductId", price, total as "total: u32",
                  per_user_limit as "per_user_limit: u32", starts_at as "starts_at: DateTime<Utc>",
                  ends_at as "ends_at: DateTime<Utc>", state as "state: SaleState", revision,
                  created_at as "created_at: DateTime<Utc>"
           from sales where id = ? for update"#,
        sale
    )
    .fetch_optional(db)
    .await
}

async fn write_terms(db: &mut MySqlConnection, sale: &Sale) -> sqlx::Result<()> {
    sqlx::query!(
        "update sales set total = ?, starts_at = ?, ends_at = ?, state = ?, revision = ? where id = ?",
        sale.total,
        // As DATETIME: a TIMESTAMP parameter ends in 2038.
        sale.starts_at.naive_utc(),
        sale.ends_at.naive_utc(),
        sale.state.as_str(),
        sale.revision,
        sale.id
    )
    .execute(db)
    .await?;
    Ok(())
}
