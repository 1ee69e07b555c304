//! Finds the log-in of each request, before any handler, and turns away what other sites make a browser send.
//!
//! A bearer token is shown on purpose. A cookie is sent by the browser whoever asked it to, so whatever changes something needs
//! the log-in's CSRF token too: in the form, or in `X-CSRF-Token`. That holds for every route there is or will be.

use super::{Address, Caller, Identity, Reason, Refusal, Who, denied};
use crate::{App, cookie};
use axum::{
    body::Body,
    extract::{ConnectInfo, FromRequest as _, Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use identity::{
    operator_sessions::{self, Asker, SessionKind},
    operator_tokens,
    operators::Operator,
};
use serde::Deserialize;
use service_kit::problem::BODY_LIMIT;
use sha2::{Digest as _, Sha256};
use std::net::SocketAddr;
use tracing::error;

/// Whether a request with this method may change something.
pub(super) fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// To be layered around all routes that want to know who asks.
pub(crate) async fn identify(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let address = address(&request);
    let identity = match shown(request.headers()) {
        Some((kind, secret)) => found(&app, kind, &secret, &address, asker(&request)).await,
        None => Identity::Nobody,
    };
    request.extensions_mut().insert(Address(address));
    if !changes(request.method()) {
        request.extensions_mut().insert(identity);
        return next.run(request).await;
    }
    let mut refused = from_another_site(request.headers()).then_some(Reason::OtherSite);
    if let Identity::Known(caller) = &identity
        && caller.kind == SessionKind::Web
        && refused.is_none()
    {
        let csrf;
        (request, csrf) = csrf_token(request).await;
        // Digests are compared: how long it takes tells nothing of the token.
        let wanted = Sha256::digest(&caller.csrf);
        if csrf.map(Sha256::digest) != Some(wanted) {
            refused = Some(Reason::Csrf);
        }
    }
    let Some(reason) = refused else {
        request.extensions_mut().insert(identity);
        return next.run(request).await;
    };
    if let Identity::Known(caller) = &identity {
        let path = request.uri().path();
        denied(&app, &caller.who, "unknown", path, &reason.to_string()).await;
    }
    Refusal::of(reason, request.uri(), request.method()).into_response()
}

/// Our script says so of what it asks for by itself. Whoever says so falsely is logged out the sooner.
fn asker(request: &Request) -> Asker {
    if request.headers().contains_key("x-live") && !changes(request.method()) {
        Asker::Page
    } else {
        Asker::Person
    }
}

/// A browser says so itself; one that does not is too old to be trusted with more than the token.
fn from_another_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    matches!(site, Some(b"cross-site" | b"same-site"))
}

/// A bearer token wins over a cookie: it was sent on purpose.
fn shown(headers: &HeaderMap) -> Option<(SessionKind, String)> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        let bearer = scheme.eq_ignore_ascii_case("bearer");
        return bearer.then(|| (SessionKind::Bearer, token.trim().to_owned()));
    }
    cookie::secret(headers).map(|secret| (SessionKind::Web, secret))
}

async fn found(
    app: &App,
    kind: SessionKind,
    secret: &str,
    address: &str,
    asker: Asker,
) -> Identity {
    let looked_up = if secret.starts_with(operator_tokens::PREFIX) {
        of_token(app, kind, secret, address).await
    } else {
        of_session(app, kind, secret, address, asker).await
    };
    match looked_up {
        Ok(Some(caller)) => Identity::Known(caller),
        Ok(None) => Identity::Nobody,
        Err(cause) => {
            error!("A log-in could not be looked up: {cause}");
            Identity::Unknown
        }
    }
}

/// A cookie's secret is none as a bearer token: it would need no CSRF token then.
async fn of_session(
    app: &App,
    kind: SessionKind,
    secret: &str,
    address: &str,
    asker: Asker,
) -> sqlx::Result<Option<Caller>> {
    let session = operator_sessions::find_for(&app.db, secret, app.session_idle, asker).await?;
    Ok(session
        .filter(|session| session.kind == kind)
        .map(|session| Caller {
            csrf: session.csrf,
            ..Caller::of(session.operator, kind, secret, address)
        }))
}

/// A personal token is none in a cookie, for the same reason.
async fn of_token(
    app: &App,
    kind: SessionKind,
    secret: &str,
    address: &str,
) -> sqlx::Result<Option<Caller>> {
    if kind != SessionKind::Bearer {
        return Ok(None);
    }
    let token = operator_tokens::find(&app.db, secret).await?;
    Ok(token.map(|token| Caller {
        scope: Some(token.scope),
        ..Caller::of(token.operator, kind, secret, address)
    }))
}

impl Caller {
    fn of(operator: Operator, kind: SessionKind, secret: &str, address: &str) -> Self {
        Self {
            id: operator.id,
            who: Who {
                name: operator.username,
                role: Some(operator.role),
                address: address.to_owned(),
            },
            role: operator.role,
            must_change: operator.must_change,
            kind,
            secret: secret.to_owned(),
            csrf: String::new(),
            scope: None,
        }
    }
}

fn address(request: &Request) -> String {
    request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or_else(String::new, |ConnectInfo(address)| address.ip().to_string())
}

/// The token sent with the request, and the request as it was.
async fn csrf_token(request: Request) -> (Request, Option<String>) {
    #[derive(Deserialize)]
    struct Sent {
        csrf: Option<String>,
    }

    if let Some(token) = request.headers().get("x-csrf-token") {
        let token = token.to_str().ok().map(str::to_owned);
        return (request, token);
    }
    let (parts, body) = request.into_parts();
    // Too long or broken off: there is no token, and nobody reads the rest.
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return (Request::from_parts(parts, Body::empty()), None);
    };
    let copy = Request::from_parts(parts.clone(), Body::from(body.clone()));
    let sent = axum::Form::<Sent>::from_request(copy, &()).await;
    let token = sent.ok().and_then(|form| form.0.csrf);
    (Request::from_parts(parts, Body::from(body)), token)
}
