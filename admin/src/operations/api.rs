//! `GET /api/v1/operations/{id}`.

use crate::{
    App,
    access::{Look, May},
    failure,
};
use axum::extract::State;
use chrono::{DateTime, Utc};
use compensation::operations::{self, Operation};
use serde::Serialize;
use service_kit::problem::{Json, Path, Problem};
use uuid::Uuid;

/// One operation.
#[derive(Debug, Serialize)]
pub(crate) struct Whole {
    id: Uuid,
    kind: String,
    asked_by: String,
    reason: Option<String>,
    /// `running` or `finished`.
    state: String,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    items: Vec<Item>,
}

/// What it is done to.
#[derive(Debug, Serialize)]
struct Item {
    order_id: Uuid,
    gid: Uuid,
    generation: u32,
    /// `requested`, `processing`, or how it ended.
    state: String,
    reason: Option<String>,
    finished_at: Option<DateTime<Utc>>,
}

/// One operation, as far as it has come.
pub(crate) async fn get(
    State(app): State<App>,
    _: May<Look>,
    Path(id): Path<Uuid>,
) -> Result<Json<Whole>, Problem> {
    let found = operations::find(&app.db, id)
        .await
        .map_err(failure::database)?;
    found
        .map(|operation| Json(operation.into()))
        .ok_or_else(|| failure::not_found("operation"))
}

impl From<Operation> for Whole {
    fn from(operation: Operation) -> Self {
        Self {
            id: operation.id,
            kind: operation.kind,
            asked_by: operation.asked_by,
            reason: operation.reason,
            state: operation.state,
            created_at: operation.created_at,
            finished_at: operation.finished_at,
            items: operation.items.into_iter().map(Item::from).collect(),
        }
    }
}

impl From<operations::Item> for Item {
    fn from(item: operations::Item) -> Self {
        Self {
            order_id: item.archive_id,
            gid: item.gid,
            generation: item.generation,
            state: item.state,
            reason: item.reason,
            finished_at: item.finished_at,
        }
    }
}
