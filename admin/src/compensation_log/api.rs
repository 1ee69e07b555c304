//! `GET /api/v1/compensation-logs`.

use super::list_query::{BadQuery, LogQuery};
use crate::{
    App,
    access::{Look, May},
    cursor::CursorPage,
    failure,
    hiding::Hide as _,
};
use axum::extract::State;
use chrono::{DateTime, Utc};
use compensation::log::reading;
use serde::Serialize;
use service_kit::problem::{Json, Problem, Query};
use uuid::Uuid;

/// One try.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    gid: Uuid,
    order_id: Uuid,
    generation: u32,
    attempt: u32,
    lane: String,
    outcome: String,
    error: Option<String>,
    started_at: DateTime<Utc>,
    duration_ms: u32,
    next_after_ms: Option<i64>,
    worker: String,
}

/// Tries, the latest first. A page may be short, or empty, and have another one after it.
pub(crate) async fn list(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<LogQuery>,
) -> Result<Json<CursorPage<Row>>, Problem> {
    let invalid = |cause: BadQuery| failure::invalid(cause.to_string());
    let filter = query.filter().map_err(invalid)?;
    let cursor = query.cursor().map_err(invalid)?;
    let limit = query.limit().map_err(invalid)?;
    let mut found = reading::page(&app.db, &filter, cursor, limit)
        .await
        .map_err(failure::database)?;
    found.rows.hide(caller.sight());
    Ok(Json(CursorPage {
        items: found
            .rows
            .into_iter()
            .map(|row| Row {
                gid: row.gid,
                order_id: row.order_id,
                generation: row.generation,
                attempt: row.attempt,
                lane: row.lane,
                outcome: row.outcome,
                error: row.error,
                started_at: row.started_at,
                duration_ms: row.duration_ms,
                next_after_ms: row.next_after_ms,
                worker: row.worker,
            })
            .collect(),
        next: found.next.map(|next| next.to_string()),
    }))
}
