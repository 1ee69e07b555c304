//! A `WeCom` robot: markdown, no signature (the url is the credential), and an answer whose body decides.
//!
//! It takes 20 messages a minute, of at most 4,096 bytes each.

use super::{
    Channel, Delivered, Notice, Rate,
    endpoint::Endpoint,
    secrets::Secrets,
    texts::{Family, Text},
    verdict::Codes,
};
use futures::future::BoxFuture;
use reqwest::header::HeaderMap;
use serde::Serialize;
use service_kit::settings::Secret;

/// 45009: too many messages. 93000: the key is none.
const CODES: Codes = Codes {
    code: "errcode",
    words: "errmsg",
    slow_down: 45_009,
    slow_down_for: None,
    broken: 93_000,
};

/// A robot of a group.
pub(super) struct WeCom {
    endpoint: Endpoint,
    secrets: Secrets,
    text: Text,
}

impl WeCom {
    pub(super) const FAMILY: Family = Family::WeCom;

    pub(super) fn new(endpoint: Endpoint, text: Text) -> Self {
        Self {
            secrets: Secrets::of(&endpoint.url(), &Secret::default()),
            endpoint,
            text,
        }
    }
}

impl Channel for WeCom {
    fn deliver<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Delivered> {
        Box::pin(async move {
            let body = body(&self.text, notice);
            match self
                .endpoint
                .post(self.endpoint.url(), HeaderMap::new(), body)
                .await
            {
                Ok(answer) => CODES.judge(&answer, &self.secrets),
                Err(no_answer) => no_answer,
            }
        })
    }

    /// 20 in any minute: a full bucket and what comes back meanwhile.
    fn rate(&self) -> Rate {
        Rate {
            burst: 5.0,
            per_minute: 14.0,
        }
    }
}

#[derive(Serialize)]
struct Message {
    msgtype: &'static str,
    markdown: Markdown,
}

#[derive(Serialize)]
struct Markdown {
    content: String,
}

fn body(text: &Text, notice: &Notice) -> Vec<u8> {
    let limit = WeCom::FAMILY.limit();
    let content = text.body(notice, limit, |text| text, |text| text.len() <= limit);
    let message = Message {
        msgtype: "markdown",
        markdown: Markdown { content },
    };
    serde_json::to_vec(&message).expect("texts make JSON")
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
    use serde_json::Value;
    use service_kit::settings::Language;

    fn content(notice: &Notice) -> String {
        let text = Texts::built_in().of(WeCom::FAMILY, Language::Zh);
        let message: Value = serde_json::from_slice(&body(&text, notice)).unwrap();
        assert_eq!(message["msgtype"], "markdown");
        message["markdown"]["content"].as_str().unwrap().to_owned()
    }

    /// Breaks when letters are counted in place of bytes, or the link is cut with the rest.
    #[test]
    fn the_content_is_at_most_4096_bytes_and_keeps_its_link() {
        let mut notice = example(Status::Firing);
        for piece in ["退款", "x", "\u{1}", "😀", "\n", "<@all>"] {
            notice.alert.text = piece.repeat(1_048_576 / piece.len());
            let content = content(&notice);
            assert!(content.len() <= 4096, "{piece:?}: {}", content.len());
            assert!(
                content.ends_with("[查看](https://admin.example/archives/7?from=alert)"),
                "{content}"
            );
        }
        for status in Status::ALL {
            let content = content(&longest(status));
            assert!(content.len() <= 4096, "{status:?}: {}", content.len());
            assert!(
                content.contains("[查看](https://admin.example/xxx"),
                "{content}"
            );
        }
    }

    #[test]
    fn its_codes_are_classed() {
        let url = "https://qyapi.example/cgi-bin/webhook/send?key=hush-1"
            .parse()
            .unwrap();
        let secrets = Secrets::of(&url, &Secret::default());
        let judge = |body: &str| {
            let answer = Answer {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: body.into(),
            };
            CODES.judge(&answer, &secrets)
        };
        assert_eq!(judge(r#"{"errcode":0,"errmsg":"ok"}"#), Delivered::Sent);
        assert!(matches!(
            judge(r#"{"errcode":45009,"errmsg":"limit"}"#),
            Delivered::SlowDown(None, _)
        ));
        assert_eq!(
            judge(r#"{"errcode":93000,"errmsg":"invalid webhook url hush-1"}"#),
            Delivered::Broken("errcode 93000: invalid webhook url ***".to_owned())
        );
        assert!(matches!(
            judge(r#"{"errcode":40058}"#),
            Delivered::Unknown(_)
        ));
        assert!(matches!(judge("{}"), Delivered::Unknown(_)));
    }

    #[test]
    fn messages_look_as_they_did() {
        let text = Texts::built_in().of(WeCom::FAMILY, Language::Zh);
        let all = Status::ALL.map(|status| {
            let notice = example(status);
            serde_json::from_slice::<serde_json::Value>(&body(&text, &notice)).unwrap()
        });
        insta::assert_json_snapshot!(all);
    }
}
