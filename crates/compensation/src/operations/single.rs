//! A replay or a discard of one order: claimed at once, without a filter, a rate or a time to undo it.
//!
//! The claim names the new transaction before anything is done under it, so that a replay that died half-way repeats the same one,
//! and a second click finds the first.

use super::{Kind, stored};
use crate::archive;
use chrono::{DateTime, Utc};
use sqlx::{MySqlConnection, MySqlPool};
use uuid::Uuid;

/// Why a replay, or a discard, was not taken.
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
    /// There is no such version of it.
    #[error("it has no version {0}")]
    NoSuchVersion(u32),
    /// Its units are held under its own transaction, which asks for what it asked for.
    #[error("its units are held for it as it is")]
    HeldAsItIs,
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
    claim_version_in(db, archive_id, None, asked_by, reason).await
}

/// The same of one [version](crate::archive::versions) of it; `None`: the newest one there is when it is begun, or what came.
///
/// # Errors
/// [`ReplayRefused`]; nothing was written.
pub async fn claim_version_in(
    db: &mut MySqlConnection,
    archive_id: Uuid,
    version: Option<u32>,
    asked_by: &str,
    reason: Option<&str>,
) -> Result<Uuid, ReplayRefused> {
    let row = open_row(&mut *db, archive_id).await?;
    let version = match version {
        Some(_) if row.held => return Err(ReplayRefused::HeldAsItIs),
        // Nobody has edited it, and nobody can while it is in hand.
        Some(0) if row.version == 0 => None,
        Some(version) if version > row.version => {
            return Err(ReplayRefused::NoSuchVersion(version));
        }
        version => version,
    };
    let (Some(_), Some(gid)) = (row.order_id, row.gid) else {
        return Err(ReplayRefused::NotAnOrder);
    };
    // What is held has no decision yet: its own transaction goes on.
    let (gid, generation) = if row.held {
        (gid, row.generation)
    } else {
        (Uuid::now_v7(), row.generation + 1)
    };
    let item = New {
        kind: Kind::Replay,
        archive_id,
        gid,
        generation,
        version,
    };
    Ok(claim(db, &item, asked_by, reason).await?)
}

/// Asks for an archived order, or a message that is none, to be given up for good, and gives the operation's id. The archive's row is
/// locked as for [`claim_replay_in`]. A transaction is resumed, and never discarded: it is [`ReplayRefused::NotAnOrder`].
///
/// # Errors
/// [`ReplayRefused`]; nothing was written.
pub async fn claim_discard_in(
    db: &mut MySqlConnection,
    archive_id: Uuid,
    asked_by: &str,
    reason: &str,
) -> Result<Uuid, ReplayRefused> {
    let row = open_row(&mut *db, archive_id).await?;
    if archive::Kind::of(row.order_id, row.gid) == archive::Kind::Transaction {
        return Err(ReplayRefused::NotAnOrder);
    }
    // What is held is given up under its own transaction; of anything else no transaction is left to decide.
    let gid = row.gid.filter(|_| row.held).unwrap_or_else(Uuid::now_v7);
    let item = New {
        kind: Kind::Discard,
        archive_id,
        gid,
        generation: row.generation,
        version: None,
    };
    Ok(claim(db, &item, asked_by, Some(reason)).await?)
}

/// The same in a transaction of its own.
///
/// # Errors
/// [`ReplayRefused`].
pub async fn claim_discard(
    db: &MySqlPool,
    archive_id: Uuid,
    asked_by: &str,
    reason: &str,
) -> Result<Uuid, ReplayRefused> {
    let mut tx = db.begin().await?;
    let operation = claim_discard_in(&mut tx, archive_id, asked_by, reason).await?;
    tx.commit().await?;
    Ok(operation)
}

/// A row of the archive that waits for a person, locked.
pub(crate) struct OpenRow {
    pub order_id: Option<Uuid>,
    pub gid: Option<Uuid>,
    pub generation: u32,
    pub held: bool,
    /// The number of its newest version.
    pub version: u32,
}

/// Locks a row of the archive.
///
/// # Errors
/// [`ReplayRefused`] where it does not wait for a person.
pub(crate) async fn open_row(
    db: &mut MySqlConnection,
    archive_id: Uuid,
) -> Result<OpenRow, ReplayRefused> {
    let row = sqlx::query!(
        r#"select order_id as "order_id: Uuid", gid as "gid: Uuid", generation as "generation: u32", held as "held: bool",
                  handled as "handled: bool", operation_id as "operation_id: Uuid", version as "version: u32"
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
    Ok(OpenRow {
        version: row.version,
        order_id: row.order_id,
        gid: row.gid,
        generation: row.generation,
        held: row.held,
    })
}

/// What is to be done to one row.
struct New {
    kind: Kind,
    archive_id: Uuid,
    gid: Uuid,
    generation: u32,
    version: Option<u32>,
}

/// Writes the operation with its one item, and claims the row, which the caller has locked.
async fn claim(
    db: &mut MySqlConnection,
    item: &New,
    asked_by: &str,
    reason: Option<&str>,
) -> sqlx::Result<Uuid> {
    let id = Uuid::now_v7();
    sqlx::query!(
        "insert into operations (id, kind, asked_by, reason, state, created_at) values (?, ?, ?, ?, 'running', utc_timestamp(3))",
        id,
        item.kind.as_str(),
        asked_by,
        reason
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "insert into operation_items (operation_id, archive_id, gid, generation, version, state, due_at, created_at)
         values (?, ?, ?, ?, ?, 'requested', utc_timestamp(3), utc_timestamp(3))",
        id,
        item.archive_id,
        item.gid,
        item.generation,
        item.version
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "update failed_order_archives set operation_id = ? where id = ?",
        id,
        item.archive_id
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
