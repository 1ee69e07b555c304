//! `PagerDuty`'s Events API v2: an incident triggers, and resolves what it triggered.
//!
//! Who acknowledges in the admin has acknowledged there: `acknowledge` goes the way of every notice, under the trigger's `dedup_key`, after
//! the trigger and never instead of it. It is told to this kind alone: the others call nobody. What `PagerDuty` knows nothing of (a trigger
//! that was given up) it drops, and says 202. The other way round nothing is known: who acknowledges there has not acknowledged here, and
//! in a silence nothing is told, this neither.

use super::{
    Channel, Delivered, Notice, Severity, Status,
    endpoint::{Answer, Endpoint},
    secrets::Secrets,
    shorten::{fitted, shortened},
    texts::{Portion, Style, Text, is_over},
};
use chrono::Utc;
use futures::future::BoxFuture;
use reqwest::header::HeaderMap;
use serde::Serialize;
use serde_json::Value;
use service_kit::settings::Secret;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Larger events may be refused.
const BODY_AT_MOST: usize = 65_536;
/// Of an event's summary, in characters.
const SUMMARY_AT_MOST: usize = 1024;
const SOURCE: &str = "redress";

/// A service's integration. The secret is its routing key.
pub(super) struct PagerDuty {
    endpoint: Endpoint,
    routing_key: Secret,
    secrets: Secrets,
    text: Text,
}

impl PagerDuty {
    pub(super) fn new(endpoint: Endpoint, routing_key: Secret, text: Text) -> Self {
        Self {
            secrets: Secrets::of(&endpoint.url(), &routing_key),
            endpoint,
            routing_key,
            text,
        }
    }
}

impl Channel for PagerDuty {
    fn deliver<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Delivered> {
        Box::pin(async move {
            let body = body(&self.text, notice, self.routing_key.expose());
            match self
                .endpoint
                .post(self.endpoint.url(), HeaderMap::new(), body)
                .await
            {
                Ok(answer) => judge(&answer, &self.secrets),
                Err(no_answer) => no_answer,
            }
        })
    }

    /// Each incident's end has to arrive.
    fn digests(&self) -> bool {
        false
    }
}

/// 202 alone is success.
fn judge(answer: &Answer, secrets: &Secrets) -> Delivered {
    let said = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    // What is wrong stands in `errors`; the message is the same for all of it.
    let errors = said["errors"].as_array().into_iter().flatten();
    let errors: Vec<&str> = errors.filter_map(Value::as_str).collect();
    let words: Vec<&str> = said["message"].as_str().into_iter().collect();
    let words = [words, errors.clone()].concat().join(": ");
    let of_key = |it: &str| it.to_lowercase().replace('_', " ").contains("routing key");
    let is_key = errors.iter().any(|it| of_key(it));
    let status = answer.status.as_u16();
    match answer.refusal(Utc::now()) {
        None if status == 202 => Delivered::Sent,
        None => Delivered::Unknown(format!("HTTP {status} is not the 202 it should be")),
        Some(Delivered::Unknown(why)) if is_key => {
            Delivered::Broken(format!("{why}: {}", secrets.without(&words)))
        }
        Some(Delivered::Unknown(why)) if !words.is_empty() => {
            Delivered::Unknown(format!("{why}: {}", secrets.without(&words)))
        }
        Some(refusal) => refusal,
    }
}

#[derive(Serialize)]
struct Event<'a> {
    routing_key: &'a str,
    #[serde(rename = "event_action")]
    action: &'static str,
    dedup_key: Uuid,
    payload: Payload<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<[Link<'a>; 1]>,
}

#[derive(Serialize)]
struct Payload<'a> {
    summary: &'a str,
    source: &'static str,
    severity: &'static str,
    custom_details: BTreeMap<&'a str, String>,
}

#[derive(Serialize)]
struct Link<'a> {
    href: &'a str,
    text: &'a str,
}

fn body(text: &Text, notice: &Notice, routing_key: &str) -> Vec<u8> {
    let summary = shortened(&text.heading(Style::Plain, notice), SUMMARY_AT_MOST);
    fitted(
        Portion::most(notice, BODY_AT_MOST),
        |room| with_room(&summary, notice, routing_key, room),
        |body| body.len() <= BODY_AT_MOST,
    )
}

fn with_room(summary: &str, notice: &Notice, routing_key: &str, room: usize) -> Vec<u8> {
    let alert = &notice.alert;
    let portion = Portion::of(notice, room);
    let href = alert.link.as_deref().unwrap_or_default();
    let event = Event {
        routing_key,
        action: match notice.status {
            Status::Acknowledged => "acknowledge",
            _ if is_over(notice) => "resolve",
            _ => "trigger",
        },
        dedup_key: notice.key(),
        payload: Payload {
            summary,
            source: SOURCE,
            severity: match alert.severity {
                Severity::Urgent => "critical",
                Severity::Warning => "warning",
                Severity::Info => "info",
            },
            custom_details: details(notice, &portion),
        },
        links: (!href.is_empty()).then_some([Link { href, text: SOURCE }]),
    };
    serde_json::to_vec(&event).expect("texts make JSON")
}

fn details<'a>(notice: &'a Notice, portion: &Portion<'a>) -> BTreeMap<&'a str, String> {
    let mut details: BTreeMap<_, _> = portion.facts.iter().cloned().collect();
    details.insert("kind", notice.alert.kind.clone());
    details.insert("subject", notice.alert.subject.clone());
    details.insert("status", notice.status.as_str().to_owned());
    details.insert("count", notice.count.to_string());
    details.insert("text", portion.text.clone());
    if let Some(words) = &portion.resolution {
        details.insert("resolution", words.clone());
    }
    if let Some(name) = &notice.acknowledged_by {
        details.insert("acknowledged by", name.clone());
    }
    let lines = portion
        .lines
        .iter()
        .map(|line| format!("{}: {}", line.status.as_str(), line.title));
    let more = (portion.more > 0).then(|| format!("and {} more", portion.more));
    let lines: Vec<_> = lines.chain(more).collect();
    if !lines.is_empty() {
        details.insert("lines", lines.join("\n"));
    }
    details
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::texts::{
        Family, Texts,
        example::{example, longest},
    };
    use reqwest::StatusCode;
    use service_kit::settings::Language;

    fn event(notice: &Notice) -> Value {
        let text = Texts::built_in().of(Family::MailPlain, Language::En);
        let body = body(&text, notice, "KEY");
        assert!(body.len() <= BODY_AT_MOST, "{}", body.len());
        serde_json::from_slice(&body).unwrap()
    }

    /// Breaks when the notice's id is the key: nothing would ever be resolved.
    #[test]
    fn an_incident_resolves_what_it_triggered() {
        let (fired, over) = (
            event(&example(Status::Firing)),
            event(&example(Status::Resolved)),
        );
        assert_eq!(fired["event_action"], "trigger");
        assert_eq!(over["event_action"], "resolve");
        let acknowledged = event(&example(Status::Acknowledged));
        assert_eq!(acknowledged["event_action"], "acknowledge");
        assert_eq!(acknowledged["dedup_key"], fired["dedup_key"]);
        assert_eq!(
            fired["dedup_key"],
            example(Status::Firing).key().to_string()
        );
        assert_eq!(fired["dedup_key"], over["dedup_key"]);
        assert_eq!(fired["routing_key"], "KEY");
        assert_eq!(
            fired["payload"]["summary"],
            "Redress: Order 7 was given up and archived"
        );
        assert_eq!(fired["payload"]["source"], "redress");
        assert_eq!(fired["payload"]["severity"], "critical");
        for status in [
            Status::Changed,
            Status::Repeated,
            Status::Escalated,
            Status::Digest,
            Status::Test,
        ] {
            assert_eq!(
                event(&example(status))["event_action"],
                "trigger",
                "{status:?}"
            );
        }
    }

    #[test]
    fn the_event_is_bounded_and_its_summary_at_most_1024_characters() {
        for status in Status::ALL {
            let mut notice = longest(status);
            notice.alert.text = "\u{1}".repeat(1_048_576);
            let event = event(&notice);
            assert!(
                event["payload"]["summary"]
                    .as_str()
                    .unwrap()
                    .chars()
                    .count()
                    <= 1024
            );
            assert_eq!(event["links"][0]["href"], notice.alert.link.unwrap());
        }
    }

    /// Meant to break when the heading goes into the summary as a template made it.
    #[test]
    fn a_summary_of_ones_own_making_is_at_most_1024_characters() {
        let mut notice = example(Status::Firing);
        notice.alert.title = "款".repeat(200);
        let text = Texts::replaced_by(
            "title.zh.txt",
            &format!("{} {{{{ title }}}}", "退".repeat(1000)),
        );
        let text = text.of(Family::MailPlain, Language::Zh);
        let event: Value = serde_json::from_slice(&body(&text, &notice, "KEY")).unwrap();
        let summary = event["payload"]["summary"].as_str().unwrap();
        assert_eq!(summary.chars().count(), 1024);
        assert!(summary.ends_with('…'), "{summary}");
    }

    #[test]
    fn only_202_is_sent() {
        let url = "https://events.example/v2/enqueue".parse().unwrap();
        let secrets = Secrets::of(&url, &Secret::new("hush"));
        let judge = |status: u16, body: &str| {
            let answer = Answer {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: body.into(),
            };
            judge(&answer, &secrets)
        };
        assert_eq!(judge(202, r#"{"status":"success"}"#), Delivered::Sent);
        for status in [200, 201, 204, 301, 400, 500, 503] {
            assert!(
                matches!(judge(status, "{}"), Delivered::Unknown(_)),
                "{status}"
            );
        }
        assert_eq!(
            judge(400, r#"{"status":"invalid event","message":"no key hush"}"#),
            Delivered::Unknown("HTTP 400: no key ***".to_owned())
        );
        assert!(matches!(judge(429, ""), Delivered::SlowDown(None, _)));
        assert!(matches!(judge(403, ""), Delivered::Broken(_)));
    }

    #[test]
    fn events_look_as_they_did() {
        let text = Texts::built_in().of(Family::MailPlain, Language::Zh);
        let all = Status::ALL.map(|status| {
            let body = body(&text, &example(status), "KEY");
            serde_json::from_slice::<Value>(&body).unwrap()
        });
        insta::assert_json_snapshot!(all);
    }
}
