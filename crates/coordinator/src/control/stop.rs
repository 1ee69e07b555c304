//! Forcing a stop, and handing over what is stuck: nothing that is applied in part is left without somebody who knows.

use super::{Details, get_in};
use crate::{
    ids::Gid,
    state::{Event, IllegalMove, TxState},
};
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder};

/// Why a transaction was not stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// There is no such transaction, or retention removed it.
    #[error("there is no transaction {0}")]
    NotFound(Gid),
    /// It is not decided yet, has ended, or is stuck already.
    #[error(transparent)]
    CannotStop(#[from] IllegalMove),
    /// Nothing was changed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Stops completing a decided transaction, in the name of `by` and for `reason`: it is stuck from now on, and [handed
/// over](stuck_to_hand_over) with what is not done. Calls under way may still be applied, and finish nothing. It goes on only when it is
/// [resumed](crate::resume()), the way it was decided. Locks its row.
///
/// # Errors
/// [`StopError`]
pub async fn stop(db: &MySqlPool, gid: Gid, by: &str, reason: &str) -> Result<TxState, StopError> {
    let mut tx = db.begin().await?;
    let stored = sqlx::query_scalar!(
        "select state from transactions where gid = ? for update",
        gid
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(StopError::NotFound(gid))?;
    let from: TxState = stored
        .parse()
        .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))?;
    let stopped = from.on(Event::AskedToStop)?;
    let why: String = format!("stopped by {by}: {reason}")
        .chars()
        .take(500)
        .collect();
    sqlx::query!(
        "update transactions set state = ?, handed_over = 0, last_error = ? where gid = ?",
        stopped.as_str(),
        why,
        gid
    )
    .execute(&mut *tx)
    .await?;
    // A participant that comes back does not start it again.
    sqlx::query!(
        "update transaction_branches set waits = 0 where gid = ?",
        gid
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(stopped)
}

/// Up to `limit` stuck transactions nobody was told of since they got stuck, with all that is known of them, locked: rows others
/// hold are left out. To be [`handed_over`] in the same database transaction as what tells of them.
///
/// # Errors
/// What the database says.
pub async fn stuck_to_hand_over(
    db: &mut MySqlConnection,
    limit: u32,
) -> sqlx::Result<Vec<Details>> {
    let gids = sqlx::query_scalar!(
        r#"select gid as "gid: Gid" from transactions
           where state in ('stuck_committing', 'stuck_rolling_back') and handed_over = 0
           limit ? for update skip locked"#,
        limit
    )
    .fetch_all(&mut *db)
    .await?;
    let mut stuck = Vec::with_capacity(gids.len());
    for gid in gids {
        stuck.extend(get_in(db, gid).await?);
    }
    Ok(stuck)
}

/// These have their dead letters.
///
/// # Errors
/// What the database says.
pub async fn handed_over(db: &mut MySqlConnection, gids: &[Gid]) -> sqlx::Result<()> {
    if gids.is_empty() {
        return Ok(());
    }
    let mut query =
        QueryBuilder::<MySql>::new("update transactions set handed_over = 1 where gid in (");
    let mut list = query.separated(", ");
    for gid in gids {
        list.push_bind(gid);
    }
    query.push(")");
    query.build().execute(db).await?;
    Ok(())
}
