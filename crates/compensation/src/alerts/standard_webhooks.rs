//! Any endpoint that takes Standard Webhooks: the notice as JSON, signed with every secret that is in use.
//!
//! Several secrets, separated by spaces, sign at the same time: a receiver can change to a new one before the old one is removed.

use super::{
    Channel, Delivered, Line, Notice, endpoint::Endpoint, shorten::fitted, texts::Portion,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat, Utc};
use futures::future::BoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{HeaderMap, HeaderValue};
use serde::{Serialize, Serializer};
use service_kit::settings::Secret;
use sha2::Sha256;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Receivers may refuse more.
const BODY_AT_MOST: usize = 65_536;
const PREFIX: &str = "whsec_";

/// Why a secret signs nothing. It never repeats the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret must be whsec_ and base64 of 24 to 64 bytes")]
pub struct BadSecret;

/// An endpoint with its keys; without any it is not signed.
pub(super) struct StandardWebhooks {
    endpoint: Endpoint,
    keys: Vec<Vec<u8>>,
}

impl StandardWebhooks {
    /// # Errors
    /// When one of the secrets is none.
    pub(super) fn new(endpoint: Endpoint, secrets: &Secret) -> Result<Self, BadSecret> {
        let keys = keys(secrets)?;
        Ok(Self { endpoint, keys })
    }

    fn headers(&self, id: Uuid, timestamp: i64, body: &[u8]) -> HeaderMap {
        let id = id.to_string();
        let mut headers = HeaderMap::from_iter(
            [
                ("webhook-id", value(&id)),
                ("webhook-timestamp", HeaderValue::from(timestamp)),
            ]
            .map(|(name, value)| (reqwest::header::HeaderName::from_static(name), value)),
        );
        if !self.keys.is_empty() {
            let signatures: Vec<_> = self
                .keys
                .iter()
                .map(|key| sign(key, &id, timestamp, body))
                .collect();
            headers.insert("webhook-signature", value(&signatures.join(" ")));
        }
        headers
    }
}

impl Channel for StandardWebhooks {
    fn deliver<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Delivered> {
        Box::pin(async move {
            let body = body(notice);
            let headers = self.headers(notice.id(), Utc::now().timestamp(), &body);
            match self.endpoint.post(self.endpoint.url(), headers, body).await {
                Ok(answer) => answer.refusal(Utc::now()).unwrap_or(Delivered::Sent),
                Err(no_answer) => no_answer,
            }
        })
    }
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("ids and base64 are plain text")
}

/// All that are separated by spaces.
pub(super) fn keys(secrets: &Secret) -> Result<Vec<Vec<u8>>, BadSecret> {
    secrets.expose().split_whitespace().map(key).collect()
}

fn key(secret: &str) -> Result<Vec<u8>, BadSecret> {
    let encoded = secret.strip_prefix(PREFIX).ok_or(BadSecret)?;
    let key = STANDARD.decode(encoded).map_err(|_| BadSecret)?;
    if (24..=64).contains(&key.len()) {
        Ok(key)
    } else {
        Err(BadSecret)
    }
}

/// One signature, as it stands among the others.
pub(super) fn sign(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    hmac.update(format!("{id}.{timestamp}.").as_bytes());
    hmac.update(body);
    format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes()))
}

#[derive(Serialize)]
struct Event<'a> {
    r#type: String,
    #[serde(serialize_with = "rfc3339")]
    timestamp: DateTime<Utc>,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    id: Uuid,
    severity: &'static str,
    subject: &'a str,
    title: &'a str,
    text: &'a str,
    facts: BTreeMap<&'a str, String>,
    link: Option<&'a str>,
    status: &'static str,
    incident: Option<Uuid>,
    count: u64,
    #[serde(serialize_with = "rfc3339")]
    first_at: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339")]
    last_at: DateTime<Utc>,
    resolution: Option<&'a str>,
    lines: &'a [Line],
}

fn rfc3339<S: Serializer>(at: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// The same on every try: receivers may compare.
pub(super) fn body(notice: &Notice) -> Vec<u8> {
    fitted(
        Portion::most(notice, BODY_AT_MOST),
        |room| with_room(notice, room),
        |body| body.len() <= BODY_AT_MOST,
    )
}

fn with_room(notice: &Notice, room: usize) -> Vec<u8> {
    let alert = &notice.alert;
    let portion = Portion::of(notice, room);
    let event = Event {
        r#type: format!("redress.{}", alert.kind),
        timestamp: alert.at,
        data: Data {
            id: alert.id,
            severity: alert.severity.as_str(),
            subject: &alert.subject,
            title: &alert.title,
            text: &portion.text,
            facts: joined(&portion.facts),
            link: alert.link.as_deref(),
            status: notice.status.as_str(),
            incident: notice.incident,
            count: notice.count,
            first_at: notice.first_at,
            last_at: notice.last_at,
            resolution: portion.resolution.as_deref(),
            lines: portion.lines,
        },
    };
    serde_json::to_vec(&event).expect("texts make JSON")
}

/// JSON has each name once.
fn joined<'a>(facts: &[(&'a str, String)]) -> BTreeMap<&'a str, String> {
    let mut joined: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in facts {
        let said = joined.entry(name).or_default();
        if !said.is_empty() {
            said.push_str(", ");
        }
        said.push_str(value);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{
        Status,
        texts::example::{example, longest},
    };

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn webhook(secrets: &str) -> Result<StandardWebhooks, BadSecret> {
        StandardWebhooks::new(
            Endpoint::new("http://hook/".parse().unwrap()).unwrap(),
            &Secret::new(secrets),
        )
    }

    #[test]
    fn the_published_vector_is_signed_as_published() {
        assert_eq!(
            sign(
                &key(SECRET).unwrap(),
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                br#"{"test": 2432232314}"#
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn every_secret_signs_and_none_signs_nothing() {
        let other = format!("whsec_{}", STANDARD.encode([7; 32]));
        let headers = |secrets: &str| webhook(secrets).unwrap().headers(Uuid::nil(), 1, b"{}");
        let both = headers(&format!("{SECRET}  {other}"));
        let both = both["webhook-signature"].to_str().unwrap();
        assert_eq!(
            both.split(' ').collect::<Vec<_>>(),
            [SECRET, &other].map(|one| headers(one)["webhook-signature"]
                .to_str()
                .unwrap()
                .to_owned())
        );
        let unsigned = headers("");
        assert_eq!(unsigned["webhook-timestamp"], "1");
        assert_eq!(unsigned["webhook-id"], Uuid::nil().to_string());
        assert!(!unsigned.contains_key("webhook-signature"));
    }

    #[test]
    fn a_secret_is_whsec_and_24_to_64_bytes() {
        let of = |bytes| format!("whsec_{}", STANDARD.encode(vec![1; bytes]));
        assert!(webhook(&of(24)).is_ok() && webhook(&of(64)).is_ok());
        for bad in [
            of(23),
            of(65),
            "whsec_???".to_owned(),
            "hush".to_owned(),
            format!("{SECRET} hush"),
        ] {
            assert!(matches!(webhook(&bad), Err(BadSecret)), "{bad}");
        }
    }

    #[test]
    fn the_body_is_an_event_with_its_data() {
        let notice = example(Status::Firing);
        assert_eq!(
            String::from_utf8(body(&notice)).unwrap(),
            r#"{"type":"redress.archived","timestamp":"2026-03-01T10:00:00.000Z","data":{"id":"01890000-0000-7000-8000-000000000001","severity":"urgent","subject":"order 7","title":"Order 7 was given up and archived","text":"Its units can be bought again.\nLook at it in the admin, and replay it there.","facts":{"error":"Lock wait timeout exceeded","step":"decide"},"link":"https://admin.example/archives/7?from=alert","status":"firing","incident":"01890000-0000-7000-8000-000000000002","count":1,"first_at":"2026-03-01T10:00:00.000Z","last_at":"2026-03-01T10:00:00.000Z","resolution":null,"lines":[]}}"#
        );
    }

    /// Breaks when lines are not counted, or the link is cut with the rest.
    #[test]
    fn the_body_is_at_most_64_kib_and_keeps_its_link() {
        for status in Status::ALL {
            let mut notice = longest(status);
            notice.alert.text = "\u{1}".repeat(1_048_576);
            let body = body(&notice);
            assert!(body.len() <= BODY_AT_MOST, "{status:?}: {}", body.len());
            let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(event["data"]["link"], notice.alert.link.unwrap());
            assert!(event["data"]["text"].as_str().unwrap().ends_with('…'));
        }
    }

    #[test]
    fn messages_look_as_they_did() {
        let all = Status::ALL.map(|status| {
            serde_json::from_slice::<serde_json::Value>(&body(&example(status))).unwrap()
        });
        insta::assert_json_snapshot!(all);
    }
}
