//! How sales stand in MySQL, for those who look after them: terms, inventory, and whether Redis was found to say something else.

use super::{Filter, Sale, SaleState};
use crate::ids::{ProductId, SaleId};
use chrono::{DateTime, Utc};
use sqlx::MySqlPool;
use uuid::Uuid;

/// A sale with its numbers.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Its terms.
    pub sale: Sale,
    /// What it sells.
    pub product: String,
    /// Units that are not sold.
    pub available: u32,
    /// Units sold.
    pub sold: u32,
    /// How often its Redis state was rebuilt.
    pub epoch: i64,
    /// Whether Redis was found to say something else, and not to agree since.
    pub drifts: bool,
}

struct Row {
    id: SaleId,
    product_id: ProductId,
    price: i64,
    total: u32,
    per_user_limit: u32,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    state: SaleState,
    revision: i64,
    created_at: DateTime<Utc>,
    product: String,
    available: u32,
    sold: u32,
    epoch: i64,
    drifts: bool,
}

impl From<Row> for Standing {
    fn from(row: Row) -> Self {
        Self {
            sale: Sale {
                id: row.id,
                product_id: row.product_id,
                price: row.price,
                total: row.total,
                per_user_limit: row.per_user_limit,
                starts_at: row.starts_at,
                ends_at: row.ends_at,
                state: row.state,
                revision: row.revision,
                created_at: row.created_at,
            },
            product: row.product,
            available: row.available,
            sold: row.sold,
            epoch: row.epoch,
            drifts: row.drifts,
        }
    }
}

/// Up to `limit` sales that `filter` lets through, the newest first, those older than `before`.
///
/// # Errors
/// What the database says.
pub async fn page(
    db: &MySqlPool,
    filter: Filter,
    before: Option<SaleId>,
    limit: u32,
) -> sqlx::Result<Vec<Standing>> {
    let phase = filter.phase();
    let rows = sqlx::query_as!(
        Row,
        r#"select s.id as "id: SaleId", s.product_id as "product_id: ProductId", s.price, s.total as "total: u32",
                  s.per_user_limit as "per_user_limit: u32", s.starts_at as "starts_at: DateTime<Utc>",
                  s.ends_at as "ends_at: DateTime<Utc>", s.state as "state: SaleState", s.revision,
                  s.created_at as "created_at: DateTime<Utc>", p.name as product, i.available as "available: u32",
                  i.sold as "sold: u32", i.epoch,
                  exists(select 1 from stock_drifts d where d.open_sale = s.id) as "drifts!: bool"
           from sales s join products p on p.id = s.product_id join sale_inventory i on i.sale_id = s.id
           where s.id < ? and (? is null or ? = case when utc_timestamp(3) < s.starts_at then 'upcoming'
                                                     when utc_timestamp(3) < s.ends_at then 'live' else 'ended' end
                              or (? = 'drifting' and exists(select 1 from stock_drifts d where d.open_sale = s.id)))
           order by s.id desc limit ?"#,
        before.unwrap_or(SaleId::from_uuid(Uuid::max())),
        phase,
        phase,
        phase,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Standing::from).collect())
}

/// One sale.
///
/// # Errors
/// What the database says.
pub async fn one(db: &MySqlPool, sale: SaleId) -> sqlx::Result<Option<Standing>> {
    let row = sqlx::query_as!(
        Row,
        r#"select s.id as "id: SaleId", s.product_id as "product_id: ProductId", s.price, s.total as "total: u32",
                  s.per_user_limit as "per_user_limit: u32", s.starts_at as "starts_at: DateTime<Utc>",
                  s.ends_at as "ends_at: DateTime<Utc>", s.state as "state: SaleState", s.revision,
                  s.created_at as "created_at: DateTime<Utc>", p.name as product, i.available as "available: u32",
                  i.sold as "sold: u32", i.epoch,
                  exists(select 1 from stock_drifts d where d.open_sale = s.id) as "drifts!: bool"
           from sales s join products p on p.id = s.product_id join sale_inventory i on i.sale_id = s.id
           where s.id = ?"#,
        sale
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Standing::from))
}
