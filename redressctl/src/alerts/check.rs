//! What a receiver of Standard Webhooks must do, as requests: each is the good one with one thing changed.

use chrono::{DateTime, TimeDelta, Utc};
use compensation::alerts::{Alert, Attempt, Notice, Probe, Severity, Status};
use serde::Serialize;
use serde_json::{Value, json};

/// Older than any receiver should take; the reference implementations take five minutes.
const OLD: TimeDelta = TimeDelta::minutes(10);
/// Of the large body's text, in bytes.
const LARGE: usize = 60 * 1024;

/// One thing that must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Check {
    /// A request as it should be.
    Good,
    /// The same once more: its answer was lost.
    Repeated,
    /// Signed with two secrets, the receiver's first.
    TwoSignatures,
    /// Signed with two secrets, the receiver's last.
    TwoSignaturesOtherWay,
    /// Signed with a secret that the receiver does not know.
    WrongSignature,
    /// Changed after it was signed.
    ChangedBody,
    /// Signed ten minutes ago.
    OldTimestamp,
    /// Not signed.
    MissingSignature,
    /// As long as the sender ever makes it.
    LargeBody,
    /// Of a type that a later version may send.
    UnknownType,
    /// With fields that a later version may send.
    UnknownFields,
}

/// What is to come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// 2xx
    Taken,
    /// 4xx
    Refused,
}

impl Expected {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "2xx",
            Self::Refused => "4xx",
        }
    }

    /// 429 refuses nothing for good: it is sent again.
    pub(super) fn is_met_by(self, status: u16) -> bool {
        match self {
            Self::Taken => (200..300).contains(&status),
            Self::Refused => (400..500).contains(&status) && status != 429,
        }
    }
}

impl Check {
    /// In the order they are made.
    pub(super) const ALL: [Self; 11] = [
        Self::Good,
        Self::Repeated,
        Self::TwoSignatures,
        Self::TwoSignaturesOtherWay,
        Self::WrongSignature,
        Self::ChangedBody,
        Self::OldTimestamp,
        Self::MissingSignature,
        Self::LargeBody,
        Self::UnknownType,
        Self::UnknownFields,
    ];

    /// For people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Good => "good request",
            Self::Repeated => "the same id again",
            Self::TwoSignatures => "two signatures, yours first",
            Self::TwoSignaturesOtherWay => "two signatures, yours last",
            Self::WrongSignature => "wrong signature",
            Self::ChangedBody => "body changed after signing",
            Self::OldTimestamp => "signed ten minutes ago",
            Self::MissingSignature => "no signature",
            Self::LargeBody => "body of 60 KB",
            Self::UnknownType => "unknown type",
            Self::UnknownFields => "unknown fields",
        }
    }

    pub(super) const fn expected(self) -> Expected {
        match self {
            Self::WrongSignature
            | Self::ChangedBody
            | Self::OldTimestamp
            | Self::MissingSignature => Expected::Refused,
            _ => Expected::Taken,
        }
    }

    /// Whether it says anything of a receiver that knows no secret.
    pub(super) const fn needs_a_secret(self) -> bool {
        matches!(
            self,
            Self::TwoSignatures
                | Self::TwoSignaturesOtherWay
                | Self::WrongSignature
                | Self::ChangedBody
                | Self::OldTimestamp
                | Self::MissingSignature
        )
    }

    /// What to do when it does not hold.
    pub(super) const fn advice(self) -> &'static str {
        match self {
            Self::Good => {
                "answer 2xx as soon as the message is stored, and do slow work afterwards"
            }
            Self::Repeated => {
                "remember webhook-id for a day and answer 2xx to what you have already: a request whose answer was lost comes again"
            }
            Self::TwoSignatures | Self::TwoSignaturesOtherWay => {
                "webhook-signature is a list separated by spaces: take the request when any of them is right, or a change of secrets loses alerts"
            }
            Self::WrongSignature => {
                "anyone who knows the address can send you alerts: compare webhook-signature with your own HMAC-SHA256 in constant time and answer 401"
            }
            Self::ChangedBody => {
                "the signature must cover the raw body, byte for byte: sign {webhook-id}.{webhook-timestamp}.{body} before anything parses it, and answer 401"
            }
            Self::OldTimestamp => {
                "a request that was overheard can be sent again for ever: refuse what is more than five minutes from your clock with 400"
            }
            Self::MissingSignature => {
                "whoever leaves the signature out is let in: answer 401 when webhook-signature is missing"
            }
            Self::LargeBody => {
                "take bodies of at least 64 KiB: look at the limits of your server and of the proxy before it"
            }
            Self::UnknownType => {
                "answer 2xx to types that you do not know and ignore them: what is refused is sent again for a day"
            }
            Self::UnknownFields => {
                "ignore fields that you do not know: later versions have more of them"
            }
        }
    }

    /// The request. `first` is the good one's notice, `at` the time of sending.
    pub(super) fn attempt(self, probe: &Probe, first: &Notice, at: DateTime<Utc>) -> Attempt {
        let notice = match self {
            Self::Good | Self::Repeated => first.clone(),
            Self::LargeBody => {
                let mut notice = test_notice();
                notice.alert.text = "x".repeat(LARGE);
                notice
            }
            _ => test_notice(),
        };
        let id = notice.id().to_string();
        let mut body = Probe::body(&notice);
        match self {
            Self::UnknownType => change(&mut body, |event| {
                event["type"] = json!("redress.of_a_later_version");
            }),
            Self::UnknownFields => change(&mut body, |event| {
                event["later"] = json!({"version": [1, 2, 3]});
                event["data"]["later"] = json!("field");
            }),
            _ => {}
        }
        let at = if self == Self::OldTimestamp {
            at - OLD
        } else {
            at
        };
        let timestamp = at.timestamp();
        let right = probe.signatures(&id, timestamp, &body);
        // What another secret would make of it looks the same and is as wrong.
        let wrong = probe.signatures("of-another-message", timestamp, &body);
        let signature = match self {
            Self::MissingSignature => String::new(),
            Self::WrongSignature => wrong,
            Self::TwoSignatures => format!("{right} {wrong}"),
            Self::TwoSignaturesOtherWay => format!("{wrong} {right}"),
            _ => right,
        };
        if self == Self::ChangedBody {
            change(&mut body, |event| event["data"]["title"] = json!("Changed"));
        }
        Attempt {
            id,
            timestamp,
            signature: Some(signature).filter(|it| !it.is_empty()),
            body,
        }
    }
}

fn change(body: &mut Vec<u8>, how: impl Fn(&mut Value)) {
    let mut event = serde_json::from_slice(body).expect("the sender makes JSON");
    how(&mut event);
    *body = serde_json::to_vec(&event).expect("JSON again");
}

/// One that says of itself that it is none, under a new id.
pub(super) fn test_notice() -> Notice {
    let alert = Alert::new(
        "test",
        Severity::Info,
        "redressctl",
        "This is a test: nothing happened",
    )
    .text("redressctl alerts verify sent this to see whether it arrives. There is nothing to do.");
    Notice {
        status: Status::Test,
        ..Notice::of(alert)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use compensation::alerts::Targets;
    use service_kit::settings::Secret;

    #[test]
    fn each_request_is_the_good_one_with_one_thing_changed() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let probe = Probe::new("http://127.0.0.1:1/", &secret, Targets::Any).unwrap();
        let (first, now) = (test_notice(), Utc::now());
        for check in Check::ALL {
            let attempt = check.attempt(&probe, &first, now);
            let right = probe.signatures(&attempt.id, attempt.timestamp, &attempt.body);
            let signature = attempt.signature.clone().unwrap_or_default();
            let signed = signature.split(' ').any(|one| one == right);
            let current = attempt.timestamp == now.timestamp();
            assert_eq!(
                check.expected() == Expected::Taken,
                signed && current,
                "{check:?}"
            );
            let same = attempt.id == first.id().to_string();
            assert_eq!(
                same,
                matches!(check, Check::Good | Check::Repeated),
                "{check:?}"
            );
            let body: Value = serde_json::from_slice(&attempt.body).unwrap();
            assert_eq!(body["data"]["id"], attempt.id, "{check:?}");
            assert!(attempt.body.len() < 65_536, "{check:?}");
            assert_eq!(attempt.body.len() > LARGE, check == Check::LargeBody);
        }
    }
}
