//! What has ended since the last tick is added up, once.

use super::{AT_ONCE, Due, set_items};
use crate::operations::{End, Ends, items::ARCHIVED};
use sqlx::MySqlConnection;
use uuid::Uuid;

/// Adds up what has ended since the last tick, and gives it to be written down: of items that are added up once, each has one line.
///
/// # Errors
/// What the database says.
pub async fn add_up(db: &mut MySqlConnection, due: &mut Due) -> sqlx::Result<Ends> {
    let ended: Vec<(Uuid, String, Option<String>)> = sqlx::query_as(
        "select archive_id, state, reason from operation_items force index (operation_items_uncounted)
         where operation_id = ? and uncounted = 1 order by archive_id limit ?",
    )
    .bind(due.id)
    .bind(AT_ONCE)
    .fetch_all(&mut *db)
    .await?;
    for (_, state, _) in &ended {
        let count = match state.as_str() {
            "confirmed" => &mut due.counts.confirmed,
            "rejected" => &mut due.counts.rejected,
            ARCHIVED => &mut due.counts.archived,
            "discarded" => &mut due.counts.discarded,
            _ => &mut due.counts.refused,
        };
        *count += 1;
        due.window.ended += 1;
        due.window.failed += u32::from(is_failure(state));
    }
    let ids = ended.iter().map(|(id, ..)| *id).collect();
    set_items(db, due.id, ids, "uncounted = 0", None).await?;
    let end = |(archive_id, state, reason)| End {
        operation: due.id,
        kind: due.kind,
        asked_by: due.asked_by.clone(),
        archive_id,
        state,
        reason,
    };
    Ok(ended.into_iter().map(end).collect())
}

/// What counts as a failure: an item that came back, or was not done. A buyer who was told no was told.
fn is_failure(state: &str) -> bool {
    matches!(state, ARCHIVED | "refused")
}
