//! Acts of operators: asked for in the admin, carried out by the compensator, an item each for what they are done to.
//!
//! A claim comes first: it names the new transaction before anything is done under it, so that an operation that died half-way
//! repeats the same one, and a second click finds the first.

use crate::{archive, attempt::History, queue::micros};
use chrono::{DateTime, Utc};
use sqlx::{MySqlConnection, MySqlPool};
use std::time::Duration;
use uuid::Uuid;

/// Why a replay was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReplayRefused {
    /// The archive has no such row.
    #[error("there is nothing archived under this id")]
    NotFound,
    /// Another replay of it is under way.
    #[error("{by} is replaying it since {since}")]
    Replaying {
        /// That operation.
        operation_id: Uuid,
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

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub id: Uuid,
    /// `replay`.
    pub kind: String,
    /// Who asked for it.
    pub asked_by: String,
    /// Why.
    pub reason: Option<String>,
    /// `running` or `finished`.
    pub state: String,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When the last of its items was finished.
    pub finished_at: Option<DateTime<Utc>>,
    /// What it is done to.
    pub items: Vec<Item>,
}

/// One thing an operation is done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Of an order its id.
    pub archive_id: Uuid,
    /// The transaction of the new generation.
    pub gid: Uuid,
    /// The new generation.
    pub generation: u32,
    /// `requested`, `processing`, or how it ended: `confirmed`, `rejected`, `archived`, `refused`.
    pub state: String,
    /// Why it ended so.
    pub reason: Option<String>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
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
        let known = sqlx::query!(
            r#"select asked_by, created_at as "created_at: DateTime<Utc>" from operations where id = ?"#,
            operation_id
        )
        .fetch_one(&mut *db)
        .await?;
        return Err(ReplayRefused::Replaying {
            operation_id,
            by: known.asked_by,
            since: known.created_at,
        });
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

/// An item in the hands of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requested {
    /// Its operation.
    pub operation_id: Uuid,
    /// What it is done to.
    pub archive_id: Uuid,
    /// The transaction of the new generation.
    pub gid: Uuid,
    /// The new generation.
    pub generation: u32,
    claim: Uuid,
}

/// Claims up to `limit` items nobody has begun, for `lease`: a worker that died leaves them to the next.
///
/// # Errors
/// What the database says.
pub async fn claim_requested(
    db: &MySqlPool,
    lease: Duration,
    limit: u32,
) -> sqlx::Result<Vec<Requested>> {
    let claim = Uuid::new_v4();
    let mut tx = db.begin().await?;
    let items: Vec<Requested> = sqlx::query!(
        r#"select operation_id as "operation_id: Uuid", archive_id as "archive_id: Uuid", gid as "gid: Uuid",
                  generation as "generation: u32"
           from operation_items where state = 'requested' and due_at <= utc_timestamp(3)
           order by due_at limit ? for update skip locked"#,
        limit
    )
    .fetch_all(&mut *tx)
    .await?
    .into_iter()
    .map(|row| Requested {
        operation_id: row.operation_id,
        archive_id: row.archive_id,
        gid: row.gid,
        generation: row.generation,
        claim,
    })
    .collect();
    for item in &items {
        sqlx::query!(
            "update operation_items set claim = ?, due_at = utc_timestamp(3) + interval ? microsecond
             where operation_id = ? and archive_id = ?",
            claim,
            micros(lease),
            item.operation_id,
            item.archive_id
        )
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(items)
}

/// Leaves an item for later.
///
/// # Errors
/// What the database says.
pub async fn look_again(
    db: &mut MySqlConnection,
    item: &Requested,
    after: Duration,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update operation_items set due_at = utc_timestamp(3) + interval ? microsecond
         where operation_id = ? and archive_id = ? and state = 'requested' and claim = ?",
        micros(after),
        item.operation_id,
        item.archive_id,
        item.claim
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes that the item's transaction is in the retry queue. `false`: the claim went to another worker, and nothing was written; the
/// caller rolls back.
///
/// # Errors
/// What the database says.
pub async fn processing(db: &mut MySqlConnection, item: &Requested) -> sqlx::Result<bool> {
    let written = sqlx::query!(
        "update operation_items set state = 'processing'
         where operation_id = ? and archive_id = ? and state = 'requested' and claim = ?",
        item.operation_id,
        item.archive_id,
        item.claim
    )
    .execute(db)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Ends an item before it was begun: the archive's row is open again. Nothing happens once the claim went to another worker.
///
/// # Errors
/// What the database says.
pub async fn refuse(db: &mut MySqlConnection, item: &Requested, reason: &str) -> sqlx::Result<()> {
    let written = sqlx::query!(
        "update operation_items set state = 'refused', reason = ?, finished_at = utc_timestamp(3)
         where operation_id = ? and archive_id = ? and state = 'requested' and claim = ?",
        reason,
        item.operation_id,
        item.archive_id,
        item.claim
    )
    .execute(&mut *db)
    .await?;
    if written.rows_affected() == 0 {
        return Ok(());
    }
    open_again(&mut *db, item.archive_id, item.operation_id).await?;
    finish_operation(db, item.operation_id).await
}

async fn open_again(
    db: &mut MySqlConnection,
    archive_id: Uuid,
    operation_id: Uuid,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update failed_order_archives set operation_id = null where id = ? and operation_id = ?",
        archive_id,
        operation_id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends the item whose transaction was settled so (`confirmed`, `rejected`, `archived`, `superseded`), where there is one, and what
/// it leaves in the archive: a row that is resolved, unless it was archived again or another transaction settled the order.
///
/// # Errors
/// What the database says.
pub async fn settled(
    db: &mut MySqlConnection,
    gid: Uuid,
    order: Uuid,
    state: &str,
    reason: Option<&str>,
    history: &History,
) -> sqlx::Result<()> {
    let operation = sqlx::query_scalar!(
        r#"select operation_id as "operation_id: Uuid" from operation_items
           where archive_id = ? and gid = ? and state in ('requested', 'processing')"#,
        order,
        gid
    )
    .fetch_optional(&mut *db)
    .await?;
    if !matches!(state, ARCHIVED | SUPERSEDED) {
        archive::resolve(&mut *db, order, state, history).await?;
    }
    let Some(operation) = operation else {
        return Ok(());
    };
    let (state, reason) = if state == SUPERSEDED {
        open_again(&mut *db, order, operation).await?;
        ("refused", Some(SUPERSEDED))
    } else {
        (state, reason)
    };
    sqlx::query!(
        "update operation_items set state = ?, reason = ?, finished_at = utc_timestamp(3) where operation_id = ? and archive_id = ?",
        state,
        reason,
        operation,
        order
    )
    .execute(&mut *db)
    .await?;
    finish_operation(db, operation).await
}

/// The state of an item whose order failed again.
pub const ARCHIVED: &str = "archived";
/// Told of a transaction that another one of its order was faster than: its item is refused.
pub const SUPERSEDED: &str = "superseded";

async fn finish_operation(db: &mut MySqlConnection, id: Uuid) -> sqlx::Result<()> {
    // Of two last items at once, the second sees the first.
    sqlx::query_scalar!("select 1 from operations where id = ? for update", id)
        .fetch_optional(&mut *db)
        .await?;
    sqlx::query!(
        "update operations set state = 'finished', finished_at = utc_timestamp(3) where id = ? and state = 'running'
         and not exists (select 1 from operation_items i where i.operation_id = operations.id and i.state in ('requested', 'processing'))",
        id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// One operation with its items.
///
/// # Errors
/// What the database says.
pub async fn find(db: &MySqlPool, id: Uuid) -> sqlx::Result<Option<Operation>> {
    let row = sqlx::query!(
        r#"select id as "id: Uuid", kind, asked_by, reason, state, created_at as "created_at: DateTime<Utc>",
                  finished_at as "finished_at: DateTime<Utc>"
           from operations where id = ?"#,
        id
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Operation {
        id: row.id,
        kind: row.kind,
        asked_by: row.asked_by,
        reason: row.reason,
        state: row.state,
        created_at: row.created_at,
        finished_at: row.finished_at,
        items: items_of(db, id).await?,
    }))
}

async fn items_of(db: &MySqlPool, id: Uuid) -> sqlx::Result<Vec<Item>> {
    sqlx::query_as!(
        Item,
        r#"select archive_id as "archive_id: _", gid as "gid: _", generation as "generation: u32", state, reason,
                  finished_at as "finished_at: _"
           from operation_items where operation_id = ? order by archive_id"#,
        id
    )
    .fetch_all(db)
    .await
}

/// The latest operations, or those on one archived order, newest first.
///
/// # Errors
/// What the database says.
pub async fn latest(
    db: &MySqlPool,
    archive_id: Option<Uuid>,
    limit: u32,
) -> sqlx::Result<Vec<Operation>> {
    let ids = sqlx::query_scalar!(
        r#"select o.id as "id: Uuid" from operations o
           where ? is null or exists (select 1 from operation_items i where i.operation_id = o.id and i.archive_id = ?)
           order by o.created_at desc, o.id desc limit ?"#,
        archive_id,
        archive_id,
        limit
    )
    .fetch_all(db)
    .await?;
    let mut operations = Vec::with_capacity(ids.len());
    for id in ids {
        operations.extend(find(db, id).await?);
    }
    Ok(operations)
}
