//! One request to one receiver: bounded in time and size, no redirects, no proxies, and errors that tell neither url nor secret.

use super::{
    Delivered,
    address::Address,
    resolver::{PointsInside, Resolver},
};
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
    pub(super) fn new(to: Address) -> Result<Self, reqwest::Error> {
        let resolver = Resolver::of_system(to.targets);
        Self::resolved_by(to, resolver)
    }

    fn resolved_by(
        Address { url, .. }: Address,
        resolver: Resolver,
    ) -> Result<Self, reqwest::Error> {
        let builder = Client::builder()
            .timeout(ANSWER_WITHIN)
            .connect_timeout(CONNECT_WITHIN)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .dns_resolver(resolver)
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
        let mut response = sent.map_err(|cause| no_answer(&cause))?;
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
            410 => Some(Delivered::Gone(format!(
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

/// What is to be said of a try without an answer.
fn no_answer(cause: &reqwest::Error) -> Delivered {
    if inside(cause, |error| error.downcast_ref::<PointsInside>().copied()).is_some() {
        return Delivered::Broken(PointsInside.to_string());
    }
    Delivered::Unknown(reason(cause))
}

/// What went wrong, in words that hold nothing of the request.
fn reason(cause: &reqwest::Error) -> String {
    if cause.is_timeout() {
        return format!("no answer within {} s", ANSWER_WITHIN.as_secs());
    }
    if cause.is_dns() {
        return "the host's name is not known".to_owned();
    }
    let kind = inside(cause, |error| {
        error.downcast_ref::<io::Error>().map(io::Error::kind)
    });
    match kind {
        Some(kind) => format!("no connection: {kind}"),
        None if cause.is_connect() => "no connection".to_owned(),
        None => "the connection broke before an answer came".to_owned(),
    }
}

/// The first of the causes that is the one looked for.
fn inside<T>(
    cause: &reqwest::Error,
    find: impl Fn(&(dyn std::error::Error + 'static)) -> Option<T>,
) -> Option<T> {
    let mut inner = cause.source();
    while let Some(error) = inner {
        if let Some(found) = find(error) {
            return Some(found);
        }
        inner = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::address::Targets;
    use std::{
        net::SocketAddr,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };
    use testkit::webhooks::Receiver;

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
        assert!(matches!(answer(410, &[]), Some(Delivered::Gone(_))));
        for status in [401, 403, 404] {
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

    /// What is said of one request to a public name that resolves to these; and how often it was asked for.
    async fn posted(
        targets: Targets,
        url: &str,
        found: Vec<SocketAddr>,
    ) -> (Option<Delivered>, usize) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let resolver = Resolver::new(
            targets,
            Arc::new(move |name| {
                assert_eq!(name, "hook.example.com");
                counted.fetch_add(1, Ordering::Relaxed);
                let found = found.clone();
                Box::pin(async move { Ok(found) })
            }),
        );
        let to = Address {
            url: url.parse().unwrap(),
            targets,
        };
        let endpoint = Endpoint::resolved_by(to, resolver).unwrap();
        let posted = endpoint
            .post(endpoint.url(), HeaderMap::new(), b"{}".to_vec())
            .await;
        (posted.err(), asked.load(Ordering::Relaxed))
    }

    /// Breaks when what DNS says is not looked at, and when somebody asks once more after it was.
    #[tokio::test]
    async fn a_public_name_that_points_inside_is_refused_and_asked_for_once() {
        let receiver = Receiver::start().await;
        let port = receiver
            .url()
            .rsplit(':')
            .next()
            .unwrap()
            .replace("/hook", "");
        let url = format!("http://hook.example.com:{port}/secret-path");
        let inside = vec![
            "127.0.0.1:0".parse().unwrap(),
            "[fd00::1]:0".parse().unwrap(),
            "169.254.169.254:0".parse().unwrap(),
        ];
        let (refused, asked) = posted(Targets::PublicOnly, &url, inside.clone()).await;
        let Some(Delivered::Broken(why)) = refused else {
            panic!("{refused:?}")
        };
        assert!(why.contains("allow_private"), "{why}");
        assert!(
            !why.contains("hook.example") && !why.contains("secret"),
            "{why}"
        );
        assert_eq!((asked, receiver.requests().len()), (1, 0));
        let (sent, asked) = posted(Targets::Any, &url, inside).await;
        assert_eq!((sent, asked, receiver.requests().len()), (None, 1, 1));
        let (nobody, _) = posted(Targets::PublicOnly, &url, Vec::new()).await;
        assert!(matches!(nobody, Some(Delivered::Unknown(_))), "{nobody:?}");
    }
}
