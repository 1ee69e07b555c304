//! A `DingTalk` robot: markdown, signed in the url, and an answer whose body decides.
//!
//! A robot takes 20 messages a minute and is then silent for ten; bodies over 20,000 bytes are refused. A robot that only passes
//! messages with a keyword can be given the word "Redress": every title and text has it.

use super::{
    Alert, Channel, Delivered, Notice, Rate,
    endpoint::{Answer, Endpoint},
    shorten::{fitted, shortened},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::Utc;
use futures::future::BoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Url, header::HeaderMap};
use serde::{Deserialize, Serialize};
use service_kit::settings::Secret;
use sha2::Sha256;

const BODY_AT_MOST: usize = 20_000;
/// Facts beyond these, and letters of each beyond those, are left to the page the alert links to.
const FACTS_AT_MOST: usize = 20;
const FACT_AT_MOST: usize = 200;
const LINK_AT_MOST: usize = 1000;
/// Of the robot's own words, in characters.
const ERRMSG_AT_MOST: usize = 200;

/// Too many messages in a minute.
const TOO_FAST: i64 = 130_101;
/// The keyword is missing, the signature is wrong, or this machine's address is not on the list.
const REFUSED: i64 = 310_000;

/// A robot of a group.
pub(super) struct DingTalk {
    endpoint: Endpoint,
    secret: Secret,
}

impl DingTalk {
    /// An empty secret signs nothing.
    pub(super) const fn new(endpoint: Endpoint, secret: Secret) -> Self {
        Self { endpoint, secret }
    }

    fn url(&self, ms: i64) -> Url {
        let mut url = self.endpoint.url();
        if !self.secret.expose().is_empty() {
            url.query_pairs_mut()
                .append_pair("timestamp", &ms.to_string())
                .append_pair("sign", &sign(self.secret.expose(), ms));
        }
        url
    }

    /// The robot's own words, without what must stay secret should it repeat that.
    fn without_secrets(&self, text: &str) -> String {
        let url = self.endpoint.url();
        let mut text = text.replace(char::is_control, " ");
        let credentials = url.query_pairs().map(|(_, value)| value.into_owned());
        for credential in credentials.chain([self.secret.expose().to_owned()]) {
            if !credential.is_empty() {
                text = text.replace(&credential, "***");
            }
        }
        shortened(&text, ERRMSG_AT_MOST)
    }

    fn judge(&self, answer: &Answer) -> Delivered {
        if let Some(refusal) = answer.refusal(Utc::now()) {
            return refusal;
        }
        let Ok(verdict) = serde_json::from_slice::<Verdict>(&answer.body) else {
            return Delivered::Unknown("the answer has no errcode".to_owned());
        };
        let why = || {
            format!(
                "errcode {}: {}",
                verdict.errcode,
                self.without_secrets(&verdict.errmsg)
            )
        };
        match verdict.errcode {
            0 => Delivered::Sent,
            TOO_FAST => Delivered::SlowDown(None, why()),
            REFUSED => Delivered::Broken(why()),
            _ => Delivered::Unknown(why()),
        }
    }
}

impl Channel for DingTalk {
    fn deliver<'a>(&'a self, notice: &'a Notice) -> BoxFuture<'a, Delivered> {
        Box::pin(async move {
            let url = self.url(Utc::now().timestamp_millis());
            match self.endpoint.post(url, HeaderMap::new(), body(&notice.alert)).await {
                Ok(answer) => self.judge(&answer),
                Err(no_answer) => no_answer,
            }
        })
    }

    /// 20 a minute; beyond that it is silent for ten minutes.
    fn rate(&self) -> Rate {
        Rate {
            burst: 10.0,
            per_minute: 18.0,
        }
    }
}

#[derive(Deserialize)]
struct Verdict {
    errcode: i64,
    #[serde(default)]
    errmsg: String,
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

fn body(alert: &Alert) -> Vec<u8> {
    let title = format!("Redress: {}", plain(&alert.title));
    let middle = middle(alert);
    let link = alert.link.as_deref().map_or_else(String::new, |link| {
        format!("\n\n[Look]({})", shortened(link, LINK_AT_MOST))
    });
    fitted(&middle, BODY_AT_MOST, |middle| {
        let text = format!(
            "### {title}\n\n{middle}\n\n{} · {}{link}",
            alert.severity,
            alert.at.to_rfc3339()
        );
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
    })
}

/// The lines that are cut when the whole is too long.
fn middle(alert: &Alert) -> String {
    let facts = alert.facts.iter().take(FACTS_AT_MOST);
    let facts = facts.map(|(name, value)| {
        format!(
            "- {}: {}",
            plain(name),
            shortened(&plain(value), FACT_AT_MOST)
        )
    });
    let facts = facts.collect::<Vec<_>>().join("\n");
    // A single line break is none to it.
    let lines = alert
        .text
        .lines()
        .map(plain)
        .collect::<Vec<_>>()
        .join("\n\n");
    [facts, lines].join("\n\n").trim().to_owned()
}

/// A text of one line that makes no link, picture, heading or quote: it may come from a message that anyone sent.
fn plain(text: &str) -> String {
    let line = text.replace(char::is_control, " ").replace("](", "] (");
    line.trim_start_matches(['#', '>', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::Severity;
    use reqwest::StatusCode;

    fn robot(url: &str, secret: &str) -> DingTalk {
        DingTalk::new(
            Endpoint::new(url.parse().unwrap()).unwrap(),
            Secret::new(secret),
        )
    }

    fn alert() -> Alert {
        Alert {
            id: "01890000-0000-7000-8000-000000000001".parse().unwrap(),
            at: "2026-03-01T10:00:00Z".parse().unwrap(),
            ..Alert::new(
                "archived",
                Severity::Urgent,
                "order 7",
                "Order 7 was given up",
            )
            .text("It failed six times.\n# Last: [x](http://evil)")
            .fact("sale", 3)
            .link("http://admin/archives/7")
        }
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
        let url =
            robot("http://robot/send?access_token=T", "this is secret").url(1_546_084_445_901);
        assert_eq!(
            url.query().unwrap(),
            "access_token=T&timestamp=1546084445901&sign=iZUamRUhDrNjadIMypR3HzMCRArfP4PWgn33Azh7zVk%3D"
        );
        assert_eq!(
            robot("http://robot/send?access_token=T", "")
                .url(1)
                .query()
                .unwrap(),
            "access_token=T"
        );
    }

    #[test]
    fn the_body_is_markdown_without_links_of_strangers() {
        assert_eq!(
            String::from_utf8(body(&alert())).unwrap(),
            r####"{"msgtype":"markdown","markdown":{"title":"Redress: Order 7 was given up","text":"### Redress: Order 7 was given up\n\n- sale: 3\n\nIt failed six times.\n\nLast: [x] (http://evil)\n\nurgent · 2026-03-01T10:00:00+00:00\n\n[Look](http://admin/archives/7)"},"at":{"atMobiles":[],"atUserIds":[],"isAtAll":false}}"####
        );
    }

    #[test]
    fn a_body_that_is_too_long_is_cut_and_keeps_its_link() {
        let long = alert().text("\"退款\u{7}\"".repeat(10_000));
        let body = body(&long);
        assert!(
            body.len() <= BODY_AT_MOST && body.len() > BODY_AT_MOST - 100,
            "{}",
            body.len()
        );
        assert!(
            String::from_utf8(body)
                .unwrap()
                .contains("[Look](http://admin/archives/7)")
        );
    }

    #[test]
    fn only_errcode_0_is_sent() {
        let robot = robot("http://robot/send?access_token=SECRETTOKEN", "SEChush");
        let judge = |body: &str| {
            robot.judge(&Answer {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: body.into(),
            })
        };
        assert_eq!(judge(r#"{"errcode":0,"errmsg":"ok"}"#), Delivered::Sent);
        for body in [
            "",
            "{}",
            r#"{"errmsg":"ok"}"#,
            "ok",
            r#"{"errcode":"0"}"#,
            r#"{"errcode":-1,"errmsg":"busy"}"#,
        ] {
            assert!(matches!(judge(body), Delivered::Unknown(_)), "{body}");
        }
        assert!(matches!(
            judge(r#"{"errcode":130101,"errmsg":"too fast"}"#),
            Delivered::SlowDown(None, _)
        ));
        assert_eq!(
            judge(r#"{"errcode":310000,"errmsg":"sign not match\n SECRETTOKEN SEChush"}"#),
            Delivered::Broken("errcode 310000: sign not match  *** ***".to_owned())
        );
    }
}
