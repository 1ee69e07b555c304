//! `/users`: registering, and seeing oneself. Staff is made from the settings, never here.

use crate::{
    App, api_docs::ProblemBody, buyer::Buyer, created::Created, orders::milliseconds, problems,
};
use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use identity::{
    Role, UserId,
    users::{self, CreateError, NewUser, User},
};
use serde::{Deserialize, Serialize};
use service_kit::{
    problem::{Json, Problem},
    settings::Secret,
};
use tracing::error;
use utoipa::ToSchema;

/// An account to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registration {
    /// 3 to 64 letters, digits, `.`, `_` or `-`.
    username: String,
    /// At most 254 characters.
    email: String,
    /// 8 to 128 characters.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 128)]
    password: Secret,
}

/// An account as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserView {
    #[schema(value_type = uuid::Uuid)]
    id: UserId,
    username: String,
    email: String,
    /// `buyer` or `staff`.
    role: &'static str,
    #[schema(value_type = DateTime<Utc>)]
    #[serde(serialize_with = "milliseconds")]
    created_at: DateTime<Utc>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            username: user.username,
            email: user.email,
            role: user.role.as_str(),
            created_at: user.created_at,
        }
    }
}

/// Makes a buyer's account.
#[utoipa::path(
    post, path = "/users", tag = "accounts", request_body = Registration,
    responses(
        (status = 201, description = "Made", body = UserView, headers(("Location" = String))),
        (status = 409, description = "`already_taken`: user name or e-mail address", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid`", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn register(
    State(app): State<App>,
    Json(asked): Json<Registration>,
) -> Result<Created<UserView>, Problem> {
    let user = NewUser {
        username: &asked.username,
        email: &asked.email,
        password: asked.password.expose(),
        role: Role::Buyer,
    };
    let user = users::create(&app.db, user).await.map_err(refused)?;
    Ok(Created::at("/api/v1/users/me".to_owned(), user.into()))
}

fn refused(cause: CreateError) -> Problem {
    match cause {
        CreateError::Invalid(why) => problems::invalid(why.to_string()),
        CreateError::Taken => Problem::new(
            StatusCode::CONFLICT,
            "already_taken",
            "this user name or e-mail address has an account",
        ),
        CreateError::Database(cause) => problems::database(cause),
        CreateError::Password(cause) => {
            error!("A password could not be hashed: {cause}");
            problems::unavailable()
        }
    }
}

/// Who the token belongs to.
#[utoipa::path(
    get, path = "/users/me", tag = "accounts", security(("token" = [])),
    responses(
        (status = 200, description = "The account", body = UserView),
        (status = 401, description = "`unauthorized`", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn me(State(app): State<App>, buyer: Buyer) -> Result<Json<UserView>, Problem> {
    let found = users::find(&app.db, buyer.id)
        .await
        .map_err(problems::database)?;
    found
        .map(|user| Json(user.into()))
        .ok_or_else(|| problems::not_found("account any more"))
}
