//! `redressctl alerts verify`: the words it takes, and what is done with them.

use super::{suite, trials};
use crate::Report;
use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use service_kit::settings::Secret;
use std::env;

/// Where the url and the secret may be said without every user of this machine seeing it in the list of processes.
const URL: &str = "REDRESSCTL_URL";
const SECRET: &str = "REDRESSCTL_SECRET";

/// What to try out.
#[derive(Args)]
pub struct Verify {
    /// Where the receiver listens, as it would stand in alerts.channels; or the variable `REDRESSCTL_URL`
    #[arg(long)]
    url: Option<String>,
    /// `whsec_…` of a webhook (several separated by spaces), a robot's secret, a routing key, or account:password of mail; or the variable
    /// `REDRESSCTL_SECRET`
    #[arg(long)]
    secret: Option<String>,
    /// How it is spoken to
    #[arg(long, value_enum, default_value_t = Kind::Webhook)]
    kind: Kind,
    /// Who writes the mail
    #[arg(long, required_if_eq("kind", "email"))]
    from: Option<String>,
    /// Who reads the mail; may be said several times
    #[arg(long, required_if_eq("kind", "email"))]
    to: Vec<String>,
    /// Whether it may be in your own network, and without encryption
    #[arg(long)]
    allow_private: bool,
    /// Send the messages: people will see them
    #[arg(long)]
    yes: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// A receiver's protocol, as `alerts.channels` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Any endpoint that takes Standard Webhooks
    Webhook,
    /// A `DingTalk` robot
    #[value(help = "A DingTalk robot")]
    Dingtalk,
    /// A `WeCom` robot
    #[value(help = "A WeCom robot")]
    Wecom,
    /// A robot of Feishu, or Lark
    Feishu,
    /// A Slack webhook
    Slack,
    /// Mail by SMTP
    #[value(help = "Mail by SMTP: smtps://host:465, or smtp://host:587 for STARTTLS")]
    Email,
    /// What takes Alertmanager's webhook, version 4
    Alertmanager,
    /// `PagerDuty`'s Events API v2
    #[value(help = "PagerDuty's Events API v2; the secret is the routing key")]
    Pagerduty,
}

impl Kind {
    /// For people.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Webhook => "Standard Webhooks",
            Self::Dingtalk => "DingTalk",
            Self::Wecom => "WeCom",
            Self::Feishu => "Feishu",
            Self::Slack => "Slack",
            Self::Email => "Mail",
            Self::Alertmanager => "Alertmanager's webhook",
            Self::Pagerduty => "PagerDuty",
        }
    }

    /// As settings and people write it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Dingtalk => "dingtalk",
            Self::Wecom => "wecom",
            Self::Feishu => "feishu",
            Self::Slack => "slack",
            Self::Email => "email",
            Self::Alertmanager => "alertmanager",
            Self::Pagerduty => "pagerduty",
        }
    }
}

/// A receiver to try.
#[derive(Clone)]
pub(super) struct Receiver {
    pub(super) kind: Kind,
    pub(super) url: String,
    pub(super) secret: Secret,
    /// Of mail alone.
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) reach: Reach,
}

/// Where requests may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// One's own network too, without encryption too.
    Anywhere,
    /// As in production.
    Public,
}

/// How it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Tries the receiver out.
///
/// # Errors
/// When nothing could be sent: the words say what to change. No error repeats url or secret.
pub async fn verify(asked: &Verify) -> anyhow::Result<Report> {
    let receiver = Receiver {
        kind: asked.kind,
        url: said(asked.url.as_deref(), URL)
            .with_context(|| format!("where is the receiver? Say --url, or set {URL}"))?,
        secret: Secret::new(said(asked.secret.as_deref(), SECRET).unwrap_or_default()),
        from: asked.from.clone().unwrap_or_default(),
        to: asked.to.clone(),
        reach: if asked.allow_private {
            Reach::Anywhere
        } else {
            Reach::Public
        },
    };
    let form = if asked.json { Form::Json } else { Form::Table };
    if receiver.kind == Kind::Webhook {
        let result = suite::run(&receiver).await?;
        return Ok(result.told(form));
    }
    if !asked.yes {
        bail!(
            "{} cannot be tried without somebody seeing it: say --yes to send a few messages that say that they are tests",
            receiver.kind.name()
        );
    }
    Ok(trials::run(&receiver).await?.told(form))
}

fn said(word: Option<&str>, variable: &str) -> Option<String> {
    let word = word.map(str::to_owned).or_else(|| env::var(variable).ok());
    word.map(|word| word.trim().to_owned())
        .filter(|word| !word.is_empty())
}

impl Receiver {
    /// What of the address is no credential.
    pub(super) fn place(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        format!("{scheme}://{host}")
    }
}

/// The settings' complaint, in the words of this program's arguments.
pub(super) fn in_our_words(complaint: &str) -> String {
    complaint
        .replace(
            "unless alerts.allow_private is true",
            "unless --allow-private is given",
        )
        .replace("alert channel verify: ", "")
        .replace(
            "which alerts.allow_private must allow",
            "which only --allow-private allows",
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_only_the_host_is_told() {
        let place = |url: &str| {
            Receiver {
                kind: Kind::Webhook,
                url: url.to_owned(),
                secret: Secret::default(),
                from: String::new(),
                to: Vec::new(),
                reach: Reach::Public,
            }
            .place()
        };
        assert_eq!(
            place("https://a.example/hush?key=hush#hush"),
            "https://a.example"
        );
        assert_eq!(place("http://hush:hush@10.0.0.7:81/"), "http://10.0.0.7:81");
        assert_eq!(place("http://a?key=hush"), "http://a");
    }
}
