//! `/api/v1/tokens`.

use super::acts::{self, ActError, Asked};
use crate::{
    App,
    access::{ManageTokens, May},
    failure,
};
use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use identity::operator_tokens::{self, Listed};
use serde::{Deserialize, Serialize};
use service_kit::problem::{Json, Path, Problem};
use uuid::Uuid;

/// A token to be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// 1 to 64 characters; each of an operator's once.
    name: String,
    /// Permissions, by name.
    scope: Vec<String>,
    /// How long it holds, 1 to 366.
    days: u32,
}

/// What was made.
#[derive(Debug, Serialize)]
pub(crate) struct Made {
    id: Uuid,
    /// Not shown again.
    token: String,
    ends_at: DateTime<Utc>,
}

/// The caller's tokens.
#[derive(Debug, Serialize)]
pub(crate) struct Tokens {
    tokens: Vec<Row>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    id: Uuid,
    name: String,
    scope: Vec<String>,
    created_at: DateTime<Utc>,
    /// When it was used last, to the minute.
    seen_at: Option<DateTime<Utc>>,
    ends_at: DateTime<Utc>,
}

/// The newest first, those that ended too.
pub(crate) async fn list(
    State(app): State<App>,
    caller: May<ManageTokens>,
) -> Result<Json<Tokens>, Problem> {
    let tokens = operator_tokens::list(&app.db, caller.id)
        .await
        .map_err(failure::database)?;
    Ok(Json(Tokens {
        tokens: tokens.into_iter().map(Row::from).collect(),
    }))
}

/// Makes one.
pub(crate) async fn create(
    State(app): State<App>,
    caller: May<ManageTokens>,
    Json(asked): Json<NewToken>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let new = Asked {
        name: &asked.name,
        scope: asked.scope,
        days: asked.days,
    };
    let made = acts::create(&app, &caller, new).await.map_err(problem)?;
    let made = Made {
        id: made.id,
        token: made.secret,
        ends_at: made.ends_at,
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Ends one.
pub(crate) async fn end(
    State(app): State<App>,
    caller: May<ManageTokens>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    let ended = acts::end(&app, &caller, id).await.map_err(problem)?;
    ended.ok_or_else(|| failure::not_found("token"))?;
    Ok(StatusCode::NO_CONTENT)
}

fn problem(cause: ActError) -> Problem {
    match cause {
        ActError::Refused {
            sentence,
            conflict: true,
        } => Problem::new(StatusCode::CONFLICT, "taken", sentence),
        ActError::Refused { sentence, .. } => failure::invalid(sentence),
        ActError::Database(cause) => failure::database(cause),
    }
}

impl From<Listed> for Row {
    fn from(token: Listed) -> Self {
        Self {
            id: token.id,
            scope: token.scope.names().map(str::to_owned).collect(),
            name: token.name,
            created_at: token.created_at,
            seen_at: token.seen_at,
            ends_at: token.ends_at,
        }
    }
}
