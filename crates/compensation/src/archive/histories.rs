//! What was tried of many orders before, for those who add to it.

use crate::{attempt::History, many, queue::unreadable};
use sqlx::MySqlConnection;
use std::collections::HashMap;
use uuid::Uuid;

/// The histories of those orders that were ever archived, by order.
///
/// # Errors
/// What the database says.
pub async fn histories_of(
    db: &mut MySqlConnection,
    orders: impl IntoIterator<Item = Uuid>,
) -> sqlx::Result<HashMap<Uuid, History>> {
    let rows = sqlx::query!(
        r#"select known.id as "id: Uuid", known.history
           from json_table(?, '$[*]' columns (id char(32) path '$' error on error)) as asked
           straight_join failed_order_archives as known force index (primary) on known.id = unhex(asked.id)"#,
        many::ids(orders)
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok((
                row.id,
                History::from_json(&row.history).map_err(unreadable)?,
            ))
        })
        .collect()
}
