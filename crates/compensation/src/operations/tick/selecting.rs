//! The rows an operation is about are written down as its items, a piece at a time; nothing is claimed.

use super::{AT_ONCE, Due, filled_up};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, MySql, MySqlConnection, QueryBuilder};
use uuid::Uuid;

/// Up to so many the index of the filter is used, though it is walked from its beginning for each piece, for MariaDB takes only the
/// filter's columns from it (0.3 us a row: 100,000 rows on, 30 to 100 ms a piece). Beyond it the index of times is, from where the last
/// piece ended: 4 ms a piece, and each row of the archive is read once.
const BY_FILTER: u32 = 50_000;

/// Writes the next of its items, those archived first first, up to its watermark: a row that was archived later, or again, is not one.
/// Nothing is claimed.
///
/// # Errors
/// What the database says.
pub async fn select_some(db: &mut MySqlConnection, due: &mut Due) -> sqlx::Result<()> {
    let found = matches(&mut *db, due).await?;
    due.selected_all = found.len() < AT_ONCE as usize;
    let Some(last) = found.last() else {
        return Ok(());
    };
    due.cursor = (last.archived_at, last.id);
    let mut insert = QueryBuilder::<MySql>::new(
        "insert ignore into operation_items (operation_id, archive_id, gid, generation, state, due_at, created_at) ",
    );
    let (id, now) = (due.id, due.now.naive_utc());
    insert.push_values(filled_up(found), |mut item, row| {
        // What is held has no decision yet: its own transaction goes on.
        let (gid, generation) = match row.gid {
            Some(gid) if row.held => (gid, row.generation),
            _ => (Uuid::now_v7(), row.generation + 1),
        };
        item.push_bind(id)
            .push_bind(row.id)
            .push_bind(gid)
            .push_bind(generation)
            .push("'selected'")
            .push_bind(now)
            .push_bind(now);
    });
    let written = insert.build().execute(db).await?.rows_affected();
    due.counts.selected += u32::try_from(written).unwrap_or(u32::MAX);
    Ok(())
}

#[derive(Clone, FromRow)]
struct Match {
    id: Uuid,
    gid: Option<Uuid>,
    generation: i32,
    held: bool,
    archived_at: DateTime<Utc>,
}

async fn matches(db: &mut MySqlConnection, due: &Due) -> sqlx::Result<Vec<Match>> {
    let mut query = QueryBuilder::<MySql>::new(
        "select id, gid, generation, held, archived_at from failed_order_archives ",
    );
    if due.counts.selected >= BY_FILTER {
        query.push("force index (archives_by_time) ");
    }
    query.push("where ");
    due.filter.push(&mut query);
    let (at, id) = (due.cursor.0.naive_utc(), due.cursor.1);
    query.push(" and archived_at >= ").push_bind(at);
    query
        .push(" and archived_at <= ")
        .push_bind(due.watermark.naive_utc());
    query.push(" and (archived_at > ").push_bind(at);
    query.push(" or id > ").push_bind(id).push(")");
    query.push(" order by archived_at, id limit ");
    query
        .push_bind(AT_ONCE)
        .build_query_as()
        .fetch_all(db)
        .await
}
