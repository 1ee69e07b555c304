//! The answer to whoever made something: 201 with its `Location` and its `id` in the body.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use service_kit::problem::Json;

/// 201.
pub(crate) struct Created<T> {
    location: String,
    body: T,
}

impl<T> Created<T> {
    /// `body` can be read at `location` from now on.
    pub const fn at(location: String, body: T) -> Self {
        Self { location, body }
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (
            StatusCode::CREATED,
            [(header::LOCATION, self.location)],
            Json(self.body),
        )
            .into_response()
    }
}
