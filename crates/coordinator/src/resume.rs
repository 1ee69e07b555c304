//! A person, or a participant that came back, lets a stuck transaction go on, the way it was decided.

use crate::{
    ids::Gid,
    state::{Event, IllegalMove, TxState},
};
use sqlx::MySqlPool;

/// Why a transaction was not resumed.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// There is no such transaction, or retention removed it.
    #[error("there is no transaction {0}")]
    NotFound(Gid),
    /// It is not stuck: it goes on by itself, or has ended.
    #[error(transparent)]
    NotStuck(#[from] IllegalMove),
    /// Nothing was changed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Lets a stuck transaction go on at once, with all its attempts before it and the reason of the last one kept. Gives the state it
/// has now. Locks its row.
///
/// # Errors
/// [`ResumeError`]
pub async fn resume(db: &MySqlPool, gid: Gid) -> Result<TxState, ResumeError> {
    let mut tx = db.begin().await?;
    let stored = sqlx::query_scalar!(
        "select state from transactions where gid = ? for update",
        gid
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(ResumeError::NotFound(gid))?;
    let from: TxState = stored
        .parse()
        .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))?;
    let resumed = from.on(Event::Resumed)?;
    sqlx::query!(
        "update transactions set state = ?, attempts = 0, due_at = utc_timestamp(3) where gid = ?",
        resumed.as_str(),
        gid
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(resumed)
}
