//! A Slack webhook: the address is the credential, the answer is the word `ok`, about one a second.

use super::{
    Limits, Received, Refusal, Said, Vendor,
    vendor::{said, shape, within},
};
use crate::webhooks::Request;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::time::Duration;

const PATH: &str = "/services/T000/B000/";
/// Of a section's text, in characters.
const SECTION_AT_MOST: usize = 3000;
/// Of a section's fields and a header's text, in characters; of fields, of elements of a context, of blocks.
const FIELD_AT_MOST: usize = 2000;
const HEADER_AT_MOST: usize = 150;
const FIELDS_AT_MOST: usize = 10;
const BLOCKS_AT_MOST: usize = 50;
/// Of the fallback, in characters.
const TEXT_AT_MOST: usize = 40_000;

/// About one a second. Short bursts are taken, says the vendor, and not how short: here one more than that in three seconds.
const LIMITS: Limits = Limits {
    windows: &[(4, Duration::from_secs(3)), (60, Duration::from_mins(1))],
    silent_for: Duration::ZERO,
};

/// A webhook of a channel.
#[derive(Debug, Clone)]
pub struct Slack {
    token: String,
}

impl Slack {
    /// With this last part of its path.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self {
            token: token.to_owned(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    text: String,
    #[serde(default)]
    blocks: Vec<Block>,
    #[serde(default, rename = "unfurl_links")]
    _unfurl_links: bool,
    #[serde(default, rename = "unfurl_media")]
    _unfurl_media: bool,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Block {
    Section {
        text: Option<Words>,
        #[serde(default)]
        fields: Vec<Words>,
    },
    Header {
        text: Words,
    },
    Context {
        elements: Vec<Words>,
    },
    Divider {},
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    r#type: WordsType,
    text: String,
    #[serde(default, rename = "emoji")]
    _emoji: bool,
    #[serde(default, rename = "verbatim")]
    _verbatim: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WordsType {
    PlainText,
    Mrkdwn,
}

impl Words {
    fn check(&self, most: usize, what: &str) -> Result<(), Refusal> {
        said(&self.text, what)?;
        within_characters(&self.text, most, what)
    }
}

impl Block {
    fn texts(&self) -> Result<Vec<&Words>, Refusal> {
        match self {
            Self::Section { text, fields } => {
                if text.is_none() && fields.is_empty() {
                    return Err(Refusal::Malformed("a section of nothing".to_owned()));
                }
                within(fields.len(), FIELDS_AT_MOST, "fields")?;
                for field in fields {
                    field.check(FIELD_AT_MOST, "a field")?;
                }
                if let Some(text) = text {
                    text.check(SECTION_AT_MOST, "a section")?;
                }
                Ok(text.iter().chain(fields).collect())
            }
            Self::Header { text } => {
                if text.r#type != WordsType::PlainText {
                    return Err(Refusal::Malformed("a header that is not plain".to_owned()));
                }
                text.check(HEADER_AT_MOST, "a header")?;
                Ok(vec![text])
            }
            Self::Context { elements } => {
                within(elements.len(), FIELDS_AT_MOST, "elements")?;
                for element in elements {
                    element.check(FIELD_AT_MOST, "an element")?;
                }
                Ok(elements.iter().collect())
            }
            Self::Divider {} => Ok(Vec::new()),
        }
    }
}

fn within_characters(text: &str, most: usize, what: &str) -> Result<(), Refusal> {
    let long = text.chars().count();
    if long > most {
        return Err(Refusal::TooLong(format!(
            "{what} of {long} characters where {most} are taken"
        )));
    }
    Ok(())
}

impl Vendor for Slack {
    fn target(&self) -> String {
        format!("{PATH}{}", self.token)
    }

    fn read(&self, request: &Request, _: DateTime<Utc>) -> Result<Received, Refusal> {
        let message: Message = shape(&request.body)?;
        said(&message.text, "text")?;
        within_characters(&message.text, TEXT_AT_MOST, "a text")?;
        if message.blocks.len() > BLOCKS_AT_MOST {
            return Err(Refusal::TooLong("too many blocks".to_owned()));
        }
        let mut seen = vec![message.text.clone()];
        for block in &message.blocks {
            seen.extend(block.texts()?.iter().map(|text| text.text.clone()));
        }
        let text = seen.join("\n");
        let calls_everybody = ["<!channel", "<!here", "<!everyone"]
            .iter()
            .any(|call| text.contains(call));
        Ok(Received {
            calls_everybody,
            ..Received::chat(request, &message.text, text)
        })
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn taken(&self, _: &Received) -> Said {
        Said::new(200, "ok")
    }

    fn wordless(&self) -> Said {
        Said::new(200, "")
    }

    fn refusal(&self, why: &Refusal) -> Said {
        match why {
            Refusal::Foreign(_) => Said::new(403, "invalid_token"),
            Refusal::Malformed(_) => Said::new(400, "invalid_payload"),
            Refusal::TooLong(_) => Said::new(400, "invalid_blocks"),
            Refusal::TooFast(wait) => {
                let wait = wait.as_secs().max(1);
                Said::new(429, "rate_limited").with("retry-after", &wait)
            }
            Refusal::Busy => Said::new(500, "rollup_error"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::vendor::tests::post, *};
    use serde_json::{Value, json};

    fn read(message: &Value) -> Result<Received, Refusal> {
        let request = post("/services/T000/B000/X", &message.to_string());
        Slack::new("X").read(&request, Utc::now())
    }

    fn section(text: &str) -> Value {
        json!({"text": "t", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]})
    }

    #[test]
    fn characters_are_counted_and_shapes_looked_at() {
        let received = read(&section("x")).unwrap();
        assert_eq!(
            (received.title.as_str(), received.text.as_str()),
            ("t", "t\nx")
        );
        assert!(read(&section(&"退".repeat(3000))).is_ok());
        let long = read(&section(&"x".repeat(3001))).unwrap_err();
        assert!(matches!(long, Refusal::TooLong(_)), "{long}");
        assert!(read(&section("<!channel> look")).unwrap().calls_everybody);
        assert!(!read(&section("&lt;!channel&gt;")).unwrap().calls_everybody);
        for message in [
            json!({}),
            json!({"text": ""}),
            json!({"text": "t", "more": 1}),
            section(""),
            json!({"text": "t", "blocks": [{"type": "section"}]}),
            json!({"text": "t", "blocks": [{"type": "banner"}]}),
            json!({"text": "t", "blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]}),
        ] {
            let refused = read(&message).unwrap_err();
            assert!(matches!(refused, Refusal::Malformed(_)), "{message}");
        }
    }
}
