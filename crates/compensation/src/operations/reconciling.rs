//! A reconcile of one order: what is written of it is looked at once more, and what is wrong put right.
//!
//! It is claimed like a single replay, and whatever the order came to: units may have leaked of one that is settled. What is done is noted
//! in its item, before it is done where it is done elsewhere, so that a worker that died leaves word of it.

use super::{
    Ends, Requested,
    items::{end_claimed, finish_single, open_again},
    single::{ReplayRefused, in_hand},
};
use sqlx::{MySqlConnection, MySqlPool};
use std::time::Duration;
use uuid::Uuid;

/// The state of an item of which nothing is wrong any more.
pub const RECONCILED: &str = "reconciled";
/// What stands between two notes.
const BETWEEN: &str = ", ";

/// How far a reconcile has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// What was begun, in its order.
    pub notes: Vec<String>,
    /// Since it was first looked at.
    pub age: Duration,
}

/// Asks for the reconcile of an archived order and gives the operation's id. The archive's row is locked until the caller's
/// transaction ends, so of two at once the second finds the first.
///
/// # Errors
/// [`ReplayRefused`]; nothing was written.
pub async fn claim_reconcile_in(
    db: &mut MySqlConnection,
    archive_id: Uuid,
    asked_by: &str,
    reason: Option<&str>,
) -> Result<Uuid, ReplayRefused> {
    let row = sqlx::query!(
        r#"select order_id as "order_id: Uuid", gid as "gid: Uuid", generation as "generation: u32", operation_id as "operation_id: Uuid"
           from failed_order_archives where id = ? for update"#,
        archive_id
    )
    .fetch_optional(&mut *db)
    .await?
    .ok_or(ReplayRefused::NotFound)?;
    if let Some(operation_id) = row.operation_id {
        return Err(in_hand(db, operation_id).await?);
    }
    let (Some(_), Some(gid)) = (row.order_id, row.gid) else {
        return Err(ReplayRefused::NotAnOrder);
    };
    let id = Uuid::now_v7();
    sqlx::query!(
        "insert into operations (id, kind, asked_by, reason, state, created_at) values (?, 'reconcile', ?, ?, 'running', utc_timestamp(3))",
        id,
        asked_by,
        reason
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "insert into operation_items (operation_id, archive_id, gid, generation, state, due_at, created_at)
         values (?, ?, ?, ?, 'requested', utc_timestamp(3), utc_timestamp(3))",
        id,
        archive_id,
        gid,
        row.generation
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "update failed_order_archives set operation_id = ? where id = ?",
        id,
        archive_id
    )
    .execute(&mut *db)
    .await?;
    Ok(id)
}

/// Asks for it in a transaction of its own. See [`claim_reconcile_in`].
///
/// # Errors
/// [`ReplayRefused`].
pub async fn claim_reconcile(
    db: &MySqlPool,
    archive_id: Uuid,
    asked_by: &str,
    reason: Option<&str>,
) -> Result<Uuid, ReplayRefused> {
    let mut tx = db.begin().await?;
    let operation = claim_reconcile_in(&mut tx, archive_id, asked_by, reason).await?;
    tx.commit().await?;
    Ok(operation)
}

/// Begins it, or goes on: what was noted so far. `None`: the claim went to another worker, or it has ended.
///
/// # Errors
/// What the database says.
pub async fn begin(db: &mut MySqlConnection, item: &Requested) -> sqlx::Result<Option<Notes>> {
    sqlx::query!(
        "update operation_items set begun_at = utc_timestamp(3)
         where operation_id = ? and archive_id = ? and state = 'requested' and claim = ? and begun_at is null",
        item.operation_id,
        item.archive_id,
        item.claim
    )
    .execute(&mut *db)
    .await?;
    notes(db, item).await
}

async fn notes(db: &mut MySqlConnection, item: &Requested) -> sqlx::Result<Option<Notes>> {
    let row = sqlx::query!(
        r#"select reason, timestampdiff(microsecond, coalesce(begun_at, created_at), utc_timestamp(3)) as "age!: i64"
           from operation_items where operation_id = ? and archive_id = ? and state = 'requested' and claim = ?"#,
        item.operation_id,
        item.archive_id,
        item.claim
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Notes {
        notes: row
            .reason
            .map(|reason| reason.split(BETWEEN).map(str::to_owned).collect())
            .unwrap_or_default(),
        age: Duration::from_micros(u64::try_from(row.age).unwrap_or_default()),
    }))
}

/// Notes what is begun, once. `false`: the claim went to another worker, and nothing may be done.
///
/// # Errors
/// What the database says.
pub async fn note(db: &mut MySqlConnection, item: &Requested, what: &str) -> sqlx::Result<bool> {
    let Some(mut known) = notes(&mut *db, item).await? else {
        return Ok(false);
    };
    if known.notes.iter().any(|note| note == what) {
        return Ok(true);
    }
    known.notes.push(what.to_owned());
    let written = sqlx::query!(
        "update operation_items set reason = ?
         where operation_id = ? and archive_id = ? and state = 'requested' and claim = ?",
        known.notes.join(BETWEEN),
        item.operation_id,
        item.archive_id,
        item.claim
    )
    .execute(db)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Ends it: nothing is wrong any more, and what was noted was done. What ended with it; `None`: the claim went to another worker.
///
/// # Errors
/// What the database says.
pub async fn reconciled(db: &mut MySqlConnection, item: &Requested) -> sqlx::Result<Option<Ends>> {
    let Some(known) = notes(&mut *db, item).await? else {
        return Ok(None);
    };
    let done = (!known.notes.is_empty()).then(|| known.notes.join(BETWEEN));
    if !end_claimed(&mut *db, item, RECONCILED, done.as_deref()).await? {
        return Ok(None);
    }
    let (operation, order) = (item.operation_id, item.archive_id);
    open_again(&mut *db, order, operation).await?;
    finish_single(db, operation, order, RECONCILED, done.as_deref())
        .await
        .map(Some)
}
