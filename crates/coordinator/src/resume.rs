//! A person, or a participant that came back, lets a stuck transaction go on, the way it was decided.

use crate::{
    ids::Gid,
    state::{Event, IllegalMove, TxState},
};
use sqlx::MySqlConnection;

/// Why a transaction was not resumed.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// There is no such transaction, or retention removed it.
    #[error("there is no transaction {0}")]
    NotFound(Gid),
    /// It is not stuck: it goes on by itself, or has ended.
    #[error(transparent)]
    NotStuck(#[from] IllegalMove),
    /// It was stopped a moment ago, and its dead letter is not written yet.
    #[error(
        "transaction {0} was just stopped, and its dead letter is still to be written: resume it in a moment"
    )]
    NotHandedOver(Gid),
    /// Nothing was changed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Lets a stuck transaction go on at once, with all its attempts before it and the reason of the last one kept. Gives the state it
/// has then. Locks its row; in a database transaction of the caller's, that may hold what is written down of the act.
///
/// # Errors
/// [`ResumeError`]
pub async fn resume(db: &mut MySqlConnection, gid: Gid) -> Result<TxState, ResumeError> {
    let row = sqlx::query!(
        r#"select state, handed_over as "handed_over: bool", stopped as "stopped: bool" from transactions where gid = ? for update"#,
        gid
    )
    .fetch_optional(&mut *db)
    .await?
    .ok_or(ResumeError::NotFound(gid))?;
    let from: TxState = row
        .state
        .parse()
        .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))?;
    let resumed = from.on(Event::Resumed)?;
    if row.stopped && !row.handed_over {
        return Err(ResumeError::NotHandedOver(gid));
    }
    sqlx::query!(
        "update transactions set state = ?, attempts = 0, stopped = 0, due_at = utc_timestamp(3) where gid = ?",
        resumed.as_str(),
        gid
    )
    .execute(db)
    .await?;
    Ok(resumed)
}
