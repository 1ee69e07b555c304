//! What every answer tells the browser: load nothing from elsewhere, be framed by nobody, keep no page.

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use uuid::Uuid;

const ALWAYS: [(HeaderName, HeaderValue); 4] = [
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

tokio::task_local! {
    /// What a page's own script says to be run: another one with each answer, so nothing that got into a page can know it.
    static NONCE: String;
}

/// The nonce of the answer that is being made; empty where none is, which runs no script.
pub(crate) fn nonce() -> String {
    NONCE.try_with(Clone::clone).unwrap_or_default()
}

/// Adds them. Whatever says nothing of its own about keeping is not kept.
pub(crate) async fn secure(request: Request, next: Next) -> Response {
    // 122 bits of the system's randomness.
    let nonce = Uuid::new_v4().simple().to_string();
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'nonce-{nonce}'; connect-src 'self'; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    let mut response = NONCE.scope(nonce, next.run(request)).await;
    let headers = response.headers_mut();
    headers.extend(ALWAYS);
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
