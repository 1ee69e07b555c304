//! The one cookie: the secret of a browser's log-in. No script can read it, and other sites' forms do not send it.

use axum::http::{HeaderMap, HeaderValue, header};
use std::time::Duration;

const NAME: &str = "redress_session";

/// The secret in the cookie, if there is one.
pub(crate) fn secret(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == NAME)
        .map(|(_, secret)| secret.to_owned())
}

/// Over what the cookie is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// HTTPS only.
    Https,
    /// HTTP too: a developer's machine.
    Any,
}

/// Gives the secret to the browser.
pub(crate) fn set(secret: &str, ttl: Duration, over: Over) -> HeaderValue {
    header_value(secret, ttl.as_secs(), over)
}

/// Takes it back.
pub(crate) fn clear(over: Over) -> HeaderValue {
    header_value("", 0, over)
}

fn header_value(secret: &str, seconds: u64, over: Over) -> HeaderValue {
    let secure = match over {
        Over::Https => "; Secure",
        Over::Any => "",
    };
    let text =
        format!("{NAME}={secret}; HttpOnly; SameSite=Lax; Path=/; Max-Age={seconds}{secure}");
    HeaderValue::try_from(text)
        .unwrap_or_else(|cause| unreachable!("a secret has hexadecimal digits only: {cause}"))
}
