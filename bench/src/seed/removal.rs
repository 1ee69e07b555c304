//! Takes out what was seeded, whatever became of it: by its marks, a few thousand rows a transaction, and out of the groups' counts in
//! the same. Orders and transactions that a compensator made of work that was due stay: they were decided.

use super::{
    ROWS_A_TRANSACTION,
    marks::{self, Kind},
};
use sqlx::MySqlPool;
use uuid::Uuid;

/// Whether any seeded row is there.
///
/// # Errors
/// What MySQL says.
pub async fn is_there(db: &MySqlPool) -> sqlx::Result<bool> {
    for (table, kind) in [
        ("failed_order_archives where id", Kind::Archived),
        ("compensations where order_id", Kind::Waiting),
    ] {
        if first(db, table, kind, None).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes all of it out; how many rows of the archive, and of work.
///
/// # Errors
/// What MySQL says; what is gone then is gone from the counts too, and the next call goes on.
pub async fn remove(db: &MySqlPool, show: impl Fn(&str)) -> sqlx::Result<(u64, u64)> {
    let (mut archived, mut after) = (0, None);
    while let Some(from) =
        first(db, "failed_order_archives where id", Kind::Archived, after).await?
    {
        let to = marks::number(from) + u32::try_from(ROWS_A_TRANSACTION).unwrap_or(u32::MAX) - 1;
        let (_, last) = marks::range(Kind::Archived, 0, to);
        archived += some_archived(db, from, last).await?;
        after = Some(last);
        show(&format!("{archived} archived rows removed"));
    }
    // Groups that nobody else has a row in. The others show the latest row they had, which may be gone.
    let (lowest, highest) = marks::all(Kind::Archived);
    sqlx::query(
        "delete from failure_groups where all_rows = 0 and open_rows = 0 and example_id between ? and ?",
    )
    .bind(lowest)
    .bind(highest)
    .execute(db)
    .await?;
    let mut waiting = 0;
    for (table, counts) in [("compensations", true), ("compensation_logs", false)] {
        for kind in [Kind::Waiting, Kind::Archived] {
            let removed = all_of(db, table, kind).await?;
            waiting += if counts { removed } else { 0 };
        }
    }
    show(&format!("{waiting} rows of work removed"));
    Ok((archived, waiting))
}

/// The first marked row after this one.
async fn first(
    db: &MySqlPool,
    of: &str,
    kind: Kind,
    after: Option<Uuid>,
) -> sqlx::Result<Option<Uuid>> {
    let (lowest, highest) = marks::all(kind);
    let column = of.rsplit(' ').next().unwrap_or("id");
    let text = format!("select {column} from {of} > ? and {column} <= ? order by {column} limit 1");
    let from = after.unwrap_or(lowest);
    // The lowest mark itself is nobody's but number 0's with an empty tail, so it is looked at from just before.
    let from = if after.is_none() {
        Uuid::from_u128(from.as_u128() - 1)
    } else {
        from
    };
    sqlx::query_scalar(sqlx::AssertSqlSafe(text))
        .bind(from)
        .bind(highest)
        .fetch_optional(db)
        .await
}

async fn some_archived(db: &MySqlPool, from: Uuid, to: Uuid) -> sqlx::Result<u64> {
    let mut tx = db.begin().await?;
    // Rows first, groups afterwards: as everyone locks them.
    let rows: Vec<Uuid> = sqlx::query_scalar(
        "select id from failed_order_archives where id between ? and ? for update",
    )
    .bind(from)
    .bind(to)
    .fetch_all(&mut *tx)
    .await?;
    sqlx::query(
        "update failure_groups g join (select counted_in, cast(sum(counted_handled = 0) as signed) as open_rows, \
         count(*) as all_rows from failed_order_archives where id between ? and ? and counted_in is not null group by counted_in) gone \
         on g.fingerprint = gone.counted_in set g.open_rows = g.open_rows - gone.open_rows, g.all_rows = g.all_rows - gone.all_rows",
    )
    .bind(from)
    .bind(to)
    .execute(&mut *tx)
    .await?;
    sqlx::query("delete from failed_order_archives where id between ? and ?")
        .bind(from)
        .bind(to)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(rows.len() as u64)
}

/// Of all marked orders of the kind.
async fn all_of(db: &MySqlPool, table: &str, kind: Kind) -> sqlx::Result<u64> {
    let (lowest, highest) = marks::all(kind);
    let text =
        format!("delete from {table} where order_id between ? and ? order by order_id limit ?");
    let mut removed = 0;
    loop {
        let some = sqlx::query(sqlx::AssertSqlSafe(text.clone()))
            .bind(lowest)
            .bind(highest)
            .bind(u32::try_from(ROWS_A_TRANSACTION).unwrap_or(u32::MAX))
            .execute(db)
            .await?
            .rows_affected();
        if some == 0 {
            return Ok(removed);
        }
        removed += some;
    }
}
