//! A robot of Feishu, or Lark: a card, signed in the body, and an answer whose body decides.
//!
//! It takes 100 messages a minute and 5 a second, of at most 20 KB each. A robot that only passes messages with a keyword can be given the
//! word "Redress": every title has it. It knows one secret: of two, while it is changed, whichever it takes signs.

use super::{
    Channel, Delivered, Notice, Rate, Severity,
    endpoint::Endpoint,
    rotation::Rotation,
    secrets::Secrets,
    texts::{Family, Style, Text, is_over},
    verdict::Codes,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::Utc;
use futures::future::BoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::HeaderMap;
use serde::Serialize;
use service_kit::settings::Secret;
use sha2::Sha256;

/// 11232: too many messages. 19021: the signature is wrong, or the clock.
const CODES: Codes = Codes {
    code: "code",
    words: "msg",
    slow_down: 11_232,
    slow_down_for: None,
    broken: 19_021,
};

/// A robot of a group.
pub(super) struct Feishu {
    endpoint: Endpoint,
    rotation: Rotation,
    secrets: Secrets,
    text: Text,
}

impl Feishu {
    pub(super) const FAMILY: Family = Family::Feishu;

    /// An empty secret signs nothing.
    pub(super) fn new(endpoint: Endpoint, secret: &Secret, text: Text) -> Self {
        Self {
            secrets: Secrets::of(&endpoint.url(), secret),
            rotation: Rotation::of(secret),
            endpoint,
            text,
        }
    }

    async fn post(&self, notice: &Notice, secret: &Secret) -> Delivered {
        let body = body(&self.text, notice, secret, Utc::now().timestamp());
        match self
            .endpoint
            .post(self.endpoint.url(), HeaderMap::new(), body)
            .await
        {
            Ok(answer) => CODES.judge(&answer, &self.secrets),
            Err(no_answer) => no_answer,
        }
    }
}

impl Channel for Feishu {
    fn deliver<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Delivered> {
        Box::pin(self.rotation.send(|secret| self.post(notice, secret)))
    }

    /// 5 in any second and 100 in any minute: a full bucket and what comes back meanwhile.
    fn rate(&self) -> Rate {
        Rate {
            burst: 4.0,
            per_minute: 55.0,
        }
    }
}

/// Base64 of HMAC-SHA256 over nothing with "{seconds}\n{secret}" as key.
fn sign(secret: &str, seconds: i64) -> String {
    let key = format!("{seconds}\n{secret}");
    let hmac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key of any length");
    STANDARD.encode(hmac.finalize().into_bytes())
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(flatten)]
    signature: Option<Signature>,
    msg_type: &'static str,
    card: Card<'a>,
}

#[derive(Clone, Serialize)]
struct Signature {
    timestamp: String,
    sign: String,
}

#[derive(Serialize)]
struct Card<'a> {
    header: Header<'a>,
    elements: [Element; 1],
}

#[derive(Serialize)]
struct Header<'a> {
    template: &'static str,
    title: Words<&'a str>,
}

#[derive(Serialize)]
struct Element {
    tag: &'static str,
    text: Words<String>,
}

#[derive(Serialize)]
struct Words<T> {
    tag: &'static str,
    content: T,
}

fn body(text: &Text, notice: &Notice, secret: &Secret, seconds: i64) -> Vec<u8> {
    let title = text.heading(Style::Plain, notice);
    let signature = (!secret.expose().is_empty()).then(|| Signature {
        timestamp: seconds.to_string(),
        sign: sign(secret.expose(), seconds),
    });
    let encode = |content| {
        let message = Message {
            signature: signature.clone(),
            msg_type: "interactive",
            card: Card {
                header: Header {
                    template: colour(notice),
                    title: Words {
                        tag: "plain_text",
                        content: title.as_str(),
                    },
                },
                elements: [Element {
                    tag: "div",
                    text: Words {
                        tag: "lark_md",
                        content,
                    },
                }],
            },
        };
        serde_json::to_vec(&message).expect("texts make JSON")
    };
    let limit = Feishu::FAMILY.limit();
    text.body(notice, limit, encode, |body| body.len() <= limit)
}

fn colour(notice: &Notice) -> &'static str {
    match notice.alert.severity {
        _ if is_over(notice) => "green",
        Severity::Urgent => "red",
        Severity::Warning => "orange",
        Severity::Info => "blue",
    }
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

    fn message(notice: &Notice, secret: &str) -> String {
        let text = Texts::built_in().of(Feishu::FAMILY, Language::En);
        String::from_utf8(body(&text, notice, &Secret::new(secret), 1_599_360_473)).unwrap()
    }

    /// The figure was made with another program: `printf '' | openssl dgst -sha256 -hmac "$(printf '1599360473\nhush')" -binary | base64`.
    #[test]
    fn the_body_begins_with_its_signature_or_has_none() {
        assert_eq!(
            sign("hush", 1_599_360_473),
            "Hc5dM02+ptmh0EjeNEkR6VFXhMrl0OC0GhbSOWeacu0="
        );
        let notice = example(Status::Firing);
        let signed = message(&notice, "hush");
        assert!(
            signed.starts_with(&format!(
                r#"{{"timestamp":"1599360473","sign":"{}","msg_type":"interactive","card":{{"header":{{"template":"red","title":{{"tag":"plain_text","content":"Redress: "#,
                sign("hush", 1_599_360_473)
            )),
            "{signed}"
        );
        assert!(message(&notice, "").starts_with(r#"{"msg_type":"interactive","card":"#));
        assert!(message(&example(Status::Resolved), "").contains(r#""template":"green""#));
        assert!(message(&example(Status::Digest), "").contains(r#""template":"red""#));
    }

    /// Breaks when the signature or JSON's own length is not counted.
    #[test]
    fn the_body_is_at_most_20_kb_and_keeps_its_link() {
        let mut notice = example(Status::Firing);
        for piece in ["退款", "\"", "\u{1}", "😀", "\n", "<at id=all></at>"] {
            notice.alert.text = piece.repeat(1_048_576 / piece.len());
            let body = message(&notice, "hush");
            assert!(body.len() <= 20_000, "{piece:?}: {}", body.len());
            assert!(
                body.ends_with(r#"[Look](https://admin.example/archives/7?from=alert)"}}]}}"#),
                "{body}"
            );
            assert!(!body.contains("<at"), "{piece:?}");
        }
        for status in Status::ALL {
            let body = message(&longest(status), "hush");
            assert!(body.len() <= 20_000, "{status:?}: {}", body.len());
            assert!(
                body.contains("[Look](https://admin.example/xxx"),
                "{status:?}"
            );
        }
    }

    #[test]
    fn its_codes_are_classed() {
        let url = "https://open.feishu.cn/open-apis/bot/v2/hook/hush-hush"
            .parse()
            .unwrap();
        let secrets = Secrets::of(&url, &Secret::new("SEChush"));
        let judge = |status: u16, body: &str| {
            let answer = Answer {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: body.into(),
            };
            CODES.judge(&answer, &secrets)
        };
        assert_eq!(
            judge(200, r#"{"code":0,"msg":"success","data":{}}"#),
            Delivered::Sent
        );
        assert!(matches!(
            judge(200, r#"{"code":11232,"msg":"too many"}"#),
            Delivered::SlowDown(None, _)
        ));
        assert!(matches!(
            judge(400, r#"{"code":11232,"msg":"too many"}"#),
            Delivered::SlowDown(None, _)
        ));
        assert_eq!(
            judge(
                200,
                r#"{"code":19021,"msg":"sign match fail: hush-hush SEChush"}"#
            ),
            Delivered::Broken("code 19021: sign match fail: *** ***".to_owned())
        );
        assert!(matches!(
            judge(200, r#"{"code":9499}"#),
            Delivered::Unknown(_)
        ));
        assert!(matches!(
            judge(200, r#"{"StatusCode":0}"#),
            Delivered::Unknown(_)
        ));
    }

    #[test]
    fn messages_look_as_they_did() {
        let text = Texts::built_in().of(Feishu::FAMILY, Language::Zh);
        let all = Status::ALL.map(|status| {
            let notice = example(status);
            serde_json::from_slice::<serde_json::Value>(&body(
                &text,
                &notice,
                &Secret::new("hush"),
                1_599_360_473,
            ))
            .unwrap()
        });
        insta::assert_json_snapshot!(all);
    }
}
