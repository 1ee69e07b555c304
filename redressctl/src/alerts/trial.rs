//! What receivers of each kind can be tried with: a table, and what each line of it is called, expects and advises.

use super::verify::Kind;
use serde::Serialize;

/// One thing that must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Trial {
    /// A short message; of what knows incidents, the beginning of one.
    Message,
    /// The very same once more: its answer was lost.
    SameAgain,
    /// Chinese, quotes, and everything that is markup somewhere.
    Marks,
    /// As long as Redress ever makes it for this kind.
    Longest,
    /// One line of thousands of letters.
    LongLine,
    /// As many at once as Redress would send.
    AtOnce,
    /// To every address by itself.
    EachAddress,
    /// Somebody looks after it.
    Acknowledged,
    /// What the first began is over.
    Over,
    /// As many beginnings as one request holds.
    Many,
    /// The ends of those.
    ManyOver,
    /// How the connection was made.
    Encrypted,
    /// With a secret that is not the receiver's; where the address is the secret, with another address.
    WrongSecret,
}

/// What is to come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// The receiver's own word for "I have it".
    Taken,
    /// That, or its own word for "fewer, please".
    TakenOrSlowDown,
    /// Anything by which Redress sees that nobody has it, said by the receiver.
    Refused,
    /// From before the first word on.
    Encrypted,
}

impl Expected {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::TakenOrSlowDown => "taken, or slow down",
            Self::Refused => "refused",
            Self::Encrypted => "encrypted",
        }
    }
}

const CHAT: &[Trial] = &[
    Trial::Message,
    Trial::Marks,
    Trial::Longest,
    Trial::AtOnce,
    Trial::WrongSecret,
];
const MAIL: &[Trial] = &[
    Trial::Message,
    Trial::EachAddress,
    Trial::Marks,
    Trial::LongLine,
    Trial::Longest,
    Trial::AtOnce,
    Trial::Encrypted,
    Trial::WrongSecret,
];
/// It signs nothing, and knows nobody by a secret.
const ALERTMANAGER: &[Trial] = &[
    Trial::Message,
    Trial::SameAgain,
    Trial::Marks,
    Trial::Longest,
    Trial::AtOnce,
    Trial::Over,
    Trial::Many,
    Trial::ManyOver,
];
/// What is opened is closed: the last before the wrong key is the end.
const PAGERDUTY: &[Trial] = &[
    Trial::Message,
    Trial::SameAgain,
    Trial::Marks,
    Trial::Longest,
    Trial::AtOnce,
    Trial::Acknowledged,
    Trial::Over,
    Trial::WrongSecret,
];

impl Kind {
    /// In the order they are made. A webhook has requests instead.
    pub(super) const fn trials(self) -> &'static [Trial] {
        match self {
            Self::Webhook => &[],
            Self::Dingtalk | Self::Wecom | Self::Feishu | Self::Slack => CHAT,
            Self::Email => MAIL,
            Self::Alertmanager => ALERTMANAGER,
            Self::Pagerduty => PAGERDUTY,
        }
    }

    /// Whether a receiver closes by an incident's end what its beginning opened.
    pub(super) const fn closes(self) -> bool {
        matches!(self, Self::Alertmanager | Self::Pagerduty)
    }

    /// Whether nothing but the address is secret.
    pub(super) const fn is_known_by_its_address(self) -> bool {
        matches!(self, Self::Wecom | Self::Slack)
    }
}

impl Trial {
    /// For people.
    pub(super) const fn name(self, kind: Kind) -> &'static str {
        match self {
            Self::Message => match kind {
                Kind::Alertmanager => "firing",
                Kind::Pagerduty => "trigger",
                _ => "a message",
            },
            Self::SameAgain => match kind {
                Kind::Pagerduty => "the same dedup_key again",
                _ => "the same again",
            },
            Self::Marks => match kind {
                Kind::Email => "Chinese in subject and text",
                _ => "Chinese, quotes, markup",
            },
            Self::Longest => "as long as Redress makes it",
            Self::LongLine => "a line of 5,000 letters",
            Self::AtOnce => "three at once",
            Self::EachAddress => "to each address",
            Self::Acknowledged => "acknowledge",
            Self::Over => match kind {
                Kind::Pagerduty => "resolve",
                _ => "resolved",
            },
            Self::Many => "many firing in one request",
            Self::ManyOver => "many resolved in one request",
            Self::Encrypted => "TLS",
            Self::WrongSecret => match kind {
                Kind::Email => "wrong password",
                Kind::Pagerduty => "wrong routing key",
                _ if kind.is_known_by_its_address() => "wrong key in the url",
                _ => "wrong secret",
            },
        }
    }

    pub(super) const fn expected(self) -> Expected {
        match self {
            Self::AtOnce => Expected::TakenOrSlowDown,
            Self::WrongSecret => Expected::Refused,
            Self::Encrypted => Expected::Encrypted,
            _ => Expected::Taken,
        }
    }

    /// What to do when it does not hold.
    pub(super) const fn advice(self, kind: Kind) -> &'static str {
        match self {
            Self::Message => match kind {
                Kind::Email => {
                    "look at the url, --secret (account:password), --from, and whether the server lets this machine send"
                }
                Kind::Alertmanager => {
                    "answer 2xx to a POST of Alertmanager's webhook, version 4, as soon as the message is stored"
                }
                _ => {
                    "look at url and --secret, at the robot's keyword (the word Redress is in every message), and at its list of allowed addresses"
                }
            },
            Self::SameAgain => {
                "answer as you did the first time to what you have already: a request whose answer was lost comes again"
            }
            Self::Marks => {
                "text is UTF-8 and may hold anything: take quotes and markup as text, and look whether something before the receiver filters it"
            }
            Self::Longest => {
                "look at the limits of the receiver and of the proxy before it: what is longer than it takes is never delivered"
            }
            Self::LongLine => {
                "lines are folded by the encoding (RFC 2045): the server, or a filter before it, must undo that and not refuse it"
            }
            Self::AtOnce => {
                "take several at once, or say in the protocol's own words that there were too many (its code, or 429 with Retry-After): anything else is sent again as a failure"
            }
            Self::EachAddress => {
                "every address of `to` must be taken: whoever is refused gets no alerts, and only a page of Redress says so"
            }
            Self::Acknowledged => "answer 202: who acknowledged in Redress is called no more",
            Self::Over => {
                "take the end of what you opened, by its fingerprint or dedup_key: without it, it stays open for ever"
            }
            Self::Many | Self::ManyOver => {
                "take several alerts in one request: what waited in a storm comes together, 50 in each"
            }
            Self::Encrypted => {
                "say smtps://host:465, or smtp://host:587 for STARTTLS: without encryption password and alerts can be read on the way"
            }
            Self::WrongSecret => match kind {
                Kind::Email => {
                    "the server takes any password: whoever reaches it sends mail in your name"
                }
                Kind::Dingtalk | Kind::Feishu => {
                    "anyone who knows the address can send you messages: switch the robot's signature on"
                }
                _ => {
                    "anyone can send you messages, and a key that is mistyped is not noticed: refuse keys that are not yours"
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_kind_begins_with_a_message_and_what_it_opens_it_closes() {
        for kind in Kind::value_variants() {
            let trials = kind.trials();
            if *kind == Kind::Webhook {
                assert!(trials.is_empty());
                continue;
            }
            assert_eq!(trials[0], Trial::Message, "{kind:?}");
            let place = |of| trials.iter().position(|trial| *trial == of);
            assert_eq!(place(Trial::Over).is_some(), kind.closes(), "{kind:?}");
            for opens in [
                Trial::SameAgain,
                Trial::Marks,
                Trial::Longest,
                Trial::AtOnce,
            ] {
                assert!(place(Trial::Over).is_none_or(|end| place(opens) < Some(end)));
            }
            assert_eq!(
                place(Trial::Many).is_some(),
                place(Trial::ManyOver).is_some()
            );
        }
    }
}
