//! The order of a transaction that is not decided, as it was written down with it.

use super::acts::ActError;
use coordinator::Gid;
use ordering::message::OrderMessage;
use serde::Deserialize;
use sqlx::MySqlConnection;

/// What is stored of an order's work; the rest of it does not matter here.
#[derive(Deserialize)]
struct Work {
    message: OrderMessage,
}

/// The order's message.
///
/// # Errors
/// `already_decided` where it is not undecided any more, `message_unreadable` where only a newer build can read it.
pub(super) async fn message(db: &mut MySqlConnection, gid: Gid) -> Result<OrderMessage, ActError> {
    let work = sqlx::query_scalar!(
        "select work from transactions where gid = ? and state in ('begun', 'prepared')",
        gid
    )
    .fetch_optional(db)
    .await?
    .ok_or(ActError::Refused("already_decided"))?;
    let read = work.as_deref().map(serde_json::from_str::<Work>);
    match read {
        Some(Ok(work)) => Ok(work.message),
        Some(Err(_)) | None => Err(ActError::Refused("message_unreadable")),
    }
}
