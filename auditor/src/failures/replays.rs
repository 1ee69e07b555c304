//! What operators asked for: each replay is finished, and came to what its transaction says.

use crate::{checks::Check, verdict::Tally};
use futures::TryStreamExt;
use sqlx::MySqlConnection;
use uuid::Uuid;

/// One replayed order.
#[derive(sqlx::FromRow)]
struct Replayed {
    archive_id: Uuid,
    gid: Uuid,
    state: String,
    operation: String,
    transaction: Option<String>,
}

/// Looks at every replay.
pub async fn check(db: &mut MySqlConnection, tally: &mut Tally) -> sqlx::Result<()> {
    let mut rows = sqlx::query_as::<_, Replayed>(
        "select i.archive_id, i.gid, i.state, o.state as operation, t.state as transaction
         from operation_items i join operations o on o.id = i.operation_id left join transactions t on t.gid = i.gid",
    )
    .fetch(&mut *db);
    while let Some(row) = rows.try_next().await? {
        let finished = matches!(
            row.state.as_str(),
            "confirmed" | "rejected" | "archived" | "refused" | "discarded"
        );
        let over = match row.operation.as_str() {
            "finished" => finished,
            // What was not begun never will be, or waits for an operator.
            "cancelled" | "undone" | "paused" => finished || row.state == "selected",
            _ => false,
        };
        tally.note(Check::ReplaysFinished, over, || {
            format!(
                "order {}: its replay is {}, the operation {}",
                row.archive_id, row.state, row.operation
            )
        });
        // Where retention removed the transaction, nothing can be compared.
        let fits = match (row.state.as_str(), row.transaction.as_deref()) {
            (_, None) => true,
            ("confirmed", Some(state)) => state == "committed",
            // Refused too: another transaction may have settled the order since it was reserved again.
            (_, Some(state)) => state != "committed",
        };
        tally.note(Check::ReplayTrue, fits, || {
            format!(
                "order {}: its replay is {}, the transaction {} is {}",
                row.archive_id,
                row.state,
                row.gid,
                row.transaction.as_deref().unwrap_or("gone")
            )
        });
    }
    drop(rows);
    let claimed: Vec<(Uuid,)> =
        sqlx::query_as("select id from failed_order_archives where operation_id is not null")
            .fetch_all(db)
            .await?;
    for (archived,) in claimed {
        tally.note(Check::ReplaysFinished, false, || {
            format!("archived {archived}: still claimed by a replay")
        });
    }
    Ok(())
}
