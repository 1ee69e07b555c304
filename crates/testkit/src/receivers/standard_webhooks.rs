//! An endpoint that takes Standard Webhooks as its receivers should: one of the signatures must be right, over the raw body, with a
//! timestamp of the last five minutes. Types and fields that it does not know are fine. Whoever sends too many is asked to come again later.

use super::{
    Limits, Received, Refusal, Said, Vendor,
    signature::{decoded, signature},
    vendor::{said, shape, within},
};
use crate::webhooks::Request;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

const PATH: &str = "/hook";
/// Its own; the specification names none.
const BODY_AT_MOST: usize = 65_536;
/// How old or new a signature may be.
const CLOCK: TimeDelta = TimeDelta::minutes(5);

/// Its own too: 429 with Retry-After is all that the specification says.
const LIMITS: Limits = Limits {
    windows: &[(100, Duration::from_mins(1))],
    silent_for: Duration::ZERO,
};

/// An endpoint with its key.
#[derive(Debug, Clone)]
pub struct StandardWebhooks {
    key: Vec<u8>,
}

impl StandardWebhooks {
    /// With `whsec_…`; an empty secret looks at no signature.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        let encoded = secret.trim_start_matches("whsec_");
        Self {
            key: decoded(encoded).expect("base64 after whsec_"),
        }
    }

    fn check_signature(&self, request: &Request, now: DateTime<Utc>) -> Result<(), Refusal> {
        let (id, text) = (
            request.header("webhook-id"),
            request.header("webhook-timestamp"),
        );
        if id.is_empty() || id.contains('.') {
            return Err(Refusal::Malformed(format!("webhook-id {id:?}")));
        }
        let at = text
            .parse()
            .ok()
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
            .ok_or_else(|| Refusal::Malformed(format!("webhook-timestamp {text:?}")))?;
        if self.key.is_empty() {
            return Ok(());
        }
        if (now - at).abs() > CLOCK {
            return Err(Refusal::Foreign("the timestamp is too far off".to_owned()));
        }
        let before = format!("{id}.{text}.");
        let ours = signature(&self.key, &[before.as_bytes(), &request.body]);
        let theirs = request.header("webhook-signature").split(' ');
        if !theirs
            .filter_map(|one| one.strip_prefix("v1,"))
            .any(|one| one == ours)
        {
            return Err(Refusal::Foreign("no signature is right".to_owned()));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Event {
    r#type: String,
    timestamp: DateTime<Utc>,
    data: serde_json::Map<String, Value>,
}

impl Vendor for StandardWebhooks {
    fn target(&self) -> String {
        PATH.to_owned()
    }

    fn read(&self, request: &Request, now: DateTime<Utc>) -> Result<Received, Refusal> {
        within(request.body.len(), BODY_AT_MOST, "a body")?;
        self.check_signature(request, now)?;
        let event: Event = shape(&request.body)?;
        said(&event.r#type, "type")?;
        if event.timestamp == DateTime::UNIX_EPOCH {
            return Err(Refusal::Malformed("timestamp is nothing".to_owned()));
        }
        let word = |name: &str| {
            let value = event.data.get(name)?;
            Some(value.as_str()?.to_owned())
        };
        Ok(Received {
            id: Some(request.header("webhook-id").to_owned()),
            status: word("status"),
            several: Vec::new(),
            title: word("title").unwrap_or_default(),
            text: String::from_utf8_lossy(&request.body).into_owned(),
            calls_everybody: false,
            bytes: request.body.len(),
            body: request.body.clone(),
        })
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn taken(&self, _: &Received) -> Said {
        Said::new(204, "")
    }

    /// 2xx is its word: it has no other.
    fn wordless(&self) -> Said {
        Said::new(200, "")
    }

    fn refusal(&self, why: &Refusal) -> Said {
        match why {
            Refusal::Foreign(why) => Said::new(401, why.as_str()),
            Refusal::Malformed(why) => Said::new(400, why.as_str()),
            Refusal::TooLong(why) => Said::new(413, why.as_str()),
            Refusal::TooFast(wait) => {
                Said::new(429, "").with("retry-after", &wait.as_secs().max(1))
            }
            Refusal::Busy => Said::new(500, ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::vendor::tests::post, *};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &str = r#"{"test": 2432232314}"#;
    /// Of ALERTS.md.
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const SECOND: i64 = 1_614_265_330;

    fn check(id: &str, seconds: i64, signature: &str, body: &str, age: i64) -> bool {
        let mut request = post(PATH, body);
        for (name, value) in [
            ("webhook-id", id),
            ("webhook-timestamp", &seconds.to_string()),
            ("webhook-signature", signature),
        ] {
            request.headers.push((name.to_owned(), value.to_owned()));
        }
        let now = DateTime::from_timestamp(SECOND + age, 0).unwrap();
        let endpoint = StandardWebhooks::new(SECRET);
        endpoint.check_signature(&request, now).is_ok()
    }

    #[test]
    fn the_published_signature_is_taken_for_five_minutes_and_no_other() {
        assert!(check(ID, SECOND, SIGNATURE, BODY, 299));
        assert!(check(
            ID,
            SECOND,
            &format!("v1,b3RoZXI= {SIGNATURE} v2,x"),
            BODY,
            -299
        ));
        assert!(!check(ID, SECOND, SIGNATURE, BODY, 301));
        assert!(!check(ID, SECOND, SIGNATURE, BODY, -301));
        assert!(!check("msg_other", SECOND, SIGNATURE, BODY, 0));
        assert!(!check(ID, SECOND + 1, SIGNATURE, BODY, 0));
        assert!(!check(ID, SECOND, SIGNATURE, r#"{"test": 2432232315}"#, 0));
        assert!(!check(
            ID,
            SECOND,
            SIGNATURE.trim_start_matches("v1,"),
            BODY,
            0
        ));
        assert!(!check(ID, SECOND, "", BODY, 0));
        assert!(!check("", SECOND, SIGNATURE, BODY, 0));
    }

    #[test]
    fn an_event_has_type_timestamp_and_data_and_may_have_more() {
        let read = |body: &str| {
            let mut request = post(PATH, body);
            request.headers.extend(
                [("webhook-id", "1"), ("webhook-timestamp", "1600000000")]
                    .map(|(name, value)| (name.to_owned(), value.to_owned())),
            );
            StandardWebhooks::new("").read(&request, Utc::now())
        };
        let received = read(r#"{"type":"a.b","timestamp":"2026-01-01T00:00:00Z","data":{"title":"t","status":"firing"},"more":1}"#).unwrap();
        assert_eq!(
            (
                received.id.as_deref(),
                received.status.as_deref(),
                received.title.as_str()
            ),
            (Some("1"), Some("firing"), "t")
        );
        for body in [
            r#"{"timestamp":"2026-01-01T00:00:00Z","data":{}}"#,
            r#"{"type":"a.b","data":{}}"#,
            r#"{"type":"a.b","timestamp":"yesterday","data":{}}"#,
            r#"{"type":"a.b","timestamp":"2026-01-01T00:00:00Z"}"#,
            r#"{"type":"","timestamp":"2026-01-01T00:00:00Z","data":{}}"#,
        ] {
            assert!(matches!(read(body), Err(Refusal::Malformed(_))), "{body}");
        }
    }
}
