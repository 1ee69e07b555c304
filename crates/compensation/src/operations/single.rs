//! A replay of one order: claimed at once, without a filter, a rate or a time to undo it.
//!
//! The claim names the new transaction before anything is done under it, so that a replay that died half-way repeats the same one,
//! and a second click finds the first.

use super::{Kind, stored};
use chrono::{DateTime, Utc};
use sqlx::{MySqlConnection, MySqlPool};
use uuid::Uuid;

/// Why a replay was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReplayRefused {
    /// The archive has no such row.
    #[error("there is nothing archived under this id")]
    NotFound,
    /// Another operation has it in hand.
    #[error("it is {} by {by} since {since}", kind.being_done())]
    InHand {
        /// That operation.
        operation_id: Uuid,
        /// What it does to it.
        kind: Kind,
        /// Who asked for it.
        by: String,
        /// When.
        since: DateTime<Utc>,
    },
    /// It is settled.
    #[error("it is resolved already")]
    AlreadyResolved,
    /// It is a message that is no order.
    #[error("the message is no order")]
    NotAnOrder,
    /// MySQL failed.
    #[error("MySQL does not take the operation")]
    Database(#[from] sqlx::Error),
}

/// Asks for the replay of an archived order, in a transaction of its own. See [`claim_replay_in`].
///
/// # Errors
/// [`ReplayRefused`].
pub async fn claim_replay(
    db: &MySqlPool,
    archive_id: Uuid,
    asked_by: &str,
    reason: Option<&str>,
) -> Result<Uuid, ReplayRefused> {
    let mut tx = db.begin().await?;
    let operation = claim_replay_in(&mut tx, archive_id, asked_by, reason).await?;
    tx.commit().await?;
    Ok(operation)
}

/// Asks for the replay of an archived order and gives the operation's id. The archive's row is locked until the caller's
/// transaction ends, so of two at once the second finds the first.
///
/// # Errors
/// [`ReplayRefused`]; nothing was written.
pub async fn claim_replay_in(
    db: &mut MySqlConnection,
    archive_id: Uuid,
    asked_by: &str,
    reason: Option<&str>,
) -> Result<Uuid, ReplayRefused> {
    let row = sqlx::query!(
        r#"select order_id as "order_id: Uuid", gid as "gid: Uuid", generation as "generation: u32", held as "held: bool",
                  handled as "handled: bool", operation_id as "operation_id: Uuid"
           from failed_order_archives where id = ? for update"#,
        archive_id
    )
    .fetch_optional(&mut *db)
    .await?
    .ok_or(ReplayRefused::NotFound)?;
    if let Some(operation_id) = row.operation_id {
        return Err(in_hand(db, operation_id).await?);
    }
    if row.handled {
        return Err(ReplayRefused::AlreadyResolved);
    }
    let (Some(_), Some(gid)) = (row.order_id, row.gid) else {
        return Err(ReplayRefused::NotAnOrder);
    };
    // What is held has no decision yet: its own transaction goes on.
    let (gid, generation) = if row.held {
        (gid, row.generation)
    } else {
        (Uuid::now_v7(), row.generation + 1)
    };
    let id = Uuid::now_v7();
    sqlx::query!(
        "insert into operations (id, kind, asked_by, reason, state, created_at) values (?, 'replay', ?, ?, 'running', utc_timestamp(3))",
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
        generation
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

/// In whose hands an archived row is.
pub(super) async fn in_hand(
    db: &mut MySqlConnection,
    operation_id: Uuid,
) -> sqlx::Result<ReplayRefused> {
    let known = sqlx::query!(
        r#"select kind, asked_by, created_at as "created_at: DateTime<Utc>" from operations where id = ?"#,
        operation_id
    )
    .fetch_one(db)
    .await?;
    Ok(ReplayRefused::InHand {
        operation_id,
        kind: stored(&known.kind)?,
        by: known.asked_by,
        since: known.created_at,
    })
}
