//! Extractors that refuse with problems. axum's own answer plain text, and take an array for an object.

use super::Problem;
use axum::{
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, OptionalFromRequestParts, Request, rejection::PathRejection,
    },
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};

/// A longer body is refused with 413.
pub const BODY_LIMIT: usize = 64 * 1024;

/// A JSON object. Malformed JSON 400, wrong, missing or unknown fields and arrays 422, over 64 KiB 413, another media type 415.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(&request) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "send application/json",
            ));
        }
        let body = axum::body::to_bytes(request.into_body(), BODY_LIMIT)
            .await
            .map_err(|cause| unread(&cause))?;
        parse(&body).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

fn is_json(request: &Request) -> bool {
    let Some(media) = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    media
        .split(';')
        .next()
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn unread(cause: &axum::Error) -> Problem {
    let too_long = std::error::Error::source(cause)
        .is_some_and(|source| source.to_string().contains("length limit"));
    if too_long {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "a body may have 64 KiB",
        )
    } else {
        Problem::new(StatusCode::BAD_REQUEST, "malformed", "the body broke off")
    }
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    let start = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let parsed = if start == Some(&b'{') {
        serde_json::from_slice(body)
    } else {
        // No object: it only remains to tell malformed from wrong. Serde would take `[3]` for `{"quantity":3}`.
        serde_json::from_slice::<serde::de::IgnoredAny>(body)
            .and_then(|_| Err(serde::de::Error::custom("expected an object")))
    };
    parsed.map_err(|cause| {
        // A duplicate or wrong field may stop the parser before the end of a text that is no JSON at all.
        if cause.is_data() && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() {
            invalid(cause.to_string())
        } else {
            Problem::new(StatusCode::BAD_REQUEST, "malformed", "the body is not JSON")
        }
    })
}

/// 422 `invalid` with what is wrong.
fn invalid(detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
}

/// Parameters of the path. What does not parse is 400.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found: Result<axum::extract::Path<T>, PathRejection> =
            <axum::extract::Path<T> as FromRequestParts<S>>::from_request_parts(parts, state).await;
        found.map(|path| Self(path.0)).map_err(|_| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "malformed_id",
                "an id in the path is not a UUID",
            )
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send + 'static> OptionalFromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Problem> {
        <Self as FromRequestParts<S>>::from_request_parts(parts, state)
            .await
            .map(Some)
    }
}

/// Parameters of the query. What does not parse is 422.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|query| Self(query.0))
            .map_err(|cause| invalid(cause.body_text()))
    }
}
