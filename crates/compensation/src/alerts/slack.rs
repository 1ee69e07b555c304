//! A Slack webhook: one section of blocks, no signature (the url is the credential); only 200 with the word `ok` is success.

use super::{
    Channel, Delivered, Notice, Rate,
    endpoint::{Answer, Endpoint},
    secrets::Secrets,
    texts::{Family, Text},
};
use chrono::Utc;
use futures::future::BoxFuture;
use reqwest::header::HeaderMap;
use serde::Serialize;
use service_kit::settings::Secret;

/// A webhook of a channel.
pub(super) struct Slack {
    endpoint: Endpoint,
    secrets: Secrets,
    text: Text,
}

impl Slack {
    pub(super) const FAMILY: Family = Family::Slack;

    pub(super) fn new(endpoint: Endpoint, text: Text) -> Self {
        Self {
            secrets: Secrets::of(&endpoint.url(), &Secret::default()),
            endpoint,
            text,
        }
    }
}

impl Channel for Slack {
    fn deliver<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Delivered> {
        Box::pin(async move {
            let body = body(&self.text, notice);
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

    /// About one a second; a few may come at once. A full bucket and what comes back in three seconds are no more than four.
    fn rate(&self) -> Rate {
        Rate {
            burst: 3.0,
            per_minute: 36.0,
        }
    }
}

/// A refusal has a word in the body that says more than its status: `no_service`, `channel_is_archived`.
fn judge(answer: &Answer, secrets: &Secrets) -> Delivered {
    let words = secrets.without(&String::from_utf8_lossy(&answer.body));
    let with_words = |why: String| {
        format!("{why}: {words}")
            .trim_end_matches([':', ' '])
            .to_owned()
    };
    match answer.refusal(Utc::now()) {
        None if answer.status.as_u16() == 200 && words == "ok" => Delivered::Sent,
        None => Delivered::Unknown(with_words("the answer is not ok".to_owned())),
        Some(Delivered::Broken(why)) => Delivered::Broken(with_words(why)),
        Some(Delivered::Unknown(why)) => Delivered::Unknown(with_words(why)),
        Some(refusal) => refusal,
    }
}

#[derive(Serialize)]
struct Message<'a> {
    /// What a notification shows.
    text: &'a str,
    blocks: [Section; 1],
}

#[derive(Serialize)]
struct Section {
    r#type: &'static str,
    text: Words,
}

#[derive(Serialize)]
struct Words {
    r#type: &'static str,
    text: String,
}

fn body(text: &Text, notice: &Notice) -> Vec<u8> {
    let limit = Slack::FAMILY.limit();
    let fits = |text: &String| Slack::FAMILY.size(text) <= limit;
    // A letter is at most four bytes.
    let section = text.body(notice, 4 * limit, |text| text, fits);
    let message = Message {
        text: &text.heading(Slack::FAMILY.style(), notice),
        blocks: [Section {
            r#type: "section",
            text: Words {
                r#type: "mrkdwn",
                text: section,
            },
        }],
    };
    serde_json::to_vec(&message).expect("texts make JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{
        Status,
        texts::{
            Texts,
            example::{example, longest},
        },
    };
    use reqwest::StatusCode;
    use serde_json::Value;
    use service_kit::settings::Language;
    use std::time::Duration;

    fn section(notice: &Notice) -> String {
        let text = Texts::built_in().of(Slack::FAMILY, Language::En);
        let message: Value = serde_json::from_slice(&body(&text, notice)).unwrap();
        let section = &message["blocks"][0];
        assert_eq!(
            (&section["type"], &section["text"]["type"]),
            (&"section".into(), &"mrkdwn".into())
        );
        section["text"]["text"].as_str().unwrap().to_owned()
    }

    /// Breaks when the section is bounded before its letters are escaped.
    #[test]
    fn a_section_is_at_most_3000_characters_and_keeps_its_link() {
        let mut notice = example(Status::Firing);
        for piece in ["退款", "&", "\u{1}", "😀", "\n", "<!channel>"] {
            notice.alert.text = piece.repeat(1_048_576 / piece.len());
            let section = section(&notice);
            assert!(section.encode_utf16().count() <= 3000, "{piece:?}");
            assert!(
                section.ends_with("<https://admin.example/archives/7?from=alert|Look>"),
                "{section}"
            );
            assert!(!section.contains("<!"), "{section}");
        }
        for status in Status::ALL {
            let section = section(&longest(status));
            assert!(section.encode_utf16().count() <= 3000, "{status:?}");
            assert!(section.contains("<https://admin.example/xxx"), "{section}");
        }
    }

    #[test]
    fn only_200_and_ok_is_sent() {
        let url = "https://hooks.example/services/T0/B0/hushhushhush"
            .parse()
            .unwrap();
        let secrets = Secrets::of(&url, &Secret::default());
        let judge = |status: u16, body: &str| {
            let headers = [("retry-after".parse().unwrap(), "7".parse().unwrap())];
            let answer = Answer {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::from_iter(headers),
                body: body.into(),
            };
            judge(&answer, &secrets)
        };
        assert_eq!(judge(200, "ok"), Delivered::Sent);
        for (status, body) in [
            (200, ""),
            (200, "ok then"),
            (204, ""),
            (201, "ok"),
            (400, "invalid_payload"),
            (500, "ok"),
        ] {
            assert!(
                matches!(judge(status, body), Delivered::Unknown(_)),
                "{status} {body}"
            );
        }
        assert_eq!(
            judge(404, "no_service hushhushhush"),
            Delivered::Broken("HTTP 404: no_service ***".to_owned())
        );
        assert!(matches!(
            judge(410, "channel_is_archived"),
            Delivered::Gone(_)
        ));
        let seconds = Some(Duration::from_secs(7));
        assert!(
            matches!(judge(429, "rate_limited"), Delivered::SlowDown(wait, _) if wait == seconds)
        );
    }

    #[test]
    fn messages_look_as_they_did() {
        let text = Texts::built_in().of(Slack::FAMILY, Language::En);
        let all = Status::ALL.map(|status| {
            let notice = example(status);
            serde_json::from_slice::<serde_json::Value>(&body(&text, &notice)).unwrap()
        });
        insta::assert_json_snapshot!(all);
    }
}
