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
    for kind in [Kind::Waiting, Kind::Archived] {
        waiting += all_work(db, kind).await?;
        all_tries(db, kind).await?;
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

/// Work of all marked orders of the kind, each with its message; how much.
async fn all_work(db: &MySqlPool, kind: Kind) -> sqlx::Result<u64> {
    let (lowest, highest) = marks::all(kind);
    let mut removed = 0;
    loop {
        let mut tx = db.begin().await?;
        let some: Vec<(Uuid, Uuid)> = sqlx::query_as(
            "select gid, message_id from compensations where order_id between ? and ? order by order_id limit ? for update",
        )
        .bind(lowest)
        .bind(highest)
        .bind(u32::try_from(ROWS_A_TRANSACTION).unwrap_or(u32::MAX))
        .fetch_all(&mut *tx)
        .await?;
        if some.is_empty() {
            return Ok(removed);
        }
        let (gids, messages): (Vec<Uuid>, Vec<Uuid>) = some.into_iter().unzip();
        for (text, ids) in [
            (
                "delete came from json_table(?, '$[*]' columns (id char(32) path '$')) as old \
                 straight_join compensation_messages as came force index (primary) on came.id = unhex(old.id)",
                &messages,
            ),
            (
                "delete held from json_table(?, '$[*]' columns (id char(32) path '$')) as old \
                 straight_join compensations as held force index (primary) on held.gid = unhex(old.id)",
                &gids,
            ),
        ] {
            sqlx::query(text).bind(json(ids)).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        removed += gids.len() as u64;
    }
}

fn json(ids: &[Uuid]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| id.simple().to_string()).collect();
    serde_json::json!(ids).to_string()
}

/// What is in the log of tries of all marked orders of the kind.
async fn all_tries(db: &MySqlPool, kind: Kind) -> sqlx::Result<()> {
    let (lowest, highest) = marks::all(kind);
    loop {
        let some = sqlx::query(
            "delete from compensation_logs where order_id between ? and ? order by order_id limit ?",
        )
        .bind(lowest)
        .bind(highest)
        .bind(u32::try_from(ROWS_A_TRANSACTION).unwrap_or(u32::MAX))
        .execute(db)
        .await?;
        if some.rows_affected() == 0 {
            return Ok(());
        }
    }
}
