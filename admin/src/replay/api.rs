//! `POST /api/v1/operations`, and the short path operators know: `POST /reprocess_order/{order_id}`.

use super::{ReplayError, ask, reason};
use crate::{
    App,
    access::{Caller, May, Replay},
    archives::refusal_sentence,
    failure,
};
use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
};
use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use service_kit::problem::{Json, Path, Problem};
use uuid::Uuid;

/// What is to be done.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Replay,
}

/// An operation to be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOperation {
    kind: Kind,
    order_id: Uuid,
    reason: Option<String>,
}

/// It will be carried out.
#[derive(Debug, Serialize)]
pub(crate) struct Taken {
    operation_id: Uuid,
}

type Accepted = (StatusCode, [(HeaderName, String); 1], Json<Taken>);

/// Asks for an operation.
pub(crate) async fn create(
    State(app): State<App>,
    caller: May<Replay>,
    Json(asked): Json<NewOperation>,
) -> Result<Accepted, Problem> {
    let Kind::Replay = asked.kind;
    replay(&app, &caller, asked.order_id, asked.reason.as_deref()).await
}

/// Asks for the replay of an order.
pub(crate) async fn reprocess(
    State(app): State<App>,
    caller: May<Replay>,
    Path(order): Path<Uuid>,
) -> Result<Accepted, Problem> {
    replay(&app, &caller, order, None).await
}

async fn replay(
    app: &App,
    caller: &Caller,
    order: Uuid,
    why: Option<&str>,
) -> Result<Accepted, Problem> {
    let why = reason(why).map_err(failure::invalid)?;
    let operation_id = ask(app, caller, order, why).await.map_err(problem)?;
    let location = format!("/api/v1/operations/{operation_id}");
    Ok((
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(Taken { operation_id }),
    ))
}

fn problem(refused: ReplayError) -> Problem {
    let (code, detail) = (refused.code(), refused.to_string());
    match refused {
        ReplayError::NotFound => failure::not_found("archived order"),
        ReplayError::Replaying {
            operation_id,
            by,
            since,
        } => Problem::new(StatusCode::CONFLICT, code, detail)
            .with("operation_id", operation_id.to_string())
            .with("by", by)
            .with("since", since.to_rfc3339_opts(SecondsFormat::Millis, true)),
        ReplayError::Refused(_) => Problem::new(StatusCode::CONFLICT, code, refusal_sentence(code)),
        ReplayError::Database(cause) => failure::database(cause),
    }
}
