//! Work comes in once, with its message; both in the transaction of whoever takes it in, so that neither is there without the other.

use super::{NewWork, messages, micros, short};
use crate::many;
use serde::Serialize;
use sqlx::{MySqlConnection, mysql::MySqlQueryResult};
use uuid::Uuid;

/// Takes work in, in the caller's transaction. `false`: it is known (the same gid, or the same generation of the same order), and stays
/// as it is. Of several at once one takes it in, the others wait for its end.
///
/// # Errors
/// What the database says; the caller rolls back.
pub async fn enqueue(db: &mut MySqlConnection, work: &NewWork) -> sqlx::Result<bool> {
    // Not `on duplicate key update`: that does not tell who took it in.
    let message_id = Uuid::now_v7();
    let inserted = sqlx::query!(
        "insert into compensations (gid, kind, order_id, generation, sale_id, user_id, state, attempts, due_at, message_id, history, \
         last_error, created_at)
         values (?, ?, ?, ?, ?, ?, ?, ?, utc_timestamp(3) + interval ? microsecond, ?, ?, ?, utc_timestamp(3))",
        work.gid,
        work.kind,
        work.order_id,
        work.generation,
        work.sale_id,
        work.user_id,
        work.state.as_str(),
        work.attempts,
        micros(work.due_after),
        message_id,
        work.history.to_json(),
        work.error.as_deref().map(short)
    )
    .execute(&mut *db)
    .await;
    // What is known has its message, and needs no other.
    let is_new = told_apart(inserted)?;
    if is_new {
        messages::write(db, message_id, work).await?;
    }
    Ok(is_new)
}

/// Whether it was written, or is known.
fn told_apart(inserted: sqlx::Result<MySqlQueryResult>) -> sqlx::Result<bool> {
    match inserted {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(cause)) if cause.is_unique_violation() => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// Takes all of it in, by a statement for each table, in the caller's transaction. `false`: one of them is known, or is there twice, and
/// nothing was taken in; the transaction goes on, and who is to be told which takes them in [one by one](enqueue).
///
/// # Errors
/// What the database says; the caller rolls back.
pub async fn enqueue_all(db: &mut MySqlConnection, works: &[NewWork]) -> sqlx::Result<bool> {
    if works.is_empty() {
        return Ok(true);
    }
    let works: Vec<(Uuid, &NewWork)> = works.iter().map(|work| (Uuid::now_v7(), work)).collect();
    let inserted = sqlx::query!(
        "insert into compensations (gid, kind, order_id, generation, sale_id, user_id, state, attempts, due_at, message_id, history, \
         last_error, created_at)
         select unhex(taken.gid), taken.kind, unhex(taken.order_id), taken.generation, unhex(taken.sale_id), unhex(taken.user_id),
                taken.state, taken.attempts, utc_timestamp(3) + interval taken.due_after_us microsecond, unhex(taken.message_id),
                taken.history, taken.last_error, utc_timestamp(3)
         from json_table(?, '$[*]' columns (
           gid char(32) path '$.gid' error on error, kind varchar(255) path '$.kind' error on error,
           order_id char(32) path '$.order_id' error on error, generation bigint path '$.generation' error on error,
           sale_id char(32) path '$.sale_id' error on error, user_id char(32) path '$.user_id' error on error,
           state varchar(255) path '$.state' error on error, attempts bigint path '$.attempts' error on error,
           due_after_us bigint path '$.due_after_us' error on error, message_id char(32) path '$.message_id' error on error,
           history longtext character set utf8mb4 path '$.history' error on error, last_error longtext character set utf8mb4 path '$.last_error' error on error)) as taken",
        many::rows(works.iter().copied().map(row))
    )
    .execute(&mut *db)
    .await;
    let all_are_new = told_apart(inserted)?;
    if all_are_new {
        messages::write_all(db, works.into_iter()).await?;
    }
    Ok(all_are_new)
}

/// The longest last.
#[derive(Serialize)]
struct Row<'a> {
    gid: String,
    kind: &'a str,
    order_id: String,
    generation: u32,
    sale_id: String,
    user_id: String,
    state: &'a str,
    attempts: u32,
    due_after_us: i64,
    message_id: String,
    last_error: Option<String>,
    history: String,
}

fn row((message_id, work): (Uuid, &NewWork)) -> Row<'_> {
    Row {
        gid: many::id(work.gid),
        kind: work.kind,
        order_id: many::id(work.order_id),
        generation: work.generation,
        sale_id: many::id(work.sale_id),
        user_id: many::id(work.user_id),
        state: work.state.as_str(),
        attempts: work.attempts,
        due_after_us: micros(work.due_after),
        last_error: work.error.as_deref().map(short),
        message_id: many::id(message_id),
        history: work.history.to_json(),
    }
}

/// Whether this transaction is known, in whatever state: taken in, it is; another one of the same generation is not.
///
/// # Errors
/// What the database says.
pub async fn is_known(db: &mut MySqlConnection, gid: Uuid) -> sqlx::Result<bool> {
    Ok(
        sqlx::query_scalar!("select 1 from compensations where gid = ?", gid)
            .fetch_optional(db)
            .await?
            .is_some(),
    )
}
