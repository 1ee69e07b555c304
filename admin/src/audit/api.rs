//! `GET /api/v1/audit`.

use super::{Line, PER_PAGE, newest, query::AuditQuery};
use crate::{
    App,
    access::{Look, May},
    cursor::CursorPage,
    failure,
    hiding::Hide as _,
};
use axum::extract::State;
use service_kit::problem::{Json, Problem, Query};

/// The audit, newest first, with the page's filters.
pub(crate) async fn list(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<CursorPage<Line>>, Problem> {
    let filter = query
        .filter()
        .map_err(|cause| failure::invalid(cause.to_string()))?;
    let lines = newest(&app.db, &filter, query.before, PER_PAGE + 1)
        .await
        .map_err(failure::database)?
        .hidden(caller.sight());
    Ok(Json(CursorPage::of(lines, PER_PAGE, |line| {
        line.id.to_string()
    })))
}
