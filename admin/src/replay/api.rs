//! `POST /api/v1/operations`, for one order or for all that match a filter, the short path operators know,
//! `POST /reprocess_order/{order_id}`, and the preview of what is done to one.

use super::{Looked, Preview, ReplayError, ask, reason};
use crate::{
    App,
    access::{Caller, Discard, Look, May, MayEither, Replay},
    archives::refusal_sentence,
    discard, failure,
    operations::asking::{self, AskError, Asked, Said},
};
use axum::{
    extract::{OriginalUri, State},
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use chrono::SecondsFormat;
use compensation::{
    archive,
    operations::{
        Kind,
        terms::{Reason, Selected},
    },
};
use serde::{Deserialize, Serialize};
use service_kit::problem::{Json, Path, Problem, Query};
use uuid::Uuid;

/// An operation to be made: on an order, or on all that a filter matches.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOperation {
    kind: String,
    order_id: Option<Uuid>,
    reason: Option<String>,
    /// Of one order's message; the newest when it is not said.
    version: Option<u32>,
    filter: Option<Selected>,
    /// Of the operation: a request that is sent again is the same one.
    id: Option<Uuid>,
    rate: Option<u32>,
    canary: Option<bool>,
    stop_percent: Option<u32>,
    grace_s: Option<u64>,
}

/// It will be carried out.
#[derive(Debug, Serialize)]
pub(crate) struct Taken {
    operation_id: Uuid,
}

/// An operation that was taken: 202 with where it can be looked at.
pub(crate) type Accepted = (StatusCode, [(HeaderName, String); 1], Json<Taken>);

/// Asks for an operation.
pub(crate) async fn create(
    State(app): State<App>,
    caller: MayEither<Replay, Discard>,
    OriginalUri(uri): OriginalUri,
    Json(asked): Json<NewOperation>,
) -> Response {
    let Ok(kind) = Kind::of_many(&asked.kind) else {
        return failure::invalid("kind is replay or discard").into_response();
    };
    if let Err(refusal) = asking::allowed(&app, &caller, kind, &uri).await {
        return refusal.into_response();
    }
    let said = Said {
        rate: asked.rate,
        canary: asked.canary,
        stop_percent: asked.stop_percent,
        grace_s: asked.grace_s,
    };
    match (asked.order_id, asked.filter) {
        (Some(order), None) if kind == Kind::Replay && asked.id.is_none() && said.is_empty() => {
            replay(&app, &caller, order, asked.version, asked.reason.as_deref())
                .await
                .into_response()
        }
        (Some(order), None)
            if kind == Kind::Discard
                && asked.id.is_none()
                && asked.version.is_none()
                && said.is_empty() =>
        {
            discard::api::one(&app, &caller, order, asked.reason.as_deref())
                .await
                .into_response()
        }
        (None, Some(selected)) if asked.version.is_none() => {
            let id = asked.id.unwrap_or_else(Uuid::now_v7);
            let why = asked.reason.unwrap_or_default();
            bulk(&app, &caller, id, kind, selected, &why, said)
                .await
                .map_err(AskError::problem)
                .into_response()
        }
        _ => failure::invalid(
            "name a filter; or the order_id of one order, with the version to replay or without, and without id, rate, canary, stop_percent and grace_s",
        )
        .into_response(),
    }
}

async fn bulk(
    app: &App,
    caller: &Caller,
    id: Uuid,
    kind: Kind,
    selected: Selected,
    why: &str,
    said: Said,
) -> Result<Accepted, AskError> {
    // As the preview's page keeps it: what is not said is what is open.
    let selected = Selected::of(&selected.filter()?);
    let asked = Asked {
        id,
        kind,
        selected,
        reason: Reason::parse(why)?,
        terms: said.terms()?,
    };
    asking::ask(app, caller, &asked).await.map(taken)
}

/// What would become of what is archived, were it replayed or discarded now.
#[derive(Debug, Serialize)]
pub(crate) struct Foreseen {
    replay: Preview,
    discard: discard::Preview,
}

/// Of which version; of the newest when it is not said.
#[derive(Debug, Deserialize)]
pub(crate) struct PreviewQuery {
    version: Option<u32>,
}

/// `GET /api/v1/archives/{id}/preview`: looks, and changes nothing.
pub(crate) async fn preview(
    State(app): State<App>,
    _: May<Look>,
    Path(id): Path<Uuid>,
    Query(query): Query<PreviewQuery>,
) -> Result<Json<Foreseen>, Problem> {
    let archived = archive::find(&app.db, id)
        .await
        .map_err(failure::database)?
        .ok_or_else(|| failure::not_found("archived order"))?;
    let looked = Looked::at(&app, &archived, query.version)
        .await
        .map_err(failure::database)?;
    Ok(Json(Foreseen {
        replay: Preview::of(&archived, &looked),
        discard: discard::Preview::of(&archived, &looked),
    }))
}

/// Asks for the replay of an order.
pub(crate) async fn reprocess(
    State(app): State<App>,
    caller: May<Replay>,
    Path(order): Path<Uuid>,
) -> Result<Accepted, Problem> {
    replay(&app, &caller, order, None, None).await
}

async fn replay(
    app: &App,
    caller: &Caller,
    order: Uuid,
    version: Option<u32>,
    why: Option<&str>,
) -> Result<Accepted, Problem> {
    let why = reason(why).map_err(failure::invalid)?;
    let operation_id = ask(app, caller, order, version, why)
        .await
        .map_err(problem)?;
    Ok(taken(operation_id))
}

/// That it was taken.
pub(crate) fn taken(operation_id: Uuid) -> Accepted {
    let location = format!("/api/v1/operations/{operation_id}");
    (
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(Taken { operation_id }),
    )
}

/// Why not, for programs.
pub(crate) fn problem(refused: ReplayError) -> Problem {
    let (code, detail) = (refused.code(), refused.to_string());
    match refused {
        ReplayError::NotFound => failure::not_found("archived order"),
        ReplayError::InHand {
            operation_id,
            by,
            since,
            ..
        } => Problem::new(StatusCode::CONFLICT, code, detail)
            .with("operation_id", operation_id.to_string())
            .with("by", by)
            .with("since", since.to_rfc3339_opts(SecondsFormat::Millis, true)),
        ReplayError::Refused(_) => Problem::new(StatusCode::CONFLICT, code, refusal_sentence(code)),
        ReplayError::Database(cause) => failure::database(cause),
    }
}
