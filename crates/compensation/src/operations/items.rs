//! Items that were begun: claimed one by one by whoever carries them out, and ended once.
//!
//! Who ends an item writes the item alone. Its operation's counts are added up by [`super::tick`], so that many items that end at
//! once do not wait for one row.

use super::{
    ends::{End, Ends},
    state::Kind,
};
use crate::{archive, attempt::History, queue::micros};
use sqlx::{MySqlConnection, MySqlPool};
use std::time::Duration;
use tracing::error;
use uuid::Uuid;

/// The state of an item whose order failed again.
pub const ARCHIVED: &str = "archived";
/// Told of a transaction that another one of its order was faster than: its item is refused.
pub const SUPERSEDED: &str = "superseded";
/// The state of an item, and how its row in the archive ended, that was given up for good.
pub const DISCARDED: &str = "discarded";

/// An item in the hands of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requested {
    /// Its operation.
    pub operation_id: Uuid,
    /// What is done to it.
    pub kind: Kind,
    /// What it is done to.
    pub archive_id: Uuid,
    /// The transaction of the new generation; of a discard, of the one whose units are held; of a reconcile, the archive's.
    pub gid: Uuid,
    /// The new generation.
    pub generation: u32,
    /// The [version](crate::archive::versions) that was asked for.
    pub version: Option<u32>,
    pub(super) claim: Uuid,
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
    let rows = sqlx::query!(
        r#"select operation_id as "operation_id: Uuid", archive_id as "archive_id: Uuid", gid as "gid: Uuid",
                  generation as "generation: u32", version as "version: u32"
           from operation_items where state = 'requested' and due_at <= utc_timestamp(3)
           order by due_at limit ? for update skip locked"#,
        limit
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut items: Vec<Requested> = Vec::with_capacity(rows.len());
    for row in rows {
        sqlx::query!(
            "update operation_items set claim = ?, due_at = utc_timestamp(3) + interval ? microsecond
             where operation_id = ? and archive_id = ?",
            claim,
            micros(lease),
            row.operation_id,
            row.archive_id
        )
        .execute(&mut *tx)
        .await?;
        let known = items
            .iter()
            .find(|item| item.operation_id == row.operation_id);
        let kind = match known {
            Some(item) => item.kind,
            None => match kind_of(&mut tx, row.operation_id).await {
                Err(sqlx::Error::Decode(cause)) => {
                    // A newer build may know it; it keeps nobody else waiting.
                    error!(
                        "Operation {} cannot be read, its items wait: {cause}",
                        row.operation_id
                    );
                    continue;
                }
                kind => kind?,
            },
        };
        items.push(Requested {
            operation_id: row.operation_id,
            kind,
            archive_id: row.archive_id,
            gid: row.gid,
            generation: row.generation,
            version: row.version,
            claim,
        });
    }
    tx.commit().await?;
    Ok(items)
}

async fn kind_of(db: &mut MySqlConnection, operation: Uuid) -> sqlx::Result<Kind> {
    let kind = sqlx::query_scalar!("select kind from operations where id = ?", operation)
        .fetch_one(db)
        .await?;
    super::stored(&kind)
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

/// Notes that the item's transaction is in the retry queue, and which version of its message that takes, where there are some. `false`: the claim went to another worker, and nothing was written; the
/// caller rolls back.
///
/// # Errors
/// What the database says.
pub async fn processing(
    db: &mut MySqlConnection,
    item: &Requested,
    version: Option<u32>,
) -> sqlx::Result<bool> {
    let written = sqlx::query!(
        "update operation_items set state = 'processing', version = ?
         where operation_id = ? and archive_id = ? and state = 'requested' and claim = ?",
        version,
        item.operation_id,
        item.archive_id,
        item.claim
    )
    .execute(db)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Ends an item before it was begun: the archive's row is open again. Nothing happens once the claim went to another worker. Gives what
/// is to be written down now: of an operation on many it is when it is [added up](super::tick::add_up).
///
/// # Errors
/// What the database says.
pub async fn refuse(
    db: &mut MySqlConnection,
    item: &Requested,
    reason: &str,
) -> sqlx::Result<Ends> {
    if !end_claimed(&mut *db, item, "refused", Some(reason)).await? {
        return Ok(Ends::default());
    }
    open_again(&mut *db, item.archive_id, item.operation_id).await?;
    let (id, state) = (item.archive_id, "refused");
    finish_single(db, item.operation_id, id, state, Some(reason)).await
}

/// Ends an item that is given up for good, and its row in the archive with it. `None`: the claim went to another worker, and
/// nothing was written; the caller rolls back. Gives what is to be written down now, as [`refuse`] does.
///
/// # Errors
/// What the database says.
pub async fn discarded(db: &mut MySqlConnection, item: &Requested) -> sqlx::Result<Option<Ends>> {
    if !end_claimed(&mut *db, item, DISCARDED, None).await? {
        return Ok(None);
    }
    sqlx::query!(
        "update failed_order_archives set handled = true, handled_at = utc_timestamp(3), resolution = 'discarded', held = false,
                operation_id = null
         where id = ? and operation_id = ? and handled = false",
        item.archive_id,
        item.operation_id
    )
    .execute(&mut *db)
    .await?;
    let (operation, id) = (item.operation_id, item.archive_id);
    finish_single(db, operation, id, DISCARDED, None)
        .await
        .map(Some)
}

pub(super) async fn end_claimed(
    db: &mut MySqlConnection,
    item: &Requested,
    state: &str,
    reason: Option<&str>,
) -> sqlx::Result<bool> {
    let written = sqlx::query!(
        "update operation_items set state = ?, reason = ?, finished_at = utc_timestamp(3), uncounted = 1
         where operation_id = ? and archive_id = ? and state = 'requested' and claim = ?",
        state,
        reason,
        item.operation_id,
        item.archive_id,
        item.claim
    )
    .execute(db)
    .await?;
    Ok(written.rows_affected() == 1)
}

pub(super) async fn open_again(
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
/// it leaves in the archive: a row that is resolved, unless it was archived again or another transaction settled the order. Gives what
/// is to be written down now, as [`refuse`] does.
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
) -> sqlx::Result<Ends> {
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
        return Ok(Ends::default());
    };
    if matches!(state, ARCHIVED | SUPERSEDED) {
        open_again(&mut *db, order, operation).await?;
    }
    let (state, reason) = if state == SUPERSEDED {
        ("refused", Some(SUPERSEDED))
    } else {
        (state, reason)
    };
    sqlx::query!(
        "update operation_items set state = ?, reason = ?, finished_at = utc_timestamp(3), uncounted = 1
         where operation_id = ? and archive_id = ?",
        state,
        reason,
        operation,
        order
    )
    .execute(&mut *db)
    .await?;
    finish_single(db, operation, order, state, reason).await
}

/// A replay, discard or reconcile of one order ends with its item. An operation on many is finished by [`super::tick`].
pub(super) async fn finish_single(
    db: &mut MySqlConnection,
    id: Uuid,
    archive_id: Uuid,
    state: &str,
    reason: Option<&str>,
) -> sqlx::Result<Ends> {
    // Asked first without a lock: a tick holds the row of an operation on many.
    let operation = sqlx::query!(
        r#"select filter is null as "single: bool", kind, asked_by from operations where id = ?"#,
        id
    )
    .fetch_one(&mut *db)
    .await?;
    if !operation.single {
        return Ok(Ends::default());
    }
    sqlx::query!(
        "update operations set state = 'finished', finished_at = utc_timestamp(3)
         where id = ? and state = 'running' and filter is null",
        id
    )
    .execute(db)
    .await?;
    let end = End {
        operation: id,
        kind: super::stored(&operation.kind)?,
        asked_by: operation.asked_by,
        archive_id,
        state: state.to_owned(),
        reason: reason.map(str::to_owned),
    };
    Ok([end].into_iter().collect())
}
