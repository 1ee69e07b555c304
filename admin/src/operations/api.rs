//! `GET /api/v1/operations`, `…/{id}` and `…/{id}/items`.

use crate::{
    App,
    access::{Look, May},
    cursor::CursorPage,
    failure,
    hiding::Hide as _,
};
use axum::extract::State;
use chrono::{DateTime, Utc};
use compensation::operations::{self, Bulk, Operation, terms::Selected};
use serde::{Deserialize, Serialize};
use service_kit::problem::{Json, Path, Problem, Query};
use uuid::Uuid;

/// Operations of one page.
const PER_PAGE: u32 = 50;
/// Items of one page.
pub(super) const ITEMS_PER_PAGE: u32 = 100;

/// One operation.
#[derive(Debug, Serialize)]
pub(crate) struct Whole {
    id: Uuid,
    kind: &'static str,
    asked_by: String,
    reason: Option<String>,
    /// A single replay is `running` or `finished`.
    state: &'static str,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    /// Of an operation on many, how far it has come.
    bulk: Option<Progress>,
    /// What a single replay is done to. Those of many are listed under `/operations/{id}/items`.
    items: Vec<Item>,
}

/// How far an operation on many has come.
#[derive(Debug, Serialize)]
struct Progress {
    filter: Selected,
    rate: u32,
    canary: bool,
    stop_percent: u32,
    /// Until then it can be undone.
    starts_at: DateTime<Utc>,
    /// What was archived later is left out.
    archived_until: DateTime<Utc>,
    /// Whether `counts.selected` is all of them.
    selected_all: bool,
    counts: Counts,
    stage: String,
    /// Of a discard: who besides the asker has to confirm it.
    second_person: Option<SecondPerson>,
    last_act: Option<LastAct>,
}

/// Above so many orders another operator has to confirm it.
#[derive(Debug, Serialize)]
struct SecondPerson {
    above: u32,
    confirmed_by: Option<String>,
    confirmed_at: Option<DateTime<Utc>>,
    /// Until then it can be.
    until: DateTime<Utc>,
}

#[derive(Debug, Serialize)]
struct Counts {
    selected: u32,
    left: u32,
    under_way: u32,
    confirmed: u32,
    rejected: u32,
    archived: u32,
    refused: u32,
    discarded: u32,
}

#[derive(Debug, Serialize)]
struct LastAct {
    act: String,
    /// Null: by itself.
    by: Option<String>,
    at: DateTime<Utc>,
    reason: Option<String>,
}

/// What it is done to.
#[derive(Debug, Serialize)]
pub(crate) struct Item {
    order_id: Uuid,
    gid: Uuid,
    generation: u32,
    /// The version of its message that is taken; null where it was not edited, or is not begun.
    version: Option<i32>,
    /// `selected`, `requested`, `processing`, or how it ended.
    state: String,
    reason: Option<String>,
    finished_at: Option<DateTime<Utc>>,
}

/// Where a page begins.
#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    after: Option<String>,
}

/// Which items.
#[derive(Debug, Deserialize)]
pub(crate) struct ItemsQuery {
    state: Option<String>,
    after: Option<Uuid>,
}

/// All of them, newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<ListQuery>,
) -> Result<Json<CursorPage<Whole>>, Problem> {
    let after = query
        .after
        .filter(|after| !after.is_empty())
        .map(|after| after.parse())
        .transpose()
        .map_err(|_| failure::invalid("after is not where a page ended"))?;
    let found = operations::page(&app.db, after, PER_PAGE + 1)
        .await
        .map_err(failure::database)?
        .hidden(caller.sight());
    let page = CursorPage::of(found, PER_PAGE, |operation| operation.place().to_string());
    Ok(Json(page.map(Whole::from)))
}

/// One operation, as far as it has come.
pub(crate) async fn get(
    State(app): State<App>,
    caller: May<Look>,
    Path(id): Path<Uuid>,
) -> Result<Json<Whole>, Problem> {
    let found = operations::find(&app.db, id)
        .await
        .map_err(failure::database)?;
    found
        .map(|operation| Json(operation.hidden(caller.sight()).into()))
        .ok_or_else(|| failure::not_found("operation"))
}

/// What it is done to, page by page.
pub(crate) async fn items(
    State(app): State<App>,
    caller: May<Look>,
    Path(id): Path<Uuid>,
    Query(query): Query<ItemsQuery>,
) -> Result<Json<CursorPage<Item>>, Problem> {
    let state = query.state.filter(|state| !state.is_empty());
    if state.as_deref().is_some_and(|state| !is_item_state(state)) {
        return Err(failure::invalid(format!(
            "state is one of {}",
            ITEM_STATES.join(", ")
        )));
    }
    operations::find(&app.db, id)
        .await
        .map_err(failure::database)?
        .ok_or_else(|| failure::not_found("operation"))?;
    let found = operations::items(
        &app.db,
        id,
        state.as_deref(),
        query.after,
        ITEMS_PER_PAGE + 1,
    )
    .await
    .map_err(failure::database)?
    .hidden(caller.sight());
    let page = CursorPage::of(found, ITEMS_PER_PAGE, |item| item.archive_id.to_string());
    Ok(Json(page.map(Item::from)))
}

/// States of items, those that are not over first.
pub(super) const ITEM_STATES: [&str; 8] = [
    "selected",
    "requested",
    "processing",
    "confirmed",
    "rejected",
    "archived",
    "refused",
    "discarded",
];

pub(super) fn is_item_state(name: &str) -> bool {
    ITEM_STATES.contains(&name)
}

impl From<Operation> for Whole {
    fn from(operation: Operation) -> Self {
        Self {
            id: operation.id,
            kind: operation.kind.as_str(),
            asked_by: operation.asked_by,
            reason: operation.reason,
            state: operation.state.as_str(),
            created_at: operation.created_at,
            finished_at: operation.finished_at,
            bulk: operation.bulk.map(Progress::from),
            items: operation.items.into_iter().map(Item::from).collect(),
        }
    }
}

impl From<Bulk> for Progress {
    fn from(bulk: Bulk) -> Self {
        let (stage, counts) = (bulk.stage(), bulk.counts);
        Self {
            filter: bulk.selected,
            rate: bulk.rate,
            canary: bulk.canary,
            stop_percent: bulk.stop_percent,
            starts_at: bulk.starts_at,
            archived_until: bulk.watermark,
            selected_all: bulk.selected_all,
            counts: Counts {
                selected: counts.selected,
                left: counts.left(),
                under_way: counts.under_way(),
                confirmed: counts.confirmed,
                rejected: counts.rejected,
                archived: counts.archived,
                refused: counts.refused,
                discarded: counts.discarded,
            },
            stage,
            second_person: bulk.second_person.map(|second| SecondPerson {
                above: second.above,
                confirmed_by: second.confirmed_by,
                confirmed_at: second.confirmed_at,
                until: second.until,
            }),
            last_act: bulk.last_act.map(|last| LastAct {
                act: last.act,
                by: last.by,
                at: last.at,
                reason: last.reason,
            }),
        }
    }
}

impl From<operations::Item> for Item {
    fn from(item: operations::Item) -> Self {
        Self {
            order_id: item.archive_id,
            gid: item.gid,
            generation: item.generation,
            version: item.version,
            state: item.state,
            reason: item.reason,
            finished_at: item.finished_at,
        }
    }
}
