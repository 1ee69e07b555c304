//! `/api/v1/archives`.

use super::{Detail, ListQuery, list_page::PER_PAGE};
use crate::{
    App,
    access::{Look, May},
    audit::Line,
    cursor::CursorPage,
    failure,
    hiding::Hide as _,
};
use axum::extract::State;
use chrono::{DateTime, Utc};
use compensation::{
    alerts::{incidents, outbox::Delivery},
    archive::{
        listing::{self, Listed, Paging},
        transaction::StuckTransaction,
    },
    attempt::Attempt,
    fingerprint::Fingerprint,
    operations::Operation,
    personal::{self, Sight},
};
use serde::Serialize;
use serde_json::value::RawValue;
use service_kit::problem::{Json, Path, Problem, Query};
use uuid::Uuid;

/// One row of the list.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    id: Uuid,
    /// `order`, `transaction` or `message`.
    kind: &'static str,
    order_id: Option<Uuid>,
    gid: Option<Uuid>,
    generation: i32,
    sale_id: Option<Uuid>,
    /// Its end only, for whom nothing personal is shown.
    user_id: Option<String>,
    quantity: Option<i32>,
    state: &'static str,
    step: String,
    error: String,
    /// What it shares with its group; null where that is not worked out yet.
    fingerprint: Option<String>,
    attempts: i32,
    held: bool,
    resolution: Option<String>,
    operation_id: Option<Uuid>,
    times_archived: i32,
    /// The number of its newest version; 0: nobody has edited it.
    version: i32,
    first_failed_at: DateTime<Utc>,
    archived_at: DateTime<Utc>,
    handled_at: Option<DateTime<Utc>>,
}

/// One of it, whole.
#[derive(Debug, Serialize)]
pub(crate) struct Whole {
    id: Uuid,
    /// `order`, `transaction` or `message`.
    kind: &'static str,
    order_id: Option<Uuid>,
    gid: Option<Uuid>,
    generation: u32,
    sale_id: Option<Uuid>,
    /// Its end only, for whom nothing personal is shown.
    user_id: Option<String>,
    quantity: Option<u32>,
    state: &'static str,
    step: String,
    error: String,
    /// The kind of error, where it is known besides its text.
    error_class: Option<String>,
    /// What it shares with its group; null where that is not worked out yet.
    fingerprint: Option<String>,
    /// The way of comparing that gave it.
    fingerprint_version: u16,
    why_grouped: Option<String>,
    attempts: u32,
    held: bool,
    resolution: Option<String>,
    operation_id: Option<Uuid>,
    times_archived: u32,
    /// The number of its newest version; 0: nobody has edited it.
    version: u32,
    first_failed_at: DateTime<Utc>,
    archived_at: DateTime<Utc>,
    handled_at: Option<DateTime<Utc>>,
    /// Why a replay would be refused now; null when it may be tried.
    replay_refusal: Option<&'static str>,
    /// Of a transaction: what was known of it when it came here, and who had not done its part.
    transaction: Option<StuckTransaction>,
    history: Vec<Attempt>,
    headers: Vec<(String, String)>,
    /// As it came, but for what is hidden; null where it cannot be read.
    payload: Option<Box<RawValue>>,
    /// The key a message that is no order came with.
    key: Option<String>,
    /// Whether it came without a value.
    tombstone: bool,
    operations: Vec<crate::operations::api::Whole>,
    alerts: Vec<Delivery>,
    incidents: Vec<incidents::Listed>,
    audit: Vec<Line>,
}

/// The list, newest first, of every state unless one is named. A page may be short, or empty, and not the last: what is rare among
/// very many rows is looked for piece by piece, and `next` is where to go on.
pub(crate) async fn list(
    State(app): State<App>,
    caller: May<Look>,
    Query(query): Query<ListQuery>,
) -> Result<Json<CursorPage<Row>>, Problem> {
    let bad = |cause: super::list_query::BadQuery| failure::invalid(cause.to_string());
    let filter = query.filter(None).map_err(bad)?;
    let paging = Paging {
        after: query.after().map_err(bad)?,
        limit: PER_PAGE + 1,
    };
    let found = listing::page(&app.db, &filter, paging)
        .await
        .map_err(failure::database)?;
    let sight = caller.sight();
    Ok(Json(super::page_of(found).map(|row| Row::of(row, sight))))
}

/// One of it.
pub(crate) async fn get(
    State(app): State<App>,
    caller: May<Look>,
    Path(id): Path<Uuid>,
) -> Result<Json<Whole>, Problem> {
    let detail = Detail::find(&app, id, caller.sight(), None)
        .await
        .map_err(failure::database)?
        .ok_or_else(|| failure::not_found("archived order"))?;
    let (state, headers) = (detail.state(), detail.headers());
    let payload = detail.payload_json();
    let transaction = detail.transaction();
    let (key, tombstone) = (detail.key(), detail.is_tombstone());
    let (why_grouped, user_id) = (detail.why_grouped(), detail.user());
    let archived = detail.archived;
    Ok(Json(Whole {
        id: archived.id,
        kind: archived.kind().as_str(),
        order_id: archived.order_id,
        gid: archived.gid,
        generation: archived.generation,
        sale_id: archived.sale_id,
        user_id,
        quantity: archived.quantity,
        state: state.as_str(),
        step: archived.step,
        error: archived.error,
        error_class: archived.error_class,
        fingerprint: archived.fingerprint.map(|it| it.to_string()),
        fingerprint_version: archived.fingerprint_version,
        why_grouped,
        attempts: archived.attempts,
        held: archived.held,
        resolution: archived.resolution,
        operation_id: archived.operation_id,
        times_archived: archived.times_archived,
        version: archived.version,
        first_failed_at: archived.first_failed_at,
        archived_at: archived.archived_at,
        handled_at: archived.handled_at,
        replay_refusal: detail.replay.refusal,
        transaction,
        history: archived.history.attempts().to_vec(),
        headers,
        payload,
        key,
        tombstone,
        operations: detail
            .operations
            .into_iter()
            .map(|operation: Operation| operation.into())
            .collect(),
        alerts: detail.alerts,
        incidents: detail.incidents,
        audit: detail.audit,
    }))
}

impl Row {
    /// As somebody may see it.
    pub fn of(listed: Listed, sight: Sight) -> Self {
        let listed = listed.hidden(sight);
        Self {
            state: listed.state().as_str(),
            kind: listed.kind().as_str(),
            id: listed.id,
            order_id: listed.order_id,
            gid: listed.gid,
            generation: listed.generation,
            sale_id: listed.sale_id,
            user_id: listed.user_id.map(|id| personal::user(id, sight)),
            quantity: listed.quantity,
            step: listed.step,
            error: listed.error,
            fingerprint: listed
                .fingerprint
                .map(|it| Fingerprint::from_number(it).to_string()),
            attempts: listed.attempts,
            held: listed.held,
            resolution: listed.resolution,
            operation_id: listed.operation_id,
            times_archived: listed.times_archived,
            version: listed.version,
            first_failed_at: listed.first_failed_at,
            archived_at: listed.archived_at,
            handled_at: listed.handled_at,
        }
    }
}
