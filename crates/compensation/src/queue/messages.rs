//! The table `compensation_messages`: what came in, byte for byte. It never changes, so it lies beside `compensations`, whose rows are
//! written again with each claim and each try, and in the binary log twice each time.
//!
//! A row's id is of the moment it is written: rows are appended, and only the end of the table is written to disk. A message goes with its
//! work.

use super::{NewWork, seconds};
use crate::many;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use sqlx::{MySqlConnection, MySqlPool};
use std::{collections::HashMap, time::Duration};
use uuid::Uuid;

/// A message with its headers as JSON.
pub(super) struct Message {
    pub payload: Vec<u8>,
    pub headers: String,
}

/// Writes one.
pub(super) async fn write(db: &mut MySqlConnection, id: Uuid, work: &NewWork) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into compensation_messages (id, payload, headers) values (?, ?, ?)",
        id,
        work.payload,
        work.headers.to_json()
    )
    .execute(db)
    .await
    .map(drop)
}

/// Writes many by one statement.
pub(super) async fn write_all(
    db: &mut MySqlConnection,
    works: impl Iterator<Item = (Uuid, &NewWork)>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into compensation_messages (id, payload, headers)
         select unhex(came.id), from_base64(came.payload), came.headers
         from json_table(?, '$[*]' columns (
           id char(32) path '$.id' error on error, payload longtext character set utf8mb4 path '$.payload' error on error,
           headers longtext character set utf8mb4 path '$.headers' error on error)) as came",
        many::rows(works.map(row))
    )
    .execute(db)
    .await
    .map(drop)
}

/// The longest last.
#[derive(Serialize)]
struct Row {
    id: String,
    payload: String,
    headers: String,
}

fn row((id, work): (Uuid, &NewWork)) -> Row {
    Row {
        id: many::id(id),
        payload: STANDARD.encode(&work.payload),
        headers: work.headers.to_json(),
    }
}

/// Those of them that are there, by their ids.
pub(super) async fn read(
    db: &mut MySqlConnection,
    ids: impl Iterator<Item = Uuid>,
) -> sqlx::Result<HashMap<Uuid, Message>> {
    let rows = sqlx::query!(
        r#"select came.id as "id: Uuid", came.payload, came.headers
           from json_table(?, '$[*]' columns (id char(32) path '$' error on error)) as asked
           straight_join compensation_messages as came force index (primary) on came.id = unhex(asked.id)"#,
        many::ids(ids)
    )
    .fetch_all(db)
    .await?;
    let messages = rows.into_iter().map(|row| {
        let (payload, headers) = (row.payload, row.headers);
        (row.id, Message { payload, headers })
    });
    Ok(messages.collect())
}

/// Removes up to `limit` pieces of work that were closed for longer than `keep`, with their messages; how many. Any number may call it at
/// once.
///
/// # Errors
/// What the database says; then nothing is removed.
pub async fn remove_closed(db: &MySqlPool, keep: Duration, limit: u32) -> sqlx::Result<u64> {
    let keep_s = seconds(keep);
    let mut tx = db.begin().await?;
    // A row was due last shortly before it was closed, so that the index by which lanes go finds it here too.
    let old = sqlx::query!(
        r#"select gid as "gid: Uuid", message_id as "message_id: Uuid" from compensations force index (compensations_by_due)
           where state = 'closed' and due_at < utc_timestamp(3) - interval ? second and closed_at < utc_timestamp(3) - interval ? second
           order by due_at limit ? for update skip locked"#,
        keep_s,
        keep_s,
        limit
    )
    .fetch_all(&mut *tx)
    .await?;
    if old.is_empty() {
        return Ok(0);
    }
    sqlx::query!(
        "delete came from json_table(?, '$[*]' columns (id char(32) path '$' error on error)) as old
         straight_join compensation_messages as came force index (primary) on came.id = unhex(old.id)",
        many::ids(old.iter().map(|row| row.message_id))
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "delete held from json_table(?, '$[*]' columns (gid char(32) path '$' error on error)) as old
         straight_join compensations as held force index (primary) on held.gid = unhex(old.gid)",
        many::ids(old.iter().map(|row| row.gid))
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(old.len() as u64)
}
