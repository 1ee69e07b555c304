//! Makes the checks of a webhook one after the other.

use super::{
    check::{Check, Expected, test_notice},
    report::{Line, Suite},
    verify::{Reach, Receiver, in_our_words},
};
use anyhow::anyhow;
use chrono::Utc;
use compensation::alerts::{Probe, Targets};
use serde_json::json;
use std::time::{Duration, Instant};

/// Why a check was not made.
const NO_SECRET: &str = "not made: no --secret was given";
const NO_ANSWER: &str = "not made: the good request had no answer";

/// Sends every request. Where the first has no answer at all the others are not made: each would take as long.
///
/// # Errors
/// When the address or the secret is none.
pub(super) async fn run(receiver: &Receiver) -> anyhow::Result<Suite> {
    let targets = match receiver.reach {
        Reach::Anywhere => Targets::Any,
        Reach::Public => Targets::PublicOnly,
    };
    let probe = Probe::new(&receiver.url, &receiver.secret, targets)
        .map_err(|why| anyhow!(in_our_words(&why.to_string())))?;
    let signs = !receiver.secret.expose().is_empty();
    let first = test_notice();
    let mut lines = Vec::new();
    let mut silent = false;
    for check in Check::ALL {
        let came = if silent {
            Came::NotMade(NO_ANSWER)
        } else if check.needs_a_secret() && !signs {
            Came::NotMade(NO_SECRET)
        } else {
            let began = Instant::now();
            let attempt = check.attempt(&probe, &first, Utc::now());
            match probe.send(attempt).await {
                Ok(status) => Came::Status(status, began.elapsed()),
                Err(why) => {
                    silent = check == Check::Good;
                    Came::Nothing(why)
                }
            }
        };
        lines.push(Row { check, came }.line());
    }
    Ok(Suite {
        kind: receiver.kind.name(),
        title: receiver.kind.title(),
        place: receiver.place(),
        lines,
    })
}

/// What came of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Came {
    /// An answer, after so long.
    Status(u16, Duration),
    /// None, and why.
    Nothing(String),
    /// It was not asked, and why.
    NotMade(&'static str),
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    check: Check,
    came: Came,
}

impl Row {
    fn holds(&self) -> bool {
        match self.came {
            Came::Status(status, _) => self.check.expected().is_met_by(status),
            Came::Nothing(_) | Came::NotMade(_) => false,
        }
    }

    fn came(&self) -> String {
        match &self.came {
            Came::Status(status, took) => format!("{status} in {} ms", took.as_millis()),
            Came::Nothing(why) => why.clone(),
            Came::NotMade(why) => (*why).to_owned(),
        }
    }

    /// What to do; nothing when it holds.
    fn advice(&self) -> Option<&'static str> {
        if self.holds() {
            return None;
        }
        Some(match &self.came {
            Came::NotMade(_) => return None,
            Came::Nothing(_) => {
                "is it running, and reachable from here? It must answer within 15 s, over TLS with a certificate that this machine trusts where the url begins with https://"
            }
            Came::Status(300..=399, _) => {
                "redirects are not followed: give the address that this one leads to"
            }
            Came::Status(429, _) => {
                "it wants fewer requests: run this again when it has calmed down"
            }
            Came::Status(404 | 410, _) if self.check == Check::Good => {
                "nothing listens at this path: look at the url"
            }
            Came::Status(401 | 403, _) if self.check == Check::Good => {
                "either --secret is not the receiver's, or it makes another signature: v1, and the base64 of HMAC-SHA256 over {webhook-id}.{webhook-timestamp}.{raw body}, with the bytes after whsec_ as key"
            }
            Came::Status(500..=599, _) if self.check.expected() == Expected::Refused => {
                "it noticed, but 5xx says that it is its own fault and asks to be sent the same again: answer 4xx"
            }
            Came::Status(..) => self.check.advice(),
        })
    }

    fn line(&self) -> Line {
        let (status, took) = match self.came {
            Came::Status(status, took) => (Some(status), Some(took)),
            _ => (None, None),
        };
        Line {
            check: json!(self.check),
            name: self.check.name(),
            expected: self.check.expected().as_str(),
            came: self.came(),
            status,
            took,
            holds: match self.came {
                Came::NotMade(_) => None,
                _ => Some(self.holds()),
            },
            advice: self.advice(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(check: Check, status: u16) -> Row {
        Row {
            check,
            came: Came::Status(status, Duration::from_millis(7)),
        }
    }

    #[test]
    fn a_status_is_met_or_has_advice() {
        for (check, status, holds) in [
            (Check::Good, 204, true),
            (Check::Good, 302, false),
            (Check::Good, 401, false),
            (Check::WrongSignature, 401, true),
            (Check::WrongSignature, 400, true),
            (Check::WrongSignature, 200, false),
            (Check::WrongSignature, 429, false),
            (Check::WrongSignature, 500, false),
            (Check::LargeBody, 413, false),
        ] {
            let row = row(check, status);
            assert_eq!(row.holds(), holds, "{row:?}");
            assert_eq!(row.advice().is_none(), holds, "{row:?}");
        }
        assert!(row(Check::Good, 401).advice().unwrap().contains("--secret"));
        assert!(
            row(Check::Good, 307)
                .advice()
                .unwrap()
                .contains("redirects")
        );
    }
}
