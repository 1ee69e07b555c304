//! A `WeCom` robot: the key in the url is the credential, errcode is in the body, 20 a minute.

use super::{
    Limits, Received, Refusal, Said, Vendor, query,
    vendor::{said, shape, within},
};
use crate::webhooks::Request;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::time::Duration;

const PATH: &str = "/cgi-bin/webhook/send";
/// In bytes of UTF-8, not in characters.
const MARKDOWN_AT_MOST: usize = 4096;
const TEXT_AT_MOST: usize = 2048;

/// 20 a minute.
const LIMITS: Limits = Limits {
    windows: &[(20, Duration::from_mins(1))],
    silent_for: Duration::ZERO,
};

/// A robot of a group.
#[derive(Debug, Clone)]
pub struct WeCom {
    key: String,
}

impl WeCom {
    /// With this credential; with an empty one it looks at none.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self {
            key: key.to_owned(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    msgtype: String,
    markdown: Option<Markdown>,
    text: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Markdown {
    content: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    content: String,
    #[serde(default)]
    mentioned_list: Vec<String>,
    #[serde(default)]
    mentioned_mobile_list: Vec<String>,
}

impl Vendor for WeCom {
    fn target(&self) -> String {
        format!("{PATH}?key={}", self.key)
    }

    fn read(&self, request: &Request, _: DateTime<Utc>) -> Result<Received, Refusal> {
        if !self.key.is_empty()
            && query::value(&request.target, "key").as_deref() != Some(&self.key)
        {
            return Err(Refusal::Foreign("invalid webhook url".to_owned()));
        }
        let message: Message = shape(&request.body)?;
        let (content, most, listed) =
            match (message.msgtype.as_str(), message.markdown, message.text) {
                ("markdown", Some(markdown), None) => (markdown.content, MARKDOWN_AT_MOST, false),
                ("text", None, Some(text)) => {
                    let mut all = text
                        .mentioned_list
                        .iter()
                        .chain(&text.mentioned_mobile_list);
                    let everybody = all.any(|name| name == "@all");
                    (text.content, TEXT_AT_MOST, everybody)
                }
                (other, ..) => {
                    return Err(Refusal::Malformed(format!(
                        "msgtype {other} without what belongs to it, or with more"
                    )));
                }
            };
        said(&content, "content")?;
        within(content.len(), most, "a content")?;
        let title = content.lines().next().unwrap_or_default();
        let title = title.trim_start_matches(['#', '>', ' ', '*']).to_owned();
        let calls_everybody = listed || content.contains("<@all>");
        Ok(Received {
            calls_everybody,
            ..Received::chat(request, &title, content)
        })
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn taken(&self, _: &Received) -> Said {
        Said::new(200, r#"{"errcode":0,"errmsg":"ok"}"#)
    }

    fn wordless(&self) -> Said {
        Said::new(200, r#"{"errmsg":"ok"}"#)
    }

    fn refusal(&self, why: &Refusal) -> Said {
        let (code, text) = match why {
            Refusal::Foreign(text) => (93_000, text.as_str()),
            Refusal::Malformed(text) => (40_008, text.as_str()),
            Refusal::TooLong(text) => (40_058, text.as_str()),
            Refusal::TooFast(_) => (45_009, "api freq out of limit"),
            Refusal::Busy => (-1, "system busy"),
        };
        let answer = serde_json::json!({"errcode": code, "errmsg": text});
        Said::new(200, answer.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::vendor::tests::post, *};

    fn read(target: &str, body: &str) -> Result<Received, Refusal> {
        WeCom::new("K").read(&post(target, body), Utc::now())
    }

    #[test]
    fn bytes_are_counted_not_characters_and_the_key_is_looked_at() {
        let target = "/cgi-bin/webhook/send?key=K";
        let markdown = |content: &str| {
            serde_json::json!({"msgtype": "markdown", "markdown": {"content": content}}).to_string()
        };
        let received = read(target, &markdown("### Title\nmore")).unwrap();
        assert_eq!((received.title.as_str(), received.id), ("Title", None));
        assert!(read(target, &markdown(&"x".repeat(4096))).is_ok());
        let long = read(target, &markdown(&"退".repeat(1366))).unwrap_err();
        assert!(matches!(long, Refusal::TooLong(_)), "{long}");
        let foreign = read("/cgi-bin/webhook/send?key=L", &markdown("x")).unwrap_err();
        assert!(matches!(foreign, Refusal::Foreign(_)), "{foreign}");
        assert!(read(target, &markdown("<@all>")).unwrap().calls_everybody);
        for body in [
            r#"{"msgtype":"markdown","markdown":{"content":""}}"#,
            r#"{"msgtype":"markdown","markdown":{"content":"x","title":"t"}}"#,
            r#"{"msgtype":"card","markdown":{"content":"x"}}"#,
        ] {
            let refused = read(target, body).unwrap_err();
            assert!(matches!(refused, Refusal::Malformed(_)), "{body}");
        }
    }
}
