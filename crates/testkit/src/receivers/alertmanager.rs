//! A receiver of Alertmanager's webhook, version 4, that takes nothing but what Alertmanager itself would send.

use super::{
    Limits, Received, Refusal, Said, Vendor,
    vendor::{said, shape, within},
};
use crate::webhooks::Request;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};

const PATH: &str = "/alertmanager";
/// Its own; the format names none.
const BODY_AT_MOST: usize = 1024 * 1024;
/// Go's zero time, which Alertmanager sends as the end of what has none.
const NO_END: &str = "0001-01-01T00:00:00Z";

/// Requests, however many alerts are in each. Its own too: what stands before such endpoints answers 429 with Retry-After.
const LIMITS: Limits = Limits {
    windows: &[(100, Duration::from_mins(1))],
    silent_for: Duration::ZERO,
};

/// An endpoint without credentials: Alertmanager's webhook signs nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alertmanager;

type Labels = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Message {
    receiver: String,
    status: String,
    alerts: Vec<Alert>,
    group_labels: Labels,
    common_labels: Labels,
    common_annotations: Labels,
    #[serde(rename = "externalURL")]
    _external_url: String,
    version: String,
    group_key: String,
    #[serde(rename = "truncatedAlerts")]
    _truncated_alerts: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Alert {
    status: String,
    labels: Labels,
    annotations: Labels,
    starts_at: DateTime<Utc>,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    _generator_url: String,
    fingerprint: String,
}

fn malformed<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Malformed(why.into()))
}

/// Whether the one has all that the other has.
fn has_all(labels: &Labels, of: &Labels) -> bool {
    of.iter()
        .all(|(name, value)| labels.get(name) == Some(value))
}

impl Alert {
    fn check(&self) -> Result<(), Refusal> {
        match self.status.as_str() {
            "firing" if self.ends_at != NO_END => {
                return malformed(format!("firing, and endsAt {}", self.ends_at));
            }
            "firing" => {}
            "resolved" => match self.ends_at.parse::<DateTime<Utc>>() {
                Ok(end) if end >= self.starts_at => {}
                _ => return malformed(format!("resolved, and endsAt {}", self.ends_at)),
            },
            other => return malformed(format!("an alert's status {other}")),
        }
        if self.labels.get("alertname").is_none_or(String::is_empty) {
            return malformed("no label alertname");
        }
        let fingerprint = &self.fingerprint;
        if fingerprint.len() != 16 || !fingerprint.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return malformed(format!("fingerprint {fingerprint}"));
        }
        Ok(())
    }
}

impl Message {
    fn check(&self) -> Result<(), Refusal> {
        said(&self.receiver, "receiver")?;
        said(&self.group_key, "groupKey")?;
        if self.version != "4" {
            return malformed(format!("version {}", self.version));
        }
        if self.alerts.is_empty() {
            return malformed("no alerts");
        }
        for alert in &self.alerts {
            alert.check()?;
            if !has_all(&alert.labels, &self.common_labels)
                || !has_all(&alert.annotations, &self.common_annotations)
            {
                return malformed("what is common to all is not in each");
            }
        }
        if !has_all(&self.common_labels, &self.group_labels) {
            return malformed("groupLabels are not common");
        }
        let firing = self.alerts.iter().any(|alert| alert.status == "firing");
        if self.status != if firing { "firing" } else { "resolved" } {
            return malformed(format!("status {} is not the alerts'", self.status));
        }
        Ok(())
    }

    fn title(&self) -> String {
        let annotations = &self.alerts[0].annotations;
        let names = ["summary", "title", "message"];
        let title = names.iter().find_map(|name| annotations.get(*name));
        title.cloned().unwrap_or_default()
    }
}

impl Vendor for Alertmanager {
    fn target(&self) -> String {
        PATH.to_owned()
    }

    fn read(&self, request: &Request, _: DateTime<Utc>) -> Result<Received, Refusal> {
        within(request.body.len(), BODY_AT_MOST, "a body")?;
        let message: Message = shape(&request.body)?;
        message.check()?;
        Ok(Received {
            id: Some(format!(
                "{} {}",
                message.group_key, message.alerts[0].fingerprint
            )),
            status: Some(message.status.clone()),
            several: message
                .alerts
                .iter()
                .map(|alert| (alert.fingerprint.clone(), alert.status.clone()))
                .collect(),
            title: message.title(),
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
        Said::new(200, "")
    }

    /// 2xx is its word: it has no other.
    fn wordless(&self) -> Said {
        Said::new(200, "")
    }

    fn refusal(&self, why: &Refusal) -> Said {
        match why {
            Refusal::Foreign(why) => Said::new(403, why.as_str()),
            Refusal::Malformed(why) => Said::new(400, why.as_str()),
            Refusal::TooLong(why) => Said::new(413, why.as_str()),
            Refusal::TooFast(wait) => {
                Said::new(429, "").with("retry-after", &wait.as_secs().max(1))
            }
            Refusal::Busy => Said::new(503, ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::vendor::tests::post, *};
    use serde_json::{Value, json};

    fn message() -> Value {
        json!({"receiver": "redress", "status": "firing", "alerts": [{
            "status": "firing", "labels": {"alertname": "archived", "severity": "urgent"},
            "annotations": {"summary": "t"}, "startsAt": "2026-01-01T00:00:00Z", "endsAt": NO_END,
            "generatorURL": "", "fingerprint": "0123456789abcdef"}],
            "groupLabels": {"alertname": "archived"}, "commonLabels": {"alertname": "archived"},
            "commonAnnotations": {}, "externalURL": "http://admin", "version": "4",
            "groupKey": "{}:{alertname=\"archived\"}", "truncatedAlerts": 0})
    }

    #[test]
    fn only_what_alertmanager_sends_is_taken() {
        let read =
            |message: &Value| Alertmanager.read(&post(PATH, &message.to_string()), Utc::now());
        let received = read(&message()).unwrap();
        assert_eq!(
            (received.title.as_str(), received.status.as_deref()),
            ("t", Some("firing"))
        );
        for (pointer, value) in [
            ("/version", json!("3")),
            ("/status", json!("resolved")),
            ("/alerts", json!([])),
            ("/alerts/0/status", json!("changed")),
            ("/alerts/0/endsAt", json!("2026-01-01T00:00:00Z")),
            ("/alerts/0/fingerprint", json!("x")),
            ("/alerts/0/labels", json!({"alertname": "other"})),
            ("/alerts/0/labels", json!({})),
            ("/groupLabels", json!({"more": "1"})),
            ("/groupKey", json!("")),
            ("/truncatedAlerts", Value::Null),
        ] {
            let mut spoilt = message();
            *spoilt.pointer_mut(pointer).unwrap() = value;
            assert!(
                matches!(read(&spoilt), Err(Refusal::Malformed(_))),
                "{pointer}"
            );
        }
        let mut over = message();
        over["status"] = json!("resolved");
        over["alerts"][0]["status"] = json!("resolved");
        assert!(read(&over).is_err(), "resolved without an end");
        over["alerts"][0]["endsAt"] = json!("2026-01-01T00:00:01Z");
        assert_eq!(read(&over).unwrap().status.as_deref(), Some("resolved"));
    }
}
