//! `/api/v1/sessions`: log-ins of scripts.

use super::{LogInError, log_in, log_out};
use crate::{
    App,
    access::{Anyone, InPerson},
    failure,
};
use axum::{extract::State, http::StatusCode};
use identity::operator_sessions::SessionKind;
use serde::{Deserialize, Serialize};
use service_kit::{
    problem::{Json, Problem},
    settings::Secret,
};

/// A name and a password.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    username: String,
    password: Secret,
}

/// A token to be sent as `Authorization: Bearer …`.
#[expect(clippy::struct_field_names, reason = "they are the names in the JSON")]
#[derive(Debug, Serialize)]
pub(crate) struct Token {
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
}

/// Logs a script in.
pub(crate) async fn open(
    State(app): State<App>,
    anyone: Anyone,
    Json(asked): Json<Credentials>,
) -> Result<Json<Token>, Problem> {
    let password = asked.password.expose();
    let access_token = log_in(
        &app,
        &anyone.who,
        &asked.username,
        password,
        SessionKind::Bearer,
    )
    .await
    .map_err(problem)?;
    Ok(Json(Token {
        access_token,
        token_type: "Bearer",
        expires_in: app.session_ttl.as_secs(),
    }))
}

/// Ends the log-in it is asked with.
pub(crate) async fn end(
    State(app): State<App>,
    InPerson(caller): InPerson,
) -> Result<StatusCode, Problem> {
    log_out(&app, &caller).await.map_err(failure::database)?;
    Ok(StatusCode::NO_CONTENT)
}

fn problem(cause: LogInError) -> Problem {
    let detail = cause.to_string();
    match cause {
        LogInError::BadCredentials => {
            Problem::new(StatusCode::UNAUTHORIZED, "bad_credentials", detail)
        }
        LogInError::Throttled(wait) => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail)
                .retry_after(u32::try_from(wait.as_secs().saturating_add(1)).unwrap_or(u32::MAX))
        }
        LogInError::Password(cause) => Problem::internal(&cause.into()),
        LogInError::Database(cause) => failure::database(cause),
    }
}
