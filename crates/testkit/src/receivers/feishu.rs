//! A Feishu (Lark) robot: signed in the body with a key that holds the time, code in the body, 100 a minute and 5 a second.

use super::{
    Limits, Received, Refusal, Said, Vendor,
    signature::signature,
    vendor::{said, shape, within},
};
use crate::webhooks::Request;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// 20 KB, by the narrower reading.
const BODY_AT_MOST: usize = 20_000;
/// How far the sender's clock may be off.
const CLOCK: TimeDelta = TimeDelta::hours(1);
const COLOURS: [&str; 13] = [
    "blue",
    "wathet",
    "turquoise",
    "green",
    "yellow",
    "orange",
    "red",
    "carmine",
    "violet",
    "purple",
    "indigo",
    "grey",
    "default",
];
/// Of a card's elements, those that hold text, buttons, or nothing.
const ELEMENTS: [&str; 5] = ["div", "markdown", "hr", "note", "action"];

/// 5 a second and 100 a minute.
const LIMITS: Limits = Limits {
    windows: &[(5, Duration::from_secs(1)), (100, Duration::from_mins(1))],
    silent_for: Duration::ZERO,
};

/// A robot of a group.
#[derive(Debug, Clone)]
pub struct Feishu {
    id: String,
    secret: String,
}

impl Feishu {
    /// With an empty secret it looks at no signature.
    #[must_use]
    pub fn new(id: &str, secret: &str) -> Self {
        Self {
            id: id.to_owned(),
            secret: secret.to_owned(),
        }
    }

    fn check_signature(&self, message: &Message, now: DateTime<Utc>) -> Result<(), Refusal> {
        if self.secret.is_empty() {
            return Ok(());
        }
        let foreign =
            || Refusal::Foreign("sign match fail or timestamp is not within one hour".to_owned());
        let text = message.timestamp.as_deref().ok_or_else(foreign)?;
        let at = text
            .parse()
            .ok()
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
            .ok_or_else(foreign)?;
        let ours = signature(format!("{text}\n{}", self.secret).as_bytes(), &[]);
        if (now - at).abs() > CLOCK || message.sign.as_deref() != Some(&ours) {
            return Err(foreign());
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    timestamp: Option<String>,
    sign: Option<String>,
    msg_type: String,
    card: Option<Card>,
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    #[serde(default, rename = "config")]
    _config: Value,
    header: Header,
    elements: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    #[serde(default)]
    template: Option<String>,
    title: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    tag: String,
    content: String,
}

impl Card {
    /// Title and all texts.
    fn read(&self) -> Result<(String, String), Refusal> {
        if let Some(colour) = &self.header.template
            && !COLOURS.contains(&colour.as_str())
        {
            return Err(Refusal::Malformed(format!("header.template {colour}")));
        }
        if self.header.title.tag != "plain_text" {
            return Err(Refusal::Malformed("header.title is not plain".to_owned()));
        }
        said(&self.header.title.content, "header.title")?;
        if self.elements.is_empty() {
            return Err(Refusal::Malformed("no elements".to_owned()));
        }
        let mut texts = vec![self.header.title.content.clone()];
        for element in &self.elements {
            let tag = element["tag"].as_str().unwrap_or_default();
            if !ELEMENTS.contains(&tag) {
                return Err(Refusal::Malformed(format!("an element {tag:?}")));
            }
            if tag == "div" && element["fields"].is_null() {
                let text: Text = serde_json::from_value(element["text"].clone())
                    .map_err(|why| Refusal::Malformed(format!("a div's text: {why}")))?;
                if !["plain_text", "lark_md"].contains(&text.tag.as_str()) {
                    return Err(Refusal::Malformed(format!("a div's text {}", text.tag)));
                }
            }
            strings(element, &mut texts);
        }
        Ok((self.header.title.content.clone(), texts.join("\n")))
    }
}

impl Card {
    /// A title and what is plain call nobody, whatever stands in them.
    fn calls_everybody(&self) -> bool {
        let marked_up = |element: &&Value| {
            element["tag"] == "markdown" || element.pointer("/text/tag") == Some(&"lark_md".into())
        };
        let mut texts = Vec::new();
        for element in self.elements.iter().filter(marked_up) {
            strings(element, &mut texts);
        }
        let calls = ["<at id=all", "<at user_id=\"all\""];
        texts
            .iter()
            .any(|text| calls.iter().any(|call| text.contains(call)))
    }
}

/// Every text in it that is not a name for programs.
fn strings(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|one| strings(one, into)),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "tag")
            .for_each(|(_, one)| strings(one, into)),
        _ => {}
    }
}

impl Vendor for Feishu {
    fn target(&self) -> String {
        format!("/open-apis/bot/v2/hook/{}", self.id)
    }

    fn read(&self, request: &Request, now: DateTime<Utc>) -> Result<Received, Refusal> {
        within(request.body.len(), BODY_AT_MOST, "a body")?;
        let message: Message = shape(&request.body)?;
        self.check_signature(&message, now)?;
        let (title, text) = match (message.msg_type.as_str(), &message.card, &message.content) {
            ("interactive", Some(card), None) => card.read()?,
            ("text", None, Some(content)) => {
                said(&content.text, "content.text")?;
                (content.text.clone(), content.text.clone())
            }
            (other, ..) => {
                return Err(Refusal::Malformed(format!(
                    "msg_type {other} without what belongs to it, or with more"
                )));
            }
        };
        let calls_everybody = message.card.as_ref().is_some_and(Card::calls_everybody);
        Ok(Received {
            calls_everybody,
            ..Received::chat(request, &title, text)
        })
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn taken(&self, _: &Received) -> Said {
        Said::new(
            200,
            r#"{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}"#,
        )
    }

    fn wordless(&self) -> Said {
        Said::new(200, r#"{"msg":"success"}"#)
    }

    fn refusal(&self, why: &Refusal) -> Said {
        let (code, text) = match why {
            Refusal::Foreign(text) => (19_021, text.as_str()),
            Refusal::Malformed(text) => (19_002, text.as_str()),
            Refusal::TooLong(text) => (9_499, text.as_str()),
            Refusal::TooFast(_) => (11_232, "frequency limited"),
            Refusal::Busy => (1_000_000, "internal error"),
        };
        let answer = serde_json::json!({"code": code, "msg": text, "data": {}});
        Said::new(200, answer.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::vendor::tests::post, *};
    use serde_json::json;

    const SECOND: i64 = 1_600_000_000;

    fn card(secret: &str) -> Value {
        let sign = signature(format!("{SECOND}\n{secret}").as_bytes(), &[]);
        json!({"timestamp": SECOND.to_string(), "sign": sign, "msg_type": "interactive", "card": {
            "header": {"template": "red", "title": {"tag": "plain_text", "content": "t"}},
            "elements": [{"tag": "div", "text": {"tag": "lark_md", "content": "x"}}],
        }})
    }

    fn read(message: &Value, age: i64) -> Result<Received, Refusal> {
        let robot = Feishu::new("ID", "hush");
        let request = post("/open-apis/bot/v2/hook/ID", &message.to_string());
        robot.read(&request, DateTime::from_timestamp(SECOND + age, 0).unwrap())
    }

    #[test]
    fn the_signature_is_looked_at_and_holds_for_an_hour() {
        let received = read(&card("hush"), 3600).unwrap();
        assert_eq!(
            (received.title.as_str(), received.text.as_str()),
            ("t", "t\nx")
        );
        for refused in [
            read(&card("hush"), 3601),
            read(&card("hush"), -3601),
            read(&card("other"), 0),
        ] {
            assert!(matches!(refused, Err(Refusal::Foreign(_))));
        }
    }

    /// `printf '' | openssl dgst -sha256 -hmac $'1600000000\nhush' -binary | base64`
    #[test]
    fn the_signature_is_what_another_program_makes_of_it() {
        assert_eq!(
            card("hush")["sign"],
            "VDHmm5rkDKXOs2vbr118cnX8FoUC+K2yHmSBJ6AYS1U="
        );
    }

    #[test]
    fn marked_up_texts_call_everybody_and_plain_ones_do_not() {
        let calls = |tag: &str| {
            let mut message = card("hush");
            message["card"]["header"]["title"]["content"] = json!("<at id=all></at>");
            let text = json!({"tag": tag, "content": "<at id=all></at>"});
            message["card"]["elements"][0]["text"] = text;
            read(&message, 0).unwrap().calls_everybody
        };
        assert!(calls("lark_md") && !calls("plain_text"));
    }

    #[test]
    fn shape_and_size_are_looked_at() {
        let spoilt = |pointer: &str, value: Value| {
            let mut message = card("hush");
            *message.pointer_mut(pointer).unwrap() = value;
            read(&message, 0).unwrap_err()
        };
        for (pointer, value) in [
            ("/msg_type", json!("post")),
            ("/timestamp", json!(SECOND)),
            ("/card/header/template", json!("pink")),
            (
                "/card/header/title",
                json!({"tag": "lark_md", "content": "t"}),
            ),
            ("/card/elements", json!([])),
            ("/card/elements/0/tag", json!("blink")),
            ("/card/elements/0/text", json!({"content": "x"})),
            (
                "/card/header",
                json!({"title": {"tag": "plain_text", "content": "t"}, "more": 1}),
            ),
        ] {
            let refused = spoilt(pointer, value);
            assert!(
                matches!(refused, Refusal::Malformed(_)),
                "{pointer}: {refused}"
            );
        }
        let long = spoilt("/card/elements/0/text/content", json!("x".repeat(20_000)));
        assert!(matches!(long, Refusal::TooLong(_)), "{long}");
    }
}
