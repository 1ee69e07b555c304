//! Sales of which Redis says something else than MySQL: written down with what each said, and made anew from MySQL.
//!
//! Drift is found by `reconcile`. Putting it right is the rebuild's, as after any loss: the sale is marked suspect, every script refuses
//! it, and whoever watches the fence opens it again. Nothing here changes a number.

use crate::{
    ids::SaleId,
    keys,
    reconcile::{Compared, Numbers},
};
use chrono::{DateTime, Utc};
use redis::{RedisResult, aio::ConnectionManager};
use sqlx::{MySqlConnection, MySqlPool};
use uuid::Uuid;

/// Also where Redis has no memory left: it makes nothing larger that counts.
const SUSPECT: &str = concat!("#!lua flags=allow-oom\n", include_str!("lua/suspect.lua"));

/// One time that the two differed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Its id; ids grow with time.
    pub id: Uuid,
    /// The sale.
    pub sale: SaleId,
    /// By how many units.
    pub units: i64,
    /// Available, held, sold and owed in Redis when it was found.
    pub redis: (i64, i64, i64, i64),
    /// Available and sold in MySQL.
    pub mysql: (i64, i64),
    /// Whether Redis was made anew for it.
    pub fenced: bool,
    /// When it was found.
    pub found_at: DateTime<Utc>,
    /// When they agreed again.
    pub over_at: Option<DateTime<Utc>>,
}

/// Writes down that a sale differs by so many units; its id, or `None` where that is known. Meant for the transaction of its alert.
///
/// # Errors
/// What MySQL says.
pub async fn found(
    db: &mut MySqlConnection,
    seen: &Compared,
    units: i64,
    fenced: bool,
) -> sqlx::Result<Option<Uuid>> {
    let id = Uuid::now_v7();
    let Numbers {
        available,
        held,
        sold,
        owed,
        ..
    } = seen.redis;
    let inserted = sqlx::query!(
        "insert into stock_drifts
             (id, sale_id, open_sale, units, redis_available, redis_held, redis_sold, redis_owed, mysql_available, mysql_sold, fenced, found_at)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, utc_timestamp(3))",
        id,
        seen.sale,
        seen.sale,
        units,
        available,
        held,
        sold,
        owed,
        seen.mysql_available,
        seen.mysql_sold,
        fenced
    )
    .execute(db)
    .await;
    match inserted {
        Ok(_) => Ok(Some(id)),
        Err(sqlx::Error::Database(cause)) if cause.is_unique_violation() => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// The sale is fenced for what was written down of it before, when it was left to people.
///
/// # Errors
/// What MySQL says.
pub async fn is_fenced(db: &mut MySqlConnection, sale: SaleId) -> sqlx::Result<()> {
    sqlx::query!(
        "update stock_drifts set fenced = true where open_sale = ?",
        sale
    )
    .execute(db)
    .await
    .map(drop)
}

/// Has the sale rebuilt: until then every script refuses it.
///
/// # Errors
/// What Redis says. Marking it again changes nothing.
pub async fn fence(redis: &ConnectionManager, sale: SaleId) -> RedisResult<()> {
    let mut mark = redis::cmd("EVAL");
    mark.arg(SUSPECT).arg(1).arg(keys::stock(sale));
    mark.query_async(&mut redis.clone()).await
}

/// Sales that were found to differ, and not to agree since.
///
/// # Errors
/// What MySQL says.
pub async fn open(db: &MySqlPool) -> sqlx::Result<Vec<SaleId>> {
    sqlx::query_scalar!(
        r#"select open_sale as "sale!: SaleId" from stock_drifts where open_sale is not null"#
    )
    .fetch_all(db)
    .await
}

/// How many sales differ, and since when the first of them has, in seconds.
///
/// # Errors
/// What MySQL says.
pub async fn standing(db: &MySqlPool) -> sqlx::Result<(u64, Option<u64>)> {
    let row = sqlx::query!(
        r#"select cast(count(*) as unsigned) as "count!: u64",
                  timestampdiff(second, min(found_at), utc_timestamp(3)) as "oldest_s: i64"
           from stock_drifts where open_sale is not null"#
    )
    .fetch_one(db)
    .await?;
    Ok((row.count, row.oldest_s.and_then(|it| it.try_into().ok())))
}

/// The sale agrees again. `false` where that was known.
///
/// # Errors
/// What MySQL says.
pub async fn over(db: &mut MySqlConnection, sale: SaleId) -> sqlx::Result<bool> {
    sqlx::query!(
        "update stock_drifts set open_sale = null, over_at = utc_timestamp(3) where open_sale = ?",
        sale
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// What was found of a sale, the newest first, at most a hundred.
///
/// # Errors
/// What MySQL says.
pub async fn of_sale(db: &MySqlPool, sale: SaleId) -> sqlx::Result<Vec<Drift>> {
    let rows = sqlx::query!(
        r#"select id as "id: Uuid", units, redis_available, redis_held, redis_sold, redis_owed, mysql_available, mysql_sold,
                  fenced as "fenced: bool", found_at as "found_at: DateTime<Utc>", over_at as "over_at: DateTime<Utc>"
           from stock_drifts where sale_id = ? order by found_at desc limit 100"#,
        sale
    )
    .fetch_all(db)
    .await?;
    let drifts = rows.into_iter().map(|row| Drift {
        id: row.id,
        sale,
        units: row.units,
        redis: (
            row.redis_available,
            row.redis_held,
            row.redis_sold,
            row.redis_owed,
        ),
        mysql: (row.mysql_available, row.mysql_sold),
        fenced: row.fenced,
        found_at: row.found_at,
        over_at: row.over_at,
    });
    Ok(drifts.collect())
}
