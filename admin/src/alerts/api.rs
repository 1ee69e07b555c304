//! `GET /api/v1/alerts`.

use super::{AlertQuery, PER_PAGE, place};
use crate::{
    App,
    access::{Look, May},
    cursor::CursorPage,
    failure,
};
use axum::extract::State;
use compensation::alerts::outbox::{self, Delivery};
use service_kit::problem::{Json, Problem, Query};

/// Alerts by channel, newest first.
pub(crate) async fn list(
    State(app): State<App>,
    _: May<Look>,
    Query(query): Query<AlertQuery>,
) -> Result<Json<CursorPage<Delivery>>, Problem> {
    let bad = |cause: place::BadQuery| failure::invalid(cause.to_string());
    let (show, before) = (query.show().map_err(bad)?, query.before().map_err(bad)?);
    let found = outbox::list(&app.db, show, PER_PAGE + 1, before.as_ref())
        .await
        .map_err(failure::database)?;
    Ok(Json(CursorPage::of(found, PER_PAGE, |alert| {
        place::written(&alert.position())
    })))
}
