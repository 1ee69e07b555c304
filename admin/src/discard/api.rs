//! `POST /api/v1/archives/{id}/discard`.

use super::{ask, reason};
use crate::{
    App,
    access::{Caller, Discard, May},
    failure,
    replay::api::{Accepted, problem, taken},
};
use axum::extract::State;
use serde::Deserialize;
use service_kit::problem::{Json, Path, Problem};
use uuid::Uuid;

/// The body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    reason: Option<String>,
}

/// Asks for it.
pub(crate) async fn submit(
    State(app): State<App>,
    caller: May<Discard>,
    Path(id): Path<Uuid>,
    Json(asked): Json<Asked>,
) -> Result<Accepted, Problem> {
    one(&app, &caller, id, asked.reason.as_deref()).await
}

/// The same for whoever has looked whether it is allowed.
///
/// # Errors
/// The problem.
pub(crate) async fn one(
    app: &App,
    caller: &Caller,
    id: Uuid,
    why: Option<&str>,
) -> Result<Accepted, Problem> {
    let why = reason(why).map_err(failure::invalid)?;
    let operation = ask(app, caller, id, why).await.map_err(problem)?;
    Ok(taken(operation))
}
