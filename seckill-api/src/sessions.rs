//! `/sessions`: logging in.

use crate::{App, api_docs::ProblemBody, metrics, problems};
use ::metrics::counter;
use axum::{extract::State, http::StatusCode};
use identity::{
    passwords,
    users::{self, User},
};
use serde::{Deserialize, Serialize};
use service_kit::{
    problem::{Json, Problem},
    settings::Secret,
};
use std::time::Instant;
use tracing::error;
use utoipa::ToSchema;

/// Longer ones belong to nobody, and need not be remembered among failed log-ins.
const NAME_AT_MOST: usize = 254;

/// A name and a password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogIn {
    /// User name or e-mail address.
    username: String,
    #[schema(value_type = String, format = Password)]
    password: Secret,
}

/// A token to be sent as `Authorization: Bearer …`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Session {
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
}

/// Logs in. Five wrong passwords, and the account's log-ins wait for the end of the minute.
#[utoipa::path(
    post, path = "/sessions", tag = "accounts", request_body = LogIn,
    responses(
        (status = 200, description = "Logged in", body = Session),
        (status = 401, description = "`bad_credentials`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_attempts`, with Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn log_in(
    State(app): State<App>,
    Json(asked): Json<LogIn>,
) -> Result<Json<Session>, Problem> {
    let found = find(&app, &asked.username).await?;
    // One account under its name, its address and every spelling the database takes for them.
    let account = found
        .as_ref()
        .map_or_else(|| asked.username.to_lowercase(), |user| user.id.to_string());
    app.log_ins
        .begin(&account, Instant::now())
        .map_err(|wait| {
            counter!(metrics::THROTTLED_TOTAL).increment(1);
            Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_attempts",
                "too many attempts to log in to this account",
            )
            .retry_after(
                wait.as_secs()
                    .saturating_add(1)
                    .try_into()
                    .unwrap_or(u32::MAX),
            )
        })?;
    let user = check(found, asked.password).await?;
    app.log_ins.succeeded(&account);
    Ok(Json(Session {
        access_token: app.tokens.mint(user.id, user.role),
        token_type: "Bearer",
        expires_in: app.token_ttl_s,
    }))
}

async fn find(app: &App, name: &str) -> Result<Option<User>, Problem> {
    if name.chars().count() > NAME_AT_MOST {
        return Err(bad_credentials());
    }
    users::find_by_login(&app.db, name)
        .await
        .map_err(problems::database)
}

/// Takes as long for an account that is not there: its time must not tell who is a customer.
async fn check(user: Option<User>, password: Secret) -> Result<User, Problem> {
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let right = passwords::verify(password.expose(), hash.as_deref())
        .await
        .map_err(|cause| {
            error!("A password could not be checked: {cause}");
            problems::unavailable()
        })?;
    user.filter(|_| right).ok_or_else(bad_credentials)
}

fn bad_credentials() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "bad_credentials",
        "there is no such account, or the password is wrong",
    )
}
