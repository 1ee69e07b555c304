//! Robots answer 200 whatever they think: a code in the body decides, and its absence is a failure.

use super::{Delivered, endpoint::Answer, secrets::Secrets};
use chrono::Utc;
use serde_json::Value;
use std::time::Duration;

/// How one vendor's robots put it.
pub(super) struct Codes {
    /// The name of the code; 0 is the only good one.
    pub(super) code: &'static str,
    /// The name of what they say of it.
    pub(super) words: &'static str,
    /// Too many messages.
    pub(super) slow_down: i64,
    /// For how long, where that is known: nobody says it in the answer.
    pub(super) slow_down_for: Option<Duration>,
    /// What only a person can change.
    pub(super) broken: i64,
}

impl Codes {
    /// What an answer means. A code is believed at any status, unless it says that all is well and the status does not.
    pub(super) fn judge(&self, answer: &Answer, secrets: &Secrets) -> Delivered {
        let refusal = answer.refusal(Utc::now());
        let said = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
        let code = said.get(self.code).and_then(Value::as_i64);
        let words = said
            .get(self.words)
            .and_then(Value::as_str)
            .unwrap_or_default();
        let why = |code: i64| format!("{} {code}: {}", self.code, secrets.without(words));
        match (code, refusal) {
            (Some(code), Some(Delivered::SlowDown(asked, _))) if code != 0 => {
                Delivered::SlowDown(asked.or(self.slow_down_for), why(code))
            }
            (Some(code), _) if code == self.slow_down => {
                Delivered::SlowDown(self.slow_down_for, why(code))
            }
            (Some(code), _) if code == self.broken => Delivered::Broken(why(code)),
            (_, Some(refusal)) => refusal,
            (Some(0), None) => Delivered::Sent,
            (Some(code), None) => Delivered::Unknown(why(code)),
            (None, None) => Delivered::Unknown(format!("the answer has no {}", self.code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::{StatusCode, header::HeaderMap};
    use service_kit::settings::Secret;

    const CODES: Codes = Codes {
        code: "errcode",
        words: "errmsg",
        slow_down: 130_101,
        slow_down_for: Some(Duration::from_mins(10)),
        broken: 310_000,
    };

    fn judge(status: u16, body: &str) -> Delivered {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.into(),
        };
        let url = "http://robot/send?access_token=SECRETTOKEN"
            .parse()
            .unwrap();
        CODES.judge(&answer, &Secrets::of(&url, &Secret::new("SEChush")))
    }

    /// Breaks when a missing code counts as success, or a good code outweighs a bad status.
    #[test]
    fn only_code_0_is_sent() {
        assert_eq!(
            judge(200, r#"{"errcode":0,"errmsg":"ok"}"#),
            Delivered::Sent
        );
        for body in [
            "",
            "{}",
            "[]",
            r#"{"errmsg":"ok"}"#,
            "ok",
            r#"{"errcode":"0"}"#,
            r#"{"errcode":0.0}"#,
            r#"{"errcode":null}"#,
            r#"{"errcode":-1,"errmsg":"busy"}"#,
        ] {
            assert!(matches!(judge(200, body), Delivered::Unknown(_)), "{body}");
        }
        for status in [301, 400, 500, 502] {
            let what = judge(status, r#"{"errcode":0}"#);
            assert_eq!(what, judge(status, ""), "{status}");
            assert!(matches!(what, Delivered::Unknown(_)), "{status}");
        }
    }

    #[test]
    fn the_vendors_codes_are_believed_and_their_words_kept_without_credentials() {
        for status in [200, 400, 500] {
            assert!(matches!(
                judge(status, r#"{"errcode":130101,"errmsg":"too fast"}"#),
                Delivered::SlowDown(wait, _) if wait == CODES.slow_down_for
            ));
            assert_eq!(
                judge(
                    status,
                    r#"{"errcode":310000,"errmsg":"sign not match\n SECRETTOKEN SEChush"}"#
                ),
                Delivered::Broken("errcode 310000: sign not match  *** ***".to_owned())
            );
        }
        assert!(matches!(judge(429, ""), Delivered::SlowDown(None, _)));
        assert!(matches!(judge(404, "{}"), Delivered::Broken(_)));
    }
}
