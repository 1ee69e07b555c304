//! A `DingTalk` robot: markdown, signed in the url, and an answer whose body decides.
//!
//! A robot takes 20 messages a minute and is then silent for ten; bodies over 20,000 bytes are refused. A robot that only passes
//! messages with a keyword can be given the word "Redress": every title and text has it. It knows one secret: of two, while it is changed,
//! whichever it takes signs.

use super::{
    Channel, Delivered, Notice, Rate,
    endpoint::Endpoint,
    rotation::Rotation,
    secrets::Secrets,
    texts::{Family, Text},
    verdict::Codes,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::Utc;
use futures::future::BoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Url, header::HeaderMap};
use serde::Serialize;
use service_kit::settings::Secret;
use sha2::Sha256;
use std::time::Duration;

/// A robot that had too many messages takes none for so long; each try in between is one more.
const SILENT_FOR: Duration = Duration::from_mins(10);

/// 130101: too many messages in a minute. 310000: the keyword is missing, the signature is wrong, or this machine's address is not on the
/// list.
const CODES: Codes = Codes {
    code: "errcode",
    words: "errmsg",
    slow_down: 130_101,
    slow_down_for: Some(SILENT_FOR),
    broken: 310_000,
};

/// A robot of a group.
pub(super) struct DingTalk {
    endpoint: Endpoint,
    rotation: Rotation,
    secrets: Secrets,
    text: Text,
}

impl DingTalk {
    pub(super) const FAMILY: Family = Family::DingTalk;

    /// An empty secret signs nothing.
    pub(super) fn new(endpoint: Endpoint, secret: &Secret, text: Text) -> Self {
        Self {
            secrets: Secrets::of(&endpoint.url(), secret),
            rotation: Rotation::of(secret),
            endpoint,
            text,
        }
    }

    fn url(&self, secret: &Secret, ms: i64) -> Url {
        let mut url = self.endpoint.url();
        if !secret.expose().is_empty() {
            url.query_pairs_mut()
                .append_pair("timestamp", &ms.to_string())
                .append_pair("sign", &sign(secret.expose(), ms));
        }
        url
    }

    async fn post(&self, body: Vec<u8>, secret: &Secret) -> Delivered {
        let url = self.url(secret, Utc::now().timestamp_millis());
        match self.endpoint.post(url, HeaderMap::new(), body).await {
            Ok(answer) => CODES.judge(&answer, &self.secrets),
            Err(no_answer) => no_answer,
        }
    }
}

impl Channel for DingTalk {
    fn deliver<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Delivered> {
        Box::pin(async move {
            let body = body(&self.text, notice);
            let post = |secret| self.post(body.clone(), secret);
            self.rotation.send(post).await
        })
    }

    /// 20 in any minute, a full bucket and what comes back meanwhile; beyond that it is silent for ten minutes.
    fn rate(&self) -> Rate {
        Rate {
            burst: 5.0,
            per_minute: 14.0,
        }
    }
}

/// Base64 of HMAC-SHA256 over "{ms}\n{secret}" with the secret as key. The url escapes it.
fn sign(secret: &str, ms: i64) -> String {
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    hmac.update(format!("{ms}\n{secret}").as_bytes());
    STANDARD.encode(hmac.finalize().into_bytes())
}

#[derive(Serialize)]
struct Message<'a> {
    msgtype: &'static str,
    markdown: Markdown<'a>,
    at: At,
}

#[derive(Serialize)]
struct Markdown<'a> {
    title: &'a str,
    text: String,
}

/// Nobody is called by name.
#[derive(Serialize)]
struct At {
    #[serde(rename = "atMobiles")]
    mobiles: [&'static str; 0],
    #[serde(rename = "atUserIds")]
    user_ids: [&'static str; 0],
    #[serde(rename = "isAtAll")]
    all: bool,
}

fn body(text: &Text, notice: &Notice) -> Vec<u8> {
    let title = text.heading(DingTalk::FAMILY.style(), notice);
    let encode = |text| {
        let message = Message {
            msgtype: "markdown",
            markdown: Markdown {
                title: &title,
                text,
            },
            at: At {
                mobiles: [],
                user_ids: [],
                all: false,
            },
        };
        serde_json::to_vec(&message).expect("texts make JSON")
    };
    let limit = DingTalk::FAMILY.limit();
    text.body(notice, limit, encode, |body| body.len() <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{
        Status,
        endpoint::Answer,
        texts::{
            Texts,
            example::{example, longest},
        },
    };
    use reqwest::StatusCode;
    use service_kit::settings::Language;

    fn robot(url: &str, secret: &str) -> DingTalk {
        let endpoint = Endpoint::new(url.parse().unwrap()).unwrap();
        let text = Texts::built_in().of(DingTalk::FAMILY, Language::En);
        DingTalk::new(endpoint, &Secret::new(secret), text)
    }

    fn message(notice: &Notice) -> String {
        String::from_utf8(body(&robot("http://robot/", "").text, notice)).unwrap()
    }

    #[test]
    fn the_published_vector_is_signed_as_published() {
        assert_eq!(
            sign("this is secret", 1_546_084_445_901),
            "iZUamRUhDrNjadIMypR3HzMCRArfP4PWgn33Azh7zVk="
        );
    }

    #[test]
    fn the_signature_goes_into_the_url_escaped() {
        let url = |secret, ms| {
            let url = robot("http://robot/send?access_token=T", "").url(&Secret::new(secret), ms);
            url.query().unwrap().to_owned()
        };
        assert_eq!(
            url("this is secret", 1_546_084_445_901),
            "access_token=T&timestamp=1546084445901&sign=iZUamRUhDrNjadIMypR3HzMCRArfP4PWgn33Azh7zVk%3D"
        );
        assert_eq!(url("", 1), "access_token=T");
    }

    #[test]
    fn the_body_is_markdown_without_links_of_strangers() {
        let mut notice = example(Status::Firing);
        notice.alert.text = "It failed six times.\n# Last: [x](http://evil.example)".to_owned();
        let body = message(&notice);
        assert!(
            body.starts_with(r####"{"msgtype":"markdown","markdown":{"title":"Redress: Order 7 was given up and archived","text":"### Redress: "####),
            "{body}"
        );
        assert!(
            body.contains(r"It failed six times.\n\n＃ Last: ［x］(http：//evil．example)\n\n"),
            "{body}"
        );
        assert!(
            body.ends_with(r#"[Look](https://admin.example/archives/7?from=alert)"},"at":{"atMobiles":[],"atUserIds":[],"isAtAll":false}}"#),
            "{body}"
        );
    }

    /// Breaks when the link is cut with the rest, or JSON's own length is not counted.
    #[test]
    fn a_body_that_is_too_long_is_cut_and_keeps_its_link() {
        let mut notice = example(Status::Firing);
        notice.alert.text = "\"退款\u{7}\"".repeat(100_000);
        let body = message(&notice);
        assert!((19_900..=20_000).contains(&body.len()), "{}", body.len());
        assert!(body.contains("[Look](https://admin.example/archives/7?from=alert)"));
        for status in Status::ALL {
            let body = message(&longest(status));
            assert!(
                body.len() <= 20_000 && body.contains("[Look](https://admin.example/xxx"),
                "{status:?}"
            );
        }
    }

    /// Meant to break when a robot that is silent for ten minutes is left alone for one.
    #[test]
    fn its_codes_are_classed() {
        let robot = robot("http://robot/send?access_token=SECRETTOKEN", "SEChush");
        let judge = |body: &str| {
            let answer = Answer {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: body.into(),
            };
            CODES.judge(&answer, &robot.secrets)
        };
        assert_eq!(judge(r#"{"errcode":0,"errmsg":"ok"}"#), Delivered::Sent);
        assert!(matches!(judge(r#"{"errmsg":"ok"}"#), Delivered::Unknown(_)));
        assert!(matches!(
            judge(r#"{"errcode":130101,"errmsg":"too fast"}"#),
            Delivered::SlowDown(Some(SILENT_FOR), _)
        ));
        assert_eq!(
            judge(r#"{"errcode":310000,"errmsg":"sign not match\n SECRETTOKEN SEChush"}"#),
            Delivered::Broken("errcode 310000: sign not match  *** ***".to_owned())
        );
    }

    #[test]
    fn messages_look_as_they_did() {
        let text = Texts::built_in().of(DingTalk::FAMILY, Language::Zh);
        let all = Status::ALL.map(|status| {
            let notice = example(status);
            serde_json::from_slice::<serde_json::Value>(&body(&text, &notice)).unwrap()
        });
        insta::assert_json_snapshot!(all);
    }
}
