//! `GET /api/v1/audit`.

use super::{Line, Search, lines, list::PER_PAGE};
use crate::{
    App,
    access::{Look, May},
    cursor::CursorPage,
    failure,
};
use axum::extract::State;
use service_kit::problem::{Json, Problem, Query};

/// The audit, newest first; `?subject=` and `?before=`.
pub(crate) async fn list(
    State(app): State<App>,
    _: May<Look>,
    Query(search): Query<Search>,
) -> Result<Json<CursorPage<Line>>, Problem> {
    let lines = lines(&app.db, &search, PER_PAGE + 1)
        .await
        .map_err(failure::database)?;
    Ok(Json(CursorPage::of(lines, PER_PAGE, |line| {
        line.id.to_string()
    })))
}
