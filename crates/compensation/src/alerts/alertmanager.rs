//! Any endpoint that takes what Prometheus' Alertmanager posts (webhook version 4): one alert a message, firing or resolved.
//!
//! An incident's messages have one fingerprint and one group key, so that a receiver closes what it opened. It signs nothing.

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
use std::{collections::BTreeMap, fmt::Write as _};

/// Receivers may refuse more.
const BODY_AT_MOST: usize = 65_536;
/// What stands where an end is not known: Go's zero time.
const NO_END: &str = "0001-01-01T00:00:00Z";

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
        Box::pin(async move {
            let body = body(&self.receiver, notice);
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

type Labels<'a> = BTreeMap<&'static str, &'a str>;

/// The fields in the order in which Alertmanager writes them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    receiver: &'a str,
    status: &'static str,
    alerts: [Alert<'a>; 1],
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

fn body(receiver: &str, notice: &Notice) -> Vec<u8> {
    fitted(
        Portion::most(notice, BODY_AT_MOST),
        |room| with_room(receiver, notice, room),
        |body| body.len() <= BODY_AT_MOST,
    )
}

fn with_room(receiver: &str, notice: &Notice, room: usize) -> Vec<u8> {
    let alert = &notice.alert;
    let portion = Portion::of(notice, room);
    let (description, count) = (description(&portion), notice.count.to_string());
    // The same however often it is told: a digest or a test is an incident of its own.
    let incident = notice.key().to_string();
    let (status, ends_at) = if is_over(notice) {
        let latest = notice.last_at.max(alert.at);
        ("resolved", moment(notice.resolved_at.unwrap_or(latest)))
    } else {
        ("firing", NO_END.to_owned())
    };
    let labels = Labels::from([
        ("alertname", alert.kind.as_str()),
        ("incident", &incident),
        ("severity", alert.severity.as_str()),
    ]);
    let mut annotations = Labels::from([
        ("summary", alert.title.as_str()),
        ("description", &description),
        ("count", &count),
        // No label: the latest alert of an incident may be about something else, and labels are what a receiver knows an alert by.
        ("subject", &alert.subject),
    ]);
    if let Some(words) = &portion.resolution {
        annotations.insert("resolution", words);
    }
    let link = alert.link.as_deref().unwrap_or_default();
    let message = Message {
        receiver,
        status,
        alerts: [Alert {
            status,
            labels: labels.clone(),
            annotations: annotations.clone(),
            starts_at: moment(notice.first_at),
            ends_at,
            generator_url: link,
            fingerprint: fingerprint(&incident),
        }],
        group_labels: Labels::from([("incident", incident.as_str())]),
        common_labels: labels,
        common_annotations: annotations,
        external_url: origin(link),
        version: "4",
        group_key: format!("{{}}:{{incident=\"{incident}\"}}"),
        truncated_alerts: 0,
    };
    serde_json::to_vec(&message).expect("texts make JSON")
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
        let text = String::from_utf8(body("ops", &example(Status::Firing))).unwrap();
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
            let message: Value = serde_json::from_slice(&body("ops", &notice)).unwrap();
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
        let [fired, resolved] = [Status::Firing, Status::Resolved]
            .map(|status| serde_json::from_slice::<Value>(&body("ops", &example(status))).unwrap());
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
            let body = body("ops", &notice);
            assert!(body.len() <= BODY_AT_MOST, "{status:?}: {}", body.len());
            let message: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(
                message["alerts"][0]["generatorURL"],
                notice.alert.link.unwrap()
            );
        }
    }

    #[test]
    fn messages_look_as_they_did() {
        let all = Status::ALL.map(|status| {
            serde_json::from_slice::<serde_json::Value>(&body("ops", &example(status))).unwrap()
        });
        insta::assert_json_snapshot!(all);
    }
}
