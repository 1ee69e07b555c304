//! Any endpoint that takes what Prometheus' Alertmanager posts (webhook version 4): alerts, firing or resolved. It signs nothing.
//!
//! An incident's alerts have one fingerprint, so that a receiver closes what it opened. Each goes in a message of its own, whose group is
//! the incident; where more is due than goes out at once, one message holds many, each with its own beginning and end, and is of no group.

use super::{
    Channel, Delivered, Notice,
    endpoint::Endpoint,
    shorten::fitted,
    texts::{Portion, is_over},
};
use chrono::{DateTime, SecondsFormat, Utc};
use futures::future::BoxFuture;
use reqwest::{Url, header::HeaderMap};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _};

/// Receivers may refuse more, of one alert.
const BODY_AT_MOST: usize = 65_536;
/// Alerts that one message holds, and what they may take, in bytes: Alertmanager itself sends whole groups, and bounds neither.
const ALERTS_AT_MOST: usize = 50;
const TOGETHER_AT_MOST: usize = 262_144;
/// Of it what is no alert.
const ENVELOPE: usize = 1024;
/// What stands where an end is not known: Go's zero time.
const NO_END: &str = "0001-01-01T00:00:00Z";
const FIRING: &str = "firing";
const RESOLVED: &str = "resolved";
/// The label that tells incidents apart.
const INCIDENT: &str = "incident";

/// An endpoint with the name it is told of.
pub(super) struct Alertmanager {
    endpoint: Endpoint,
    receiver: String,
}

impl Alertmanager {
    /// `receiver` is the channel's name.
    pub(super) const fn new(endpoint: Endpoint, receiver: String) -> Self {
        Self { endpoint, receiver }
    }
}

impl Channel for Alertmanager {
    fn deliver<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Delivered> {
        self.deliver_together(std::slice::from_ref(notice))
    }

    fn together(&self) -> usize {
        ALERTS_AT_MOST
    }

    fn deliver_together<'a>(&'a self, notices: &'a [Notice]) -> BoxFuture<'a, Delivered> {
        Box::pin(async move {
            let body = body(&self.receiver, notices);
            match self
                .endpoint
                .post(self.endpoint.url(), HeaderMap::new(), body)
                .await
            {
                Ok(answer) => answer.refusal(Utc::now()).unwrap_or(Delivered::Sent),
                Err(no_answer) => no_answer,
            }
        })
    }

    /// Each incident's end has to arrive.
    fn digests(&self) -> bool {
        false
    }
}

type Labels<'a> = BTreeMap<&'static str, Cow<'a, str>>;

/// The fields in the order in which Alertmanager writes them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    receiver: &'a str,
    status: &'static str,
    alerts: &'a [Alert<'a>],
    group_labels: Labels<'a>,
    common_labels: Labels<'a>,
    common_annotations: Labels<'a>,
    #[serde(rename = "externalURL")]
    external_url: String,
    version: &'static str,
    group_key: String,
    truncated_alerts: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'static str,
    labels: Labels<'a>,
    annotations: Labels<'a>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

/// One message of all of them, in their order. Each has its share of the room; a few have no more than one alone.
fn body(receiver: &str, notices: &[Notice]) -> Vec<u8> {
    // What is common to all of them is told once more.
    let share = (TOGETHER_AT_MOST - ENVELOPE) / (notices.len() + 1);
    let share = share.min(BODY_AT_MOST);
    let alone = notices.len() == 1;
    let alerts: Vec<Alert<'_>> = notices
        .iter()
        .map(|notice| {
            fitted(
                Portion::most(notice, share),
                |room| alert(notice, room),
                |alert| {
                    let alert = std::slice::from_ref(alert);
                    if alone {
                        message(receiver, alert).len() <= share
                    } else {
                        encoded(&alert).len() <= share
                    }
                },
            )
        })
        .collect();
    message(receiver, &alerts)
}

fn message<'a>(receiver: &'a str, alerts: &'a [Alert<'a>]) -> Vec<u8> {
    let common_labels = common(alerts, |alert| &alert.labels);
    let (group_labels, group_key) = match common_labels.get(INCIDENT) {
        Some(incident) => (
            Labels::from([(INCIDENT, incident.clone())]),
            format!("{{}}:{{{INCIDENT}=\"{incident}\"}}"),
        ),
        None => (Labels::new(), "{}:{}".to_owned()),
    };
    let firing = alerts.iter().any(|alert| alert.status == FIRING);
    encoded(&Message {
        receiver,
        status: if firing { FIRING } else { RESOLVED },
        alerts,
        group_labels,
        common_annotations: common(alerts, |alert| &alert.annotations),
        common_labels,
        external_url: alerts
            .first()
            .map_or_else(String::new, |alert| origin(alert.generator_url)),
        version: "4",
        group_key,
        truncated_alerts: 0,
    })
}

/// What all of them have.
fn common<'a>(alerts: &'a [Alert<'a>], of: impl Fn(&'a Alert<'a>) -> &'a Labels<'a>) -> Labels<'a> {
    let mut common = alerts
        .first()
        .map(|first| of(first).clone())
        .unwrap_or_default();
    common.retain(|name, value| {
        alerts
            .iter()
            .all(|alert| of(alert).get(name) == Some(value))
    });
    common
}

fn encoded(what: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(what).expect("texts make JSON")
}

fn alert(notice: &Notice, room: usize) -> Alert<'_> {
    let alert = &notice.alert;
    let portion = Portion::of(notice, room);
    // The same however often it is told: a digest or a test is an incident of its own.
    let incident = notice.key().to_string();
    let (status, ends_at) = if is_over(notice) {
        let latest = notice.last_at.max(alert.at);
        (RESOLVED, moment(notice.resolved_at.unwrap_or(latest)))
    } else {
        (FIRING, NO_END.to_owned())
    };
    let fingerprint = fingerprint(&incident);
    let labels = Labels::from([
        ("alertname", alert.kind.as_str().into()),
        (INCIDENT, incident.into()),
        ("severity", alert.severity.as_str().into()),
    ]);
    let mut annotations = Labels::from([
        ("summary", alert.title.as_str().into()),
        ("description", description(&portion).into()),
        ("count", notice.count.to_string().into()),
        // No label: the latest alert of an incident may be about something else, and labels are what a receiver knows an alert by.
        ("subject", alert.subject.as_str().into()),
    ]);
    if let Some(words) = portion.resolution {
        annotations.insert("resolution", words.into());
    }
    Alert {
        status,
        labels,
        annotations,
        starts_at: moment(notice.first_at),
        ends_at,
        generator_url: alert.link.as_deref().unwrap_or_default(),
        fingerprint,
    }
}

/// Its text, with facts and a digest's lines.
fn description(portion: &Portion<'_>) -> String {
    let facts = portion
        .facts
        .iter()
        .map(|(name, value)| format!("{name}: {value}"));
    let lines = portion.lines.iter().map(|line| {
        format!(
            "{} {} ({}): {}",
            line.status.as_str(),
            line.severity,
            line.count,
            line.title
        )
    });
    let more = (portion.more > 0).then(|| format!("and {} more", portion.more));
    let text = (!portion.text.is_empty()).then(|| portion.text.clone());
    let all: Vec<_> = facts.chain(lines).chain(more).chain(text).collect();
    all.join("\n")
}

/// 16 digits, as Alertmanager's are.
fn fingerprint(incident: &str) -> String {
    let hash = Sha256::digest(incident.as_bytes());
    hash[..8].iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Where the admin is, or nothing.
fn origin(link: &str) -> String {
    let url = Url::parse(link).ok();
    url.map_or_else(String::new, |url| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{
        Status,
        texts::example::{example, longest},
    };
    use serde_json::Value;

    #[test]
    fn the_fields_stand_as_documented_and_firing_has_no_end() {
        let text = String::from_utf8(body("ops", &[example(Status::Firing)])).unwrap();
        assert!(text.starts_with(r#"{"receiver":"ops","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"archived","#), "{text}");
        let places = [
            "\"receiver\"",
            "\"alerts\"",
            "\"annotations\"",
            "\"startsAt\":\"2026-03-01T10:00:00.000Z\"",
            "\"endsAt\":\"0001-01-01T00:00:00Z\"",
            "\"generatorURL\":\"https://admin.example/archives/7?from=alert\"",
            "\"fingerprint\"",
            "\"groupLabels\"",
            "\"commonLabels\"",
            "\"commonAnnotations\"",
            "\"externalURL\":\"https://admin.example\"",
            "\"version\":\"4\"",
            "\"groupKey\"",
            "\"truncatedAlerts\":0",
        ]
        .map(|field| {
            text.find(field)
                .unwrap_or_else(|| panic!("{field}: {text}"))
        });
        assert!(places.is_sorted(), "{text}");
    }

    /// Meant to break when what an alert is about is a label: Alertmanager's receivers take it for another alert then.
    #[test]
    fn an_incidents_labels_stay_whatever_its_latest_alert_is_about() {
        let labels = |subject: &str| {
            let mut notice = example(Status::Changed);
            notice.alert = notice.alert.group("archived/a cause");
            notice.alert.subject = subject.to_owned();
            let message: Value = serde_json::from_slice(&body("ops", &[notice])).unwrap();
            let of = |name: &str| message["alerts"][0][name].clone();
            assert_eq!(of("annotations")["subject"], subject);
            (
                of("labels"),
                message["commonLabels"].clone(),
                of("fingerprint"),
            )
        };
        assert_eq!(labels("order 7"), labels("order 8"));
    }

    /// Meant to break when a resolved notice is not known by what the firing one was, and when its end is its latest alert's time.
    #[test]
    fn what_is_resolved_has_an_end_and_the_fingerprint_of_what_fired() {
        let [fired, resolved] = [Status::Firing, Status::Resolved].map(|status| {
            serde_json::from_slice::<Value>(&body("ops", &[example(status)])).unwrap()
        });
        assert_eq!(resolved["status"], "resolved");
        assert_eq!(resolved["alerts"][0]["endsAt"], "2026-03-01T11:02:00.000Z");
        for field in ["fingerprint", "labels", "startsAt"] {
            assert_eq!(
                fired["alerts"][0][field], resolved["alerts"][0][field],
                "{field}"
            );
        }
        assert_eq!(fired["groupKey"], resolved["groupKey"]);
        assert_eq!(
            fired["alerts"][0]["fingerprint"].as_str().unwrap().len(),
            16
        );
    }

    #[test]
    fn the_body_is_at_most_64_kib_and_keeps_its_link() {
        for status in Status::ALL {
            let mut notice = longest(status);
            notice.alert.text = "\u{1}".repeat(1_048_576);
            let link = notice.alert.link.clone().unwrap();
            let body = body("ops", &[notice]);
            assert!(body.len() <= BODY_AT_MOST, "{status:?}: {}", body.len());
            let message: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(message["alerts"][0]["generatorURL"], link);
        }
    }

    /// Breaks when an alert has the room of one that goes alone, when what only some have is told as common, and when a message with anything
    /// that fires says that all is over.
    #[test]
    fn many_in_one_message_are_bounded_and_each_keeps_its_own() {
        let all: Vec<Notice> = (0..ALERTS_AT_MOST)
            .map(|number| {
                let mut notice = longest(if number % 2 == 0 {
                    Status::Resolved
                } else {
                    Status::Firing
                });
                notice.alert.text = "\u{1}".repeat(1_048_576);
                notice.alert = notice.alert.group(&format!("cause {number}"));
                notice
            })
            .collect();
        let body = |all: &[Notice]| {
            let body = body("ops", all);
            assert!(body.len() <= TOGETHER_AT_MOST, "{}", body.len());
            serde_json::from_slice::<Value>(&body).unwrap()
        };
        let message = body(&all);
        let alerts = message["alerts"].as_array().unwrap();
        assert_eq!(alerts.len(), ALERTS_AT_MOST);
        for (alert, notice) in alerts.iter().zip(&all) {
            assert_eq!(alert["labels"]["incident"], notice.key().to_string());
            assert_eq!(alert["generatorURL"], *notice.alert.link.as_ref().unwrap());
            let resolved = notice.status == Status::Resolved;
            assert_eq!(alert["status"], if resolved { RESOLVED } else { FIRING });
            assert_eq!(alert["endsAt"] == NO_END, !resolved);
        }
        assert_eq!(message["status"], FIRING);
        assert_eq!(message["groupLabels"], serde_json::json!({}));
        assert_eq!(
            message["commonLabels"]["severity"],
            alerts[0]["labels"]["severity"]
        );
        assert!(message["commonLabels"]["incident"].is_null(), "{message}");
        let ends: Vec<Notice> = all.into_iter().step_by(2).collect();
        assert_eq!(body(&ends)["status"], RESOLVED);
    }

    #[test]
    fn messages_look_as_they_did() {
        let all = Status::ALL.map(|status| {
            serde_json::from_slice::<serde_json::Value>(&body("ops", &[example(status)])).unwrap()
        });
        insta::assert_json_snapshot!(all);
    }
}
