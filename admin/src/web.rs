//! Extractors of pages, which refuse with a page. axum's own answer plain text.

use crate::failure::ErrorPage;
use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;

/// Parameters of the path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<T>(pub T);

/// Parameters of the query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<T>(pub T);

/// A form that was sent; its CSRF token has been checked before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ErrorPage;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorPage> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|path| Self(path.0))
            .map_err(|_| ErrorPage::not_found("page: the id in its address is none"))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ErrorPage;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ErrorPage> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|query| Self(query.0))
            .map_err(|cause| not_understood(cause.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = ErrorPage;

    async fn from_request(request: Request, state: &S) -> Result<Self, ErrorPage> {
        axum::Form::from_request(request, state)
            .await
            .map(|form| Self(form.0))
            .map_err(|cause| not_understood(cause.body_text()))
    }
}

/// 422: an address or a form nobody of ours made.
pub(crate) fn not_understood(detail: impl Into<String>) -> ErrorPage {
    ErrorPage::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "This cannot be understood",
        detail,
    )
}
