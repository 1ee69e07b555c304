//! `PagerDuty`'s Events API, version 2: the routing key in the body is the credential, 202 is the word, 120 events a minute.

use super::{
    Limits, Received, Refusal, Said, Vendor,
    vendor::{said, shape, within},
};
use crate::webhooks::Request;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

const PATH: &str = "/v2/enqueue";
const BODY_AT_MOST: usize = 512 * 1024;
/// In characters.
const SUMMARY_AT_MOST: usize = 1024;
const KEY_AT_MOST: usize = 255;

/// Of each integration key; how long to wait is not said.
const LIMITS: Limits = Limits {
    windows: &[(120, Duration::from_mins(1))],
    silent_for: Duration::ZERO,
};

/// The API, for one integration.
#[derive(Debug, Clone)]
pub struct PagerDuty {
    routing_key: String,
}

impl PagerDuty {
    /// With this credential; with an empty one it looks at none.
    #[must_use]
    pub fn new(routing_key: &str) -> Self {
        Self {
            routing_key: routing_key.to_owned(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    routing_key: String,
    #[serde(rename = "event_action")]
    action: Action,
    dedup_key: String,
    payload: Option<Payload>,
    #[serde(default, rename = "links")]
    _links: Vec<Link>,
    #[serde(default, rename = "client")]
    _client: Option<String>,
    #[serde(default, rename = "client_url")]
    _client_url: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Trigger,
    Acknowledge,
    Resolve,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    #[serde(rename = "href")]
    _href: String,
    #[serde(default, rename = "text")]
    _text: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    summary: String,
    source: String,
    #[serde(rename = "severity")]
    _severity: Severity,
    #[serde(default, rename = "timestamp")]
    _timestamp: Option<DateTime<Utc>>,
    #[serde(default, rename = "component")]
    _component: Option<String>,
    #[serde(default, rename = "group")]
    _group: Option<String>,
    #[serde(default, rename = "class")]
    _class: Option<String>,
    #[serde(default, rename = "custom_details")]
    _custom_details: Value,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Severity {
    Critical,
    Error,
    Warning,
    Info,
}

impl Vendor for PagerDuty {
    fn target(&self) -> String {
        PATH.to_owned()
    }

    fn read(&self, request: &Request, _: DateTime<Utc>) -> Result<Received, Refusal> {
        within(request.body.len(), BODY_AT_MOST, "a body")?;
        let event: Event = shape(&request.body)?;
        if !self.routing_key.is_empty() && event.routing_key != self.routing_key {
            return Err(Refusal::Foreign("Invalid routing key".to_owned()));
        }
        said(&event.dedup_key, "dedup_key")?;
        within(event.dedup_key.chars().count(), KEY_AT_MOST, "a dedup_key")?;
        if let Some(payload) = &event.payload {
            said(&payload.summary, "payload.summary")?;
            said(&payload.source, "payload.source")?;
            let long = payload.summary.chars().count();
            if long > SUMMARY_AT_MOST {
                return Err(Refusal::TooLong(format!("payload.summary of {long}")));
            }
        } else if event.action == Action::Trigger {
            return Err(Refusal::Malformed("a trigger without payload".to_owned()));
        }
        let status = match event.action {
            Action::Trigger => "trigger",
            Action::Acknowledge => "acknowledge",
            Action::Resolve => "resolve",
        };
        Ok(Received {
            id: Some(event.dedup_key),
            status: Some(status.to_owned()),
            several: Vec::new(),
            title: event.payload.map(|it| it.summary).unwrap_or_default(),
            text: String::from_utf8_lossy(&request.body).into_owned(),
            calls_everybody: false,
            bytes: request.body.len(),
            body: request.body.clone(),
        })
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn taken(&self, received: &Received) -> Said {
        let answer =
            json!({"status": "success", "message": "Event processed", "dedup_key": received.id});
        Said::new(202, answer.to_string())
    }

    fn wordless(&self) -> Said {
        Said::new(200, "{}")
    }

    fn refusal(&self, why: &Refusal) -> Said {
        let invalid = |errors: &str| {
            let answer = json!({"status": "invalid event", "message": "Event object is invalid", "errors": [errors]});
            Said::new(400, answer.to_string())
        };
        match why {
            Refusal::Foreign(_) => invalid("Invalid routing key"),
            Refusal::Malformed(why) => invalid(why),
            Refusal::TooLong(why) => Said::new(413, why.as_str()),
            Refusal::TooFast(_) => Said::new(
                429,
                r#"{"status":"throttle exceeded","message":"Requests for this service are arriving too quickly. Please retry later."}"#,
            ),
            Refusal::Busy => Said::new(500, ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::vendor::tests::post, *};

    fn read(event: &Value) -> Result<Received, Refusal> {
        PagerDuty::new("R").read(&post(PATH, &event.to_string()), Utc::now())
    }

    fn trigger() -> Value {
        json!({"routing_key": "R", "event_action": "trigger", "dedup_key": "7",
            "payload": {"summary": "t", "source": "redress", "severity": "critical"}})
    }

    #[test]
    fn key_shape_and_size_are_looked_at() {
        let received = read(&trigger()).unwrap();
        assert_eq!(
            (
                received.id.as_deref(),
                received.status.as_deref(),
                received.title.as_str()
            ),
            (Some("7"), Some("trigger"), "t")
        );
        let resolve = json!({"routing_key": "R", "event_action": "resolve", "dedup_key": "7"});
        assert_eq!(read(&resolve).unwrap().status.as_deref(), Some("resolve"));
        let spoilt = |pointer: &str, value: Value| {
            let mut event = trigger();
            *event.pointer_mut(pointer).unwrap() = value;
            read(&event).unwrap_err()
        };
        assert!(matches!(
            spoilt("/routing_key", json!("S")),
            Refusal::Foreign(_)
        ));
        for (pointer, value) in [
            ("/event_action", json!("firing")),
            ("/dedup_key", json!("")),
            ("/payload", Value::Null),
            ("/payload/severity", json!("urgent")),
            ("/payload/summary", json!(" ")),
            ("/payload", json!({"summary": "t", "severity": "info"})),
        ] {
            assert!(
                matches!(spoilt(pointer, value), Refusal::Malformed(_)),
                "{pointer}"
            );
        }
        for (pointer, long) in [("/payload/summary", 1025), ("/dedup_key", 256)] {
            assert!(matches!(
                spoilt(pointer, json!("x".repeat(long))),
                Refusal::TooLong(_)
            ));
        }
    }
}
