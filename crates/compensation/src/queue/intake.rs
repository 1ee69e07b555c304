//! Work comes in, once a transaction.

use super::{NewWork, micros, short};
use crate::many;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use sqlx::MySqlConnection;
use uuid::Uuid;

/// Takes work in. `false`: it is known (the same gid, or the same generation of the same order), and stays as it is. Of several at
/// once one takes it in, the others wait for its end.
///
/// # Errors
/// What the database says.
pub async fn enqueue(db: &mut MySqlConnection, work: &NewWork) -> sqlx::Result<bool> {
    // Not `on duplicate key update`: that does not tell who took it in.
    let inserted = sqlx::query!(
        "insert into compensations (gid, kind, order_id, generation, sale_id, user_id, state, attempts, due_at, payload, headers, \
         history, last_error, created_at)
         values (?, ?, ?, ?, ?, ?, ?, ?, utc_timestamp(3) + interval ? microsecond, ?, ?, ?, ?, utc_timestamp(3))",
        work.gid,
        work.kind,
        work.order_id,
        work.generation,
        work.sale_id,
        work.user_id,
        work.state.as_str(),
        work.attempts,
        micros(work.due_after),
        work.payload,
        work.headers.to_json(),
        work.history.to_json(),
        work.error.as_deref().map(short)
    )
    .execute(db)
    .await;
    match inserted {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(cause)) if cause.is_unique_violation() => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// Takes all of it in by one statement. `false`: one of them is known, or is there twice, and nothing was taken in; the transaction goes
/// on, and who is to be told which takes them in [one by one](enqueue).
///
/// # Errors
/// What the database says; then too nothing was taken in.
pub async fn enqueue_all(db: &mut MySqlConnection, works: &[NewWork]) -> sqlx::Result<bool> {
    if works.is_empty() {
        return Ok(true);
    }
    let inserted = sqlx::query!(
        "insert into compensations (gid, kind, order_id, generation, sale_id, user_id, state, attempts, due_at, payload, headers, \
         history, last_error, created_at)
         select unhex(taken.gid), taken.kind, unhex(taken.order_id), taken.generation, unhex(taken.sale_id), unhex(taken.user_id),
                taken.state, taken.attempts, utc_timestamp(3) + interval taken.due_after_us microsecond, from_base64(taken.payload),
                taken.headers, taken.history, taken.last_error, utc_timestamp(3)
         from json_table(?, '$[*]' columns (
           gid char(32) path '$.gid' error on error, kind varchar(255) path '$.kind' error on error,
           order_id char(32) path '$.order_id' error on error, generation bigint path '$.generation' error on error,
           sale_id char(32) path '$.sale_id' error on error, user_id char(32) path '$.user_id' error on error,
           state varchar(255) path '$.state' error on error, attempts bigint path '$.attempts' error on error,
           due_after_us bigint path '$.due_after_us' error on error, payload longtext character set utf8mb4 path '$.payload' error on error,
           headers longtext character set utf8mb4 path '$.headers' error on error, history longtext character set utf8mb4 path '$.history' error on error,
           last_error longtext character set utf8mb4 path '$.last_error' error on error)) as taken",
        many::rows(works.iter().map(row))
    )
    .execute(db)
    .await;
    match inserted {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(cause)) if cause.is_unique_violation() => Ok(false),
        Err(cause) => Err(cause),
    }
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
    last_error: Option<String>,
    payload: String,
    history: String,
    headers: String,
}

fn row(work: &NewWork) -> Row<'_> {
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
        payload: STANDARD.encode(&work.payload),
        history: work.history.to_json(),
        headers: work.headers.to_json(),
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
