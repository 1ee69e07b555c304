//! A `DingTalk` robot: signed in the url, errcode in the body, and ten minutes of silence for whoever sends more than 20 a minute.

use super::{
    Limits, Received, Refusal, Said, Vendor, query,
    signature::signature,
    vendor::{said, shape, within},
};
use crate::webhooks::Request;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use std::time::Duration;

const PATH: &str = "/robot/send";
const BODY_AT_MOST: usize = 20_000;
/// How far the sender's clock may be off.
const CLOCK: TimeDelta = TimeDelta::hours(1);

/// 20 a minute, and whoever sends more is not heard for ten.
const LIMITS: Limits = Limits {
    windows: &[(20, Duration::from_mins(1))],
    silent_for: Duration::from_mins(10),
};

/// A robot of a group.
#[derive(Debug, Clone)]
pub struct DingTalk {
    token: String,
    secret: String,
    keyword: String,
}

impl DingTalk {
    /// With an empty secret it looks at no signature.
    #[must_use]
    pub fn new(token: &str, secret: &str) -> Self {
        Self {
            token: token.to_owned(),
            secret: secret.to_owned(),
            keyword: String::new(),
        }
    }

    /// It passes only messages in which this word is.
    #[must_use]
    pub fn keyword(mut self, keyword: &str) -> Self {
        keyword.clone_into(&mut self.keyword);
        self
    }

    fn check_signature(&self, target: &str, now: DateTime<Utc>) -> Result<(), Refusal> {
        if self.secret.is_empty() {
            return Ok(());
        }
        let text = query::value(target, "timestamp").unwrap_or_default();
        let at = text
            .parse()
            .ok()
            .and_then(DateTime::from_timestamp_millis)
            .ok_or_else(|| Refusal::Foreign("no timestamp in milliseconds".to_owned()))?;
        if (now - at).abs() > CLOCK {
            return Err(Refusal::Foreign("invalid timestamp".to_owned()));
        }
        let message = format!("{text}\n{}", self.secret);
        let ours = signature(self.secret.as_bytes(), &[message.as_bytes()]);
        if query::value(target, "sign").as_deref() != Some(&ours) {
            return Err(Refusal::Foreign("sign not match".to_owned()));
        }
        Ok(())
    }
}

/// `text` and `markdown` are known here, of the vendor's kinds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    msgtype: String,
    markdown: Option<Markdown>,
    text: Option<Text>,
    #[serde(default)]
    at: At,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Markdown {
    title: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    content: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    #[serde(default, rename = "atMobiles")]
    _mobiles: Vec<String>,
    #[serde(default, rename = "atUserIds")]
    _user_ids: Vec<String>,
    #[serde(default, rename = "isAtAll")]
    all: bool,
}

impl Vendor for DingTalk {
    fn target(&self) -> String {
        format!("{PATH}?access_token={}", self.token)
    }

    fn read(&self, request: &Request, now: DateTime<Utc>) -> Result<Received, Refusal> {
        if query::value(&request.target, "access_token").as_deref() != Some(&self.token) {
            return Err(Refusal::Foreign("token is not exist".to_owned()));
        }
        self.check_signature(&request.target, now)?;
        within(request.body.len(), BODY_AT_MOST, "a body")?;
        let message: Message = shape(&request.body)?;
        let (title, text) = match (message.msgtype.as_str(), message.markdown, message.text) {
            ("markdown", Some(markdown), None) => {
                said(&markdown.title, "markdown.title")?;
                said(&markdown.text, "markdown.text")?;
                (markdown.title, markdown.text)
            }
            ("text", None, Some(text)) => {
                said(&text.content, "text.content")?;
                (text.content.clone(), text.content)
            }
            (other, ..) => {
                return Err(Refusal::Malformed(format!(
                    "msgtype {other} without what belongs to it, or with more"
                )));
            }
        };
        if !title.contains(&self.keyword) && !text.contains(&self.keyword) {
            return Err(Refusal::Foreign("keywords not in content".to_owned()));
        }
        let mut received = Received::chat(request, &title, text);
        received.calls_everybody = message.at.all;
        Ok(received)
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
            Refusal::Foreign(text) => (310_000, text.as_str()),
            Refusal::Malformed(text) => (40_035, text.as_str()),
            Refusal::TooLong(text) => (460_101, text.as_str()),
            Refusal::TooFast(_) => (130_101, "send too fast, exceed 20 times per minute"),
            Refusal::Busy => (-1, "system busy"),
        };
        let answer = serde_json::json!({"errcode": code, "errmsg": text});
        Said::new(200, answer.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::vendor::tests::post, *};

    const BODY: &str = r#"{"msgtype":"markdown","markdown":{"title":"t","text":"x"},"at":{"atMobiles":[],"atUserIds":[],"isAtAll":false}}"#;
    const MS: i64 = 1_546_084_445_901;
    /// Of ALERTS.md.
    const SIGN: &str = "iZUamRUhDrNjadIMypR3HzMCRArfP4PWgn33Azh7zVk%3D";

    fn target(token: &str, ms: i64, sign: &str) -> String {
        format!("{PATH}?access_token={token}&timestamp={ms}&sign={sign}")
    }

    fn read(target: &str, body: &str, age: TimeDelta) -> Result<Received, Refusal> {
        let robot = DingTalk::new("T", "this is secret");
        let now = DateTime::from_timestamp_millis(MS).unwrap() + age;
        robot.read(&post(target, body), now)
    }

    #[test]
    fn the_published_signature_is_taken_within_an_hour_and_no_other() {
        let fine = target("T", MS, SIGN);
        let half = TimeDelta::minutes(30);
        assert_eq!(read(&fine, BODY, half).unwrap().title, "t");
        assert!(read(&fine, BODY, -half).is_ok());
        for (target, age) in [
            (fine.clone(), half * 3),
            (fine, half * -3),
            (target("U", MS, SIGN), half),
            (target("T", MS + 1, SIGN), half),
            (
                target("T", MS, "HCbG3xNE3vzhO%2Bu7qCUL1jS5hsu2n5r2cFhnTrtyDAE%3D"),
                half,
            ),
            (format!("{PATH}?access_token=T"), half),
        ] {
            let refused = read(&target, BODY, age).unwrap_err();
            assert!(matches!(refused, Refusal::Foreign(_)), "{refused}");
        }
    }

    #[test]
    fn shape_size_and_keyword_are_looked_at() {
        let fine = target("T", MS, SIGN);
        let refused = |body: &str| read(&fine, body, TimeDelta::zero()).unwrap_err();
        for body in [
            "",
            "{}",
            r#"{"msgtype":"markdown"}"#,
            r#"{"msgtype":"markdown","markdown":{"title":"t"}}"#,
            r#"{"msgtype":"markdown","markdown":{"title":"t","text":" "}}"#,
            r#"{"msgtype":"text","markdown":{"title":"t","text":"x"}}"#,
            r#"{"msgtype":"markdown","markdown":{"title":"t","text":"x"},"more":1}"#,
        ] {
            assert!(matches!(refused(body), Refusal::Malformed(_)), "{body}");
        }
        let long = BODY.replace(r#""x""#, &format!("{:?}", "x".repeat(20_000)));
        assert!(matches!(refused(&long), Refusal::TooLong(_)));
        let picky = DingTalk::new("T", "").keyword("Redress");
        let request = post("/robot/send?access_token=T", BODY);
        assert!(matches!(
            picky.read(&request, Utc::now()),
            Err(Refusal::Foreign(_))
        ));
    }
}
