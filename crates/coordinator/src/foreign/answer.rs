//! What an HTTP answer means. Pure.

use super::{destination::LEFT_ALONE_AT_MOST, reply::Reply};
use chrono::{DateTime, Utc};
use reqwest::{
    StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde::Deserialize;
use std::time::Duration;

/// As much of a body is read, in bytes; a longer one is no answer.
pub(super) const BODY_AT_MOST: usize = 64 * 1024;
/// As long as a code of a refusal may be, for it is stored.
const CODE_AT_MOST: usize = 64;
/// Whoever says "at once" is asked again after this: or it would be asked without end, as fast as it answers. A clock that is behind
/// says so too.
const AGAIN_AT_LEAST: Duration = Duration::from_millis(100);
/// How long a participant is left alone that says "too many" and not for how long.
const TOO_MANY: Duration = Duration::from_secs(1);

/// What a whole answer means. 200 alone is done: 202 says that it is not yet, and 204 was never agreed.
pub(super) fn reply(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> Reply {
    let why = format!("HTTP {}", status.as_u16());
    let wait = retry_after(headers, now);
    match status {
        StatusCode::OK => Reply::Done,
        StatusCode::CONFLICT => Reply::No(code(body)),
        StatusCode::TOO_EARLY => Reply::Running(wait),
        StatusCode::TOO_MANY_REQUESTS => Reply::Away(why, Some(wait.unwrap_or(TOO_MANY))),
        StatusCode::SERVICE_UNAVAILABLE if wait.is_some() => Reply::Away(why, wait),
        _ if status.is_redirection() => {
            Reply::Unknown(format!("{why}: redirects are not followed"))
        }
        _ => Reply::Unknown(why),
    }
}

/// Seconds, or a date (RFC 9110, 10.2.3); bounded.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let wait = if is_number {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = DateTime::parse_from_rfc2822(text).ok()?;
        (date.to_utc() - now).to_std().unwrap_or_default()
    };
    Some(wait.clamp(AGAIN_AT_LEAST, LEFT_ALONE_AT_MOST))
}

/// Of a problem (RFC 9457) or any JSON object; "refused" where it names none.
fn code(body: &[u8]) -> String {
    /// Anything else in the places of codes is as good as nothing.
    #[derive(Deserialize)]
    struct Problem {
        #[serde(default)]
        code: serde_json::Value,
        #[serde(default)]
        reason: serde_json::Value,
    }

    let named = serde_json::from_slice::<Problem>(body)
        .ok()
        .and_then(|problem| {
            let mut named = [problem.code, problem.reason].into_iter();
            named.find_map(|value| value.as_str().and_then(plain))
        });
    named.unwrap_or_else(|| "refused".to_owned())
}

/// As a code is written: what a code does not hold becomes '_', once in a row.
fn plain(text: &str) -> Option<String> {
    let mut code = String::new();
    for letter in text.chars() {
        if code.len() == CODE_AT_MOST {
            break;
        }
        if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | ':') {
            code.push(letter.to_ascii_lowercase());
        } else if !code.is_empty() && !code.ends_with('_') {
            code.push('_');
        }
    }
    let code = code.trim_end_matches('_');
    (!code.is_empty()).then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<&str>, body: &str) -> Reply {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, value.parse().unwrap());
        }
        reply(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            body.as_bytes(),
            "2026-01-01T00:00:00Z".parse().unwrap(),
        )
    }

    #[test]
    fn only_200_is_done_and_only_409_is_no() {
        assert_eq!(answer(200, None, "whatever"), Reply::Done);
        for status in [
            201, 202, 204, 206, 301, 302, 304, 307, 400, 401, 404, 408, 410, 422, 500, 502, 503,
            504,
        ] {
            assert!(
                matches!(answer(status, None, ""), Reply::Unknown(_)),
                "{status}"
            );
        }
        assert!(matches!(answer(409, None, ""), Reply::No(_)));
    }

    #[test]
    fn waits_are_seconds_or_a_date_and_bounded() {
        let minute = Duration::from_mins(1);
        for (value, expected) in [
            ("7", Some(Duration::from_secs(7))),
            (" 0 ", Some(AGAIN_AT_LEAST)),
            ("3600", Some(minute)),
            ("99999999999999999999999", Some(minute)),
            (
                "Thu, 01 Jan 2026 00:00:30 GMT",
                Some(Duration::from_secs(30)),
            ),
            ("Thu, 01 Jan 2015 00:00:00 GMT", Some(AGAIN_AT_LEAST)),
            ("Thu, 01 Jan 2099 00:00:00 GMT", Some(minute)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(
                answer(425, Some(value), ""),
                Reply::Running(expected),
                "{value}"
            );
        }
        assert_eq!(answer(425, None, ""), Reply::Running(None));
    }

    #[test]
    fn too_many_is_away_and_unavailable_where_it_says_for_how_long() {
        let away = |status, wait| match answer(status, wait, "") {
            Reply::Away(_, wait) => wait,
            other => panic!("{other:?}"),
        };
        assert_eq!(away(429, Some("2")), Some(Duration::from_secs(2)));
        assert_eq!(away(429, None), Some(TOO_MANY));
        assert_eq!(away(503, Some("2")), Some(Duration::from_secs(2)));
        assert!(matches!(answer(503, Some("soon"), ""), Reply::Unknown(_)));
    }

    #[test]
    fn a_refusal_says_why_in_a_word() {
        let long = format!("{{\"code\":\"{}\"}}", "x".repeat(500));
        for (body, expected) in [
            (r#"{"code":"used_up","detail":"no"}"#, "used_up"),
            (r#"{"reason":"Used up, sorry!"}"#, "used_up_sorry"),
            (r#"{"code":7,"reason":"seven"}"#, "seven"),
            (r#"{"code":" \n\u0007","reason":"next"}"#, "next"),
            (r#"{"code":"früh"}"#, "fr_h"),
            (r#"{"detail":"no code"}"#, "refused"),
            ("[]", "refused"),
            ("<html>", "refused"),
            ("", "refused"),
            (&long, &"x".repeat(64)),
        ] {
            assert_eq!(
                answer(409, None, body),
                Reply::No(expected.to_owned()),
                "{body}"
            );
        }
    }
}
