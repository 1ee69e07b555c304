//! Who asks: the bearer token as an extractor. No database is asked; a token is good until it expires.

use crate::App;
use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
};
use identity::{Role, UserId, tokens::Claims};
use service_kit::problem::Problem;

/// Anyone who is logged in. Staff may buy, too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buyer {
    pub id: UserId,
}

/// Staff; anyone else who is logged in gets 403.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Staff;

impl FromRequestParts<App> for Buyer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        claims(parts, app).map(|claims| Self { id: claims.user_id })
    }
}

impl FromRequestParts<App> for Staff {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match claims(parts, app)?.role {
            Role::Staff => Ok(Self),
            Role::Buyer => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "only staff may do this",
            )),
        }
    }
}

fn claims(parts: &Parts, app: &App) -> Result<Claims, Problem> {
    let token = parts
        .headers
        .get(header::AUTHORIZATION)
        .and_then(|value| bearer(value.to_str().ok()?));
    let claims = token.and_then(|token| app.tokens.verify(token).ok());
    // Expired, forged or missing: whoever guesses learns nothing from the difference.
    claims.ok_or_else(|| {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "send a token from POST /api/v1/sessions",
        )
    })
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
