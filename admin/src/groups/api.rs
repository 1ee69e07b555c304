//! `/api/v1/groups`.

use super::list_query::{BadQuery, GroupQuery};
use crate::{
    App,
    access::{Look, May},
    cursor::CursorPage,
    failure,
};
use axum::extract::State;
use chrono::{DateTime, Utc};
use compensation::archive::groups::{self, Group, Paging};
use serde::Serialize;
use service_kit::problem::{Json, Problem, Query};
use uuid::Uuid;

/// One page of them.
#[derive(Debug, Serialize)]
pub(crate) struct GroupsPage {
    #[serde(flatten)]
    page: CursorPage<Row>,
    /// Archived rows that changed and are not counted here yet, 1,000 at most.
    uncounted: u32,
}

/// One group.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// For `/api/v1/archives?fingerprint=`.
    fingerprint: String,
    /// The way of comparing that made it.
    version: u16,
    step: String,
    code: Option<String>,
    pattern: String,
    why_grouped: String,
    /// Rows that are not handled, some replayed just now perhaps.
    open: u64,
    total: u64,
    first_seen_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    /// The latest row; none where it failed for another cause since.
    example_id: Option<Uuid>,
}

/// The groups with open rows, unless all are asked for; those with the most open rows first, unless the latest are.
pub(crate) async fn list(
    State(app): State<App>,
    _: May<Look>,
    Query(query): Query<GroupQuery>,
) -> Result<Json<GroupsPage>, Problem> {
    let bad = |cause: BadQuery| failure::invalid(cause.to_string());
    let sort = query.sort().map_err(bad)?;
    let limit = query.limit().map_err(bad)?;
    let paging = Paging {
        after: query.after().map_err(bad)?,
        limit: limit + 1,
    };
    let shown = query.shown().map_err(bad)?;
    let found = groups::page(&app.db, shown, sort, paging)
        .await
        .map_err(failure::database)?;
    let page = CursorPage::of(found, limit, |group| group.after(sort).to_string());
    Ok(Json(GroupsPage {
        page: page.map(Row::from),
        uncounted: groups::uncounted(&app.db)
            .await
            .map_err(failure::database)?,
    }))
}

impl From<Group> for Row {
    fn from(group: Group) -> Self {
        Self {
            why_grouped: group.cause.why_grouped(),
            fingerprint: group.fingerprint.to_string(),
            version: group.version,
            step: group.cause.step,
            code: group.cause.code,
            pattern: group.cause.pattern,
            open: group.open,
            total: group.total,
            first_seen_at: group.first_seen_at,
            last_seen_at: group.last_seen_at,
            example_id: group.example_id,
        }
    }
}
