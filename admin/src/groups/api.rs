//! `/api/v1/groups`.

use super::{
    acts,
    list_query::{BadQuery, GroupQuery},
};
use crate::{
    App,
    access::{Caller, Look, MarkGroup, May},
    cursor::CursorPage,
    failure,
    hiding::Hide as _,
};
use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, SecondsFormat, Utc};
use compensation::{
    archive::{
        groups::{self, Group, Paging},
        marks::{Assignee, Change, NoStatus, NotMarked},
    },
    fingerprint::Fingerprint,
};
use serde::{Deserialize, Serialize};
use service_kit::problem::{Json, Path, Problem, Query};
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
    /// `open`, `ignored` or `resolved`.
    status: &'static str,
    /// Whether it was resolved, and failed again.
    is_back: bool,
    assignee: Option<String>,
    /// Why it was marked so last.
    reason: Option<String>,
    marked_by: Option<String>,
    marked_at: Option<DateTime<Utc>>,
    /// Grows with each mark; 0: nobody said anything.
    mark_version: u32,
    /// How often all of it was replayed.
    replays: u64,
}

/// What is to be said of a group; what is left out stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Marking {
    /// `open`, `ignored` or `resolved`.
    status: Option<String>,
    /// Who is to look after it; empty: nobody.
    assignee: Option<String>,
    #[serde(default)]
    reason: String,
    /// The version that was seen: a change by somebody else since is a conflict. Without it whatever is there is overruled.
    mark_version: Option<u32>,
}

/// The groups with open rows, unless all are asked for; those with the most open rows first, unless the latest are.
pub(crate) async fn list(
    State(app): State<App>,
    caller: May<Look>,
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
        .map_err(failure::database)?
        .hidden(caller.sight());
    let page = CursorPage::of(found, limit, |group| group.after(sort).to_string());
    Ok(Json(GroupsPage {
        page: page.map(Row::from),
        uncounted: groups::uncounted(&app.db)
            .await
            .map_err(failure::database)?,
    }))
}

/// One of them.
pub(crate) async fn get(
    State(app): State<App>,
    caller: May<Look>,
    Path(group): Path<String>,
) -> Result<Json<Row>, Problem> {
    one(&app, &caller, read(&group)?).await
}

/// Says what is to become of it.
pub(crate) async fn mark(
    State(app): State<App>,
    caller: May<MarkGroup>,
    Path(group): Path<String>,
    Json(asked): Json<Marking>,
) -> Result<Json<Row>, Problem> {
    let group = read(&group)?;
    let status = asked.status.as_deref().map(str::parse).transpose();
    let change = Change {
        status: status.map_err(|cause: NoStatus| failure::invalid(cause.to_string()))?,
        assignee: asked
            .assignee
            .as_deref()
            .map_or(Assignee::AsItIs, Assignee::from),
        reason: asked.reason,
        seen: asked.mark_version,
    };
    acts::mark(&app, &caller, group, &change)
        .await
        .map_err(problem)?;
    one(&app, &caller, group).await
}

async fn one(app: &App, caller: &Caller, group: Fingerprint) -> Result<Json<Row>, Problem> {
    let found = groups::find(&app.db, group)
        .await
        .map_err(failure::database)?;
    found
        .map(|group| Json(Row::from(group.hidden(caller.sight()))))
        .ok_or_else(|| failure::not_found("group"))
}

fn read(group: &str) -> Result<Fingerprint, Problem> {
    group.parse().map_err(|_| failure::not_found("group"))
}

fn problem(refused: NotMarked) -> Problem {
    let detail = acts::sentence(&refused);
    match refused {
        NotMarked::NotFound => failure::not_found("group"),
        NotMarked::Database(cause) => failure::database(cause),
        NotMarked::Bad(_) => failure::invalid(detail),
        NotMarked::Meanwhile { by, at } => Problem::new(StatusCode::CONFLICT, "changed", detail)
            .with("by", by)
            .with("since", at.to_rfc3339_opts(SecondsFormat::Millis, true)),
    }
}

impl From<Group> for Row {
    fn from(group: Group) -> Self {
        let (status, is_back) = (group.status(), group.is_back());
        let mark_version = group.mark.as_ref().map_or(0, |mark| mark.version);
        let (assignee, reason, marked_by, marked_at) = match group.mark {
            Some(mark) => (
                mark.assignee,
                Some(mark.reason),
                Some(mark.by),
                Some(mark.at),
            ),
            None => (None, None, None, None),
        };
        Self {
            status: status.as_str(),
            is_back,
            assignee,
            reason: reason.filter(|reason| !reason.is_empty()),
            marked_by,
            marked_at,
            mark_version,
            replays: group.replays,
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
