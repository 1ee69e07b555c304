//! What is not there: a page for people, a problem for programs.

use crate::{access::Surface, failure::ErrorPage};
use axum::{
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use service_kit::problem::Problem;

/// 404.
pub(crate) async fn path(uri: Uri, headers: HeaderMap) -> Response {
    if wants_page(&uri, &headers) {
        return ErrorPage::not_found("page").into_response();
    }
    Problem::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing at this path",
    )
    .into_response()
}

/// 405.
pub(crate) async fn method(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let detail = format!("{method} is not possible here");
    if wants_page(&uri, &headers) {
        let title = "Not possible";
        return ErrorPage::new(StatusCode::METHOD_NOT_ALLOWED, title, detail).into_response();
    }
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail).into_response()
}

/// A browser says that it reads HTML.
fn wants_page(uri: &Uri, headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    Surface::of(uri.path()) == Surface::Web
        && accept.is_some_and(|types| types.contains("text/html"))
}
