//! Forcing a stop, and handing over what is stuck: nothing that is applied in part is left without somebody who knows.

use super::{Details, get_in};
use crate::{
    ids::Gid,
    state::{Event, IllegalMove, TxState},
};
use sqlx::{MySql, MySqlConnection, QueryBuilder};

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

/// Where a stuck row goes in the order of due times once it has its dead letter: those that have none are found before it, however
/// many there are. It is never due.
const HANDED_OVER: &str = "timestamp('9000-01-01 00:00:00')";

/// Stops completing a decided transaction, in the name of `by` and for `reason`: it is stuck from then on, and [handed
/// over](stuck_to_hand_over) with what is not done. Calls under way may still be applied, and finish nothing. It goes on only when it is
/// [resumed](crate::resume()), the way it was decided. Locks its row; in a database transaction of the caller's, that may hold what is
/// written down of the act.
///
/// # Errors
/// [`StopError`]
pub async fn stop(
    db: &mut MySqlConnection,
    gid: Gid,
    by: &str,
    reason: &str,
) -> Result<TxState, StopError> {
    let stored = sqlx::query_scalar!(
        "select state from transactions where gid = ? for update",
        gid
    )
    .fetch_optional(&mut *db)
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
        "update transactions set state = ?, handed_over = 0, stopped = 1, last_error = ? where gid = ?",
        stopped.as_str(),
        why,
        gid
    )
    .execute(db)
    .await?;
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
    let mut stuck = Vec::new();
    for state in [TxState::StuckCommitting, TxState::StuckRollingBack] {
        let gids = sqlx::query_scalar!(
            r#"select gid as "gid: Gid" from transactions
               where state = ? and due_at < timestamp('9000-01-01 00:00:00') and handed_over = 0
               order by due_at limit ? for update skip locked"#,
            state.as_str(),
            limit.saturating_sub(u32::try_from(stuck.len()).unwrap_or(u32::MAX))
        )
        .fetch_all(&mut *db)
        .await?;
        for gid in gids {
            stuck.extend(get_in(db, gid).await?);
        }
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
    let mut query = QueryBuilder::<MySql>::new(format!(
        "update transactions set handed_over = 1, due_at = {HANDED_OVER} \
         where state in ('stuck_committing', 'stuck_rolling_back') and gid in ("
    ));
    let mut list = query.separated(", ");
    for gid in gids {
        list.push_bind(gid);
    }
    query.push(")");
    query.build().execute(db).await?;
    Ok(())
}
