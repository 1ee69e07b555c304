//! One request to one receiver: bounded in time and size, no redirects, no proxies, and errors that tell neither url nor secret.

use super::Delivered;
use chrono::{DateTime, Utc};
use reqwest::{
    Client, StatusCode, Url,
    header::{HeaderMap, RETRY_AFTER},
    redirect,
};
use std::{error::Error as _, io, time::Duration};

/// A receiver that has not answered by then may or may not have the alert.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// As long as a connection may take of it.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// As much of an answer is read, in bytes.
const READ_AT_MOST: usize = 16_384;

/// Where a channel's requests go.
pub(super) struct Endpoint {
    client: Client,
    url: Url,
}

/// A receiver's answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The first [`READ_AT_MOST`] bytes; empty where they did not come.
    pub(super) body: Vec<u8>,
}

impl Endpoint {
    /// # Errors
    /// When the machine has no certificates to check an encrypted receiver by.
    pub(super) fn new(url: Url) -> Result<Self, reqwest::Error> {
        let builder = Client::builder()
            .timeout(ANSWER_WITHIN)
            .connect_timeout(CONNECT_WITHIN)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent("redress");
        let client = if url.scheme() == "https" {
            builder.https_only(true)
        } else {
            // Nothing is checked by certificates, so a machine without any will do.
            builder.tls_certs_only([])
        };
        Ok(Self {
            client: client.build().map_err(reqwest::Error::without_url)?,
            url,
        })
    }

    /// The address, to add to.
    pub(super) fn url(&self) -> Url {
        self.url.clone()
    }

    /// Posts JSON. `Err` is what to say of a try that had no answer.
    pub(super) async fn post(
        &self,
        url: Url,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, Delivered> {
        let sent = self
            .client
            .post(url)
            .headers(headers)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await;
        let mut response = sent.map_err(|cause| Delivered::Unknown(reason(&cause)))?;
        let mut answer = Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: Vec::new(),
        };
        // Where the body breaks off, what came of it is judged: the status has been said.
        while answer.body.len() < READ_AT_MOST
            && let Ok(Some(piece)) = response.chunk().await
        {
            answer.body.extend_from_slice(&piece);
        }
        answer.body.truncate(READ_AT_MOST);
        Ok(answer)
    }
}

impl Answer {
    /// What the status alone says; `None` for 2xx.
    pub(super) fn refusal(&self, now: DateTime<Utc>) -> Option<Delivered> {
        let code = self.status.as_u16();
        let why = format!("HTTP {code}");
        match code {
            200..=299 => None,
            300..=399 => Some(Delivered::Unknown(format!(
                "{why}: redirects are not followed"
            ))),
            401 | 403 | 404 => Some(Delivered::Broken(why)),
            410 => Some(Delivered::Broken(format!(
                "{why}: the receiver is gone for good"
            ))),
            429 => Some(Delivered::SlowDown(self.retry_after(now), why)),
            503 if self.retry_after(now).is_some() => {
                Some(Delivered::SlowDown(self.retry_after(now), why))
            }
            _ => Some(Delivered::Unknown(why)),
        }
    }

    /// Seconds, or a date (RFC 9110, 10.2.3).
    fn retry_after(&self, now: DateTime<Utc>) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = DateTime::parse_from_rfc2822(text).ok()?;
        Some((date.to_utc() - now).to_std().unwrap_or_default())
    }
}

/// What went wrong, in words that hold nothing of the request.
fn reason(cause: &reqwest::Error) -> String {
    if cause.is_timeout() {
        return format!("no answer within {} s", ANSWER_WITHIN.as_secs());
    }
    if cause.is_dns() {
        return "the host's name is not known".to_owned();
    }
    let mut inner = cause.source();
    while let Some(error) = inner {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return format!("connection failed: {}", error.kind());
        }
        inner = error.source();
    }
    if cause.is_connect() {
        "connection failed".to_owned()
    } else {
        "the connection broke before an answer came".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)]) -> Option<Delivered> {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect(),
            body: Vec::new(),
        };
        answer.refusal("2026-01-01T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_status_is_sent_slow_down_broken_or_unknown() {
        assert_eq!(answer(204, &[]), None);
        for status in [301, 302, 307, 308, 400, 500, 502, 503] {
            assert!(
                matches!(answer(status, &[]), Some(Delivered::Unknown(_))),
                "{status}"
            );
        }
        for status in [401, 403, 404, 410] {
            assert!(
                matches!(answer(status, &[]), Some(Delivered::Broken(_))),
                "{status}"
            );
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wait = |value: &str| match answer(429, &[("retry-after", value)]) {
            Some(Delivered::SlowDown(wait, _)) => wait,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait("121"), Some(Duration::from_secs(121)));
        assert_eq!(
            wait("Thu, 01 Jan 2026 00:01:30 GMT"),
            Some(Duration::from_secs(90))
        );
        assert_eq!(wait("Thu, 01 Jan 2015 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
        assert!(matches!(
            answer(503, &[("retry-after", "1")]),
            Some(Delivered::SlowDown(Some(_), _))
        ));
    }
}
