//! Who is told of what was given up.

use super::{
    Dlq, Environment, Secret,
    alert_routes::{self, AlertRoute},
};
use axum::http::Uri;
use serde::Deserialize;
use std::path::PathBuf;

/// As long as the outbox's column.
const NAME_AT_MOST: usize = 64;
/// Receivers of one channel's mail.
const TO_AT_MOST: usize = 50;
/// As long as an address may be (RFC 5321, 4.5.3.1), in bytes.
const ADDRESS_AT_MOST: usize = 254;
const ROUTING_KEY_AT_MOST: usize = 64;
/// What a Standard Webhooks secret begins with, and how many bytes it is the base64 of.
const WEBHOOK_SECRET: &str = "whsec_";
const WEBHOOK_SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Of what is said again: ten seconds to a week.
const INTERVAL_S: std::ops::RangeInclusive<u64> = 10..=604_800;

/// Where alerts go.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// Who can be told.
    pub channels: Vec<ChannelSettings>,
    /// Where alerts wait while MySQL does not take them.
    pub spool: PathBuf,
    /// Whether urls may point into one's own network and need no encryption. In development they may anyway.
    pub allow_private: bool,
    /// A folder of files that take the place of built-in texts; empty: there is none.
    pub templates: PathBuf,
    /// Where operators open the admin: notices lead to their incident's page there. Empty: they lead nowhere.
    pub pages: String,
    /// Who is told of which incidents. None: every channel of all of them.
    pub routes: Vec<AlertRoute>,
    /// Seconds after which people are told that more of the same happened.
    pub group_interval_s: u64,
    /// Seconds after which people are told again of what still stands and nobody acknowledged.
    pub repeat_interval_s: u64,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            channels: Vec::new(),
            spool: "data/alerts".into(),
            allow_private: false,
            templates: PathBuf::new(),
            pages: String::new(),
            routes: Vec::new(),
            group_interval_s: 300,
            repeat_interval_s: 14_400,
        }
    }
}

/// One receiver.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelSettings {
    /// Its name on pages, in logs and metrics.
    pub name: String,
    /// How it is spoken to.
    pub kind: ChannelKind,
    /// Where requests go. It may hold a credential, so it is never shown.
    pub url: Secret,
    /// Signs requests; empty: they are not signed. Of a webhook several may be given, separated by spaces: all of them sign. Of a robot
    /// of `DingTalk` or Feishu two: what is refused with the one is sent with the other. Of `PagerDuty` it is the routing key, of e-mail `account:password`.
    #[serde(default)]
    pub secret: Secret,
    /// What its fixed words are in.
    #[serde(default)]
    pub language: Language,
    /// Who writes. Of e-mail alone.
    #[serde(default)]
    pub from: String,
    /// Who reads it. Of e-mail alone.
    #[serde(default)]
    pub to: Vec<String>,
}

/// A receiver's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// A `DingTalk` robot.
    Dingtalk,
    /// A `WeCom` robot.
    Wecom,
    /// Mail by SMTP.
    Email,
    /// Any endpoint that takes Standard Webhooks.
    #[default]
    Webhook,
    /// A robot of Feishu, or Lark.
    Feishu,
    /// A Slack webhook.
    Slack,
    /// Any endpoint that takes what Prometheus' Alertmanager posts (version 4).
    Alertmanager,
    /// `PagerDuty`'s Events API v2.
    Pagerduty,
}

/// What fixed words are in. Titles and texts of alerts come as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Chinese.
    Zh,
}

impl Alerts {
    /// The name of the channel that `dlq.alert_webhook` makes.
    pub const DLQ_CHANNEL: &str = "dlq.alert_webhook";

    /// The first complaint, or none. Urls and secrets are not repeated in it.
    pub(super) fn complaint(&self, environment: Environment) -> Option<String> {
        if self.spool.as_os_str().is_empty() {
            return Some("alerts.spool must not be empty".to_owned());
        }
        if !self.pages.is_empty() && !is_page(&self.pages) {
            return Some(
                "alerts.pages must be the address of the admin, as https://admin.example.com, or empty"
                    .to_owned(),
            );
        }
        for (at, channel) in self.channels.iter().enumerate() {
            let ChannelSettings { name, kind, .. } = channel;
            if !is_name(name) {
                return Some(format!(
                    "alerts.channels: {name:?} must be 1 to {NAME_AT_MOST} of a-z, 0-9, '-', '_' and '.'"
                ));
            }
            if name == Self::DLQ_CHANNEL
                || self.channels[at + 1..]
                    .iter()
                    .any(|other| other.name == *name)
            {
                return Some(format!("alerts.channels names {name:?} twice"));
            }
            let url = channel.url.expose();
            let why = match kind {
                ChannelKind::Email => self.smtp_complaint(url, environment),
                _ => self.url_complaint(url, environment),
            };
            let why = why
                .or_else(|| kind.secret_complaint(&channel.secret))
                .or_else(|| channel.address_complaint());
            if let Some(why) = why {
                return Some(format!("alerts.channels, {name:?}: the {why}"));
            }
        }
        None
    }

    /// The same of who is told when, once all channels are known.
    pub(super) fn routes_complaint(&self, dlq: &Dlq) -> Option<String> {
        let intervals = [
            ("alerts.group_interval_s", self.group_interval_s),
            ("alerts.repeat_interval_s", self.repeat_interval_s),
        ];
        if let Some((key, _)) = intervals
            .iter()
            .find(|(_, seconds)| !INTERVAL_S.contains(seconds))
        {
            return Some(format!(
                "{key} must be {} to {}",
                INTERVAL_S.start(),
                INTERVAL_S.end()
            ));
        }
        let names = self.channels.iter().map(|channel| channel.name.as_str());
        let dlq = (!dlq.alert_webhook.expose().trim().is_empty()).then_some(Self::DLQ_CHANNEL);
        alert_routes::complaint(&self.routes, &names.chain(dlq).collect())
    }

    /// The same of `dlq.alert_webhook`.
    pub(super) fn dlq_complaint(&self, dlq: &Dlq, environment: Environment) -> Option<String> {
        if dlq.alert_webhook.expose().trim().is_empty() {
            return None;
        }
        let why = self
            .url_complaint(dlq.alert_webhook.expose(), environment)
            .or_else(|| ChannelKind::Webhook.secret_complaint(&dlq.alert_webhook_secret));
        why.map(|why| format!("dlq.alert_webhook: the {why}"))
    }

    /// Looks at the form alone: what the host is, the sender knows.
    fn url_complaint(&self, url: &str, environment: Environment) -> Option<&'static str> {
        let parsed = url.trim().parse::<Uri>().ok();
        let scheme = parsed
            .as_ref()
            .filter(|url| url.host().is_some_and(|host| !host.is_empty()))
            .and_then(Uri::scheme_str);
        match scheme {
            Some("https") => None,
            Some("http") if self.allows_private(environment) => None,
            Some("http") => Some(
                "url must begin with https:// in production, unless alerts.allow_private is true",
            ),
            _ => Some("url must be of the form https://host"),
        }
    }

    /// The same of a server that takes mail.
    fn smtp_complaint(&self, url: &str, environment: Environment) -> Option<&'static str> {
        let parsed = url.trim().parse::<Uri>().ok();
        let parsed = parsed
            .as_ref()
            .filter(|url| url.host().is_some_and(|host| !host.is_empty()))
            .filter(|url| matches!(url.path(), "" | "/"));
        let Some((scheme, url)) = parsed.and_then(|url| Some((url.scheme_str()?, url))) else {
            return Some("url must be of the form smtps://host:465, or smtp://host:587 (STARTTLS)");
        };
        if url
            .authority()
            .is_some_and(|host| host.as_str().contains('@'))
        {
            return Some("url must name no account: write account:password as the secret");
        }
        match (scheme, url.query()) {
            ("smtps" | "smtp", None) => None,
            ("smtp", Some("tls=none")) if self.allows_private(environment) => None,
            ("smtp", Some("tls=none")) => {
                Some("url must not say tls=none in production, unless alerts.allow_private is true")
            }
            ("smtps" | "smtp", Some(_)) => {
                Some("url may have nothing after the port but, with smtp, ?tls=none")
            }
            _ => Some("url must begin with smtps:// or smtp://"),
        }
    }

    fn allows_private(&self, environment: Environment) -> bool {
        environment == Environment::Development || self.allow_private
    }
}

impl ChannelSettings {
    fn address_complaint(&self) -> Option<&'static str> {
        let fine = match self.kind {
            ChannelKind::Email => {
                is_address(&self.from)
                    && (1..=TO_AT_MOST).contains(&self.to.len())
                    && self.to.iter().all(|address| is_address(address))
            }
            _ if self.from.is_empty() && self.to.is_empty() => true,
            _ => return Some("keys from and to must be left out: they are of kind email alone"),
        };
        (!fine).then_some(
            "keys from (one address) and to (1 to 50 addresses) must be like ops@example.com",
        )
    }
}

impl ChannelKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Dingtalk,
        Self::Wecom,
        Self::Email,
        Self::Webhook,
        Self::Feishu,
        Self::Slack,
        Self::Alertmanager,
        Self::Pagerduty,
    ];

    fn secret_complaint(self, secret: &Secret) -> Option<&'static str> {
        let secret = secret.expose();
        match self {
            Self::Dingtalk | Self::Feishu => (secret.split_whitespace().count() > 2)
                .then_some("secret must be the robot's, or the new and the old one, separated by a space, while it is changed"),
            Self::Wecom | Self::Slack | Self::Alertmanager => (!secret.is_empty())
                .then_some("secret must be left out: requests of this kind are not signed"),
            Self::Webhook => (!secret.split_whitespace().all(is_webhook_secret)).then_some(
                "secret must be whsec_ and the base64 of 24 to 64 bytes, or several of these separated by spaces",
            ),
            Self::Pagerduty => (!is_routing_key(secret))
                .then_some("secret must be the routing key of the service's integration"),
            Self::Email => {
                let parts = secret.split_once(':');
                let fine = parts.is_some_and(|(account, password)| {
                    !account.is_empty() && !password.is_empty()
                });
                (!secret.is_empty() && !fine).then_some("secret must be account:password, or be left out")
            }
        }
    }
}

fn is_routing_key(secret: &str) -> bool {
    (1..=ROUTING_KEY_AT_MOST).contains(&secret.len())
        && secret
            .bytes()
            .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_'))
}

/// Whether it has the form, with or without a name before it; the rest is the sender's to check.
fn is_address(text: &str) -> bool {
    let address = text.trim().trim_end_matches('>');
    let address = address
        .rsplit_once('<')
        .map_or(address, |(_, address)| address);
    let parts = address.rsplit_once('@');
    text.len() <= ADDRESS_AT_MOST
        && !text.contains(char::is_control)
        && parts
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains(' '))
}

/// Something a browser opens.
fn is_page(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.host().is_some_and(|host| !host.is_empty())
            && url.query().is_none()
    })
}

fn is_name(name: &str) -> bool {
    (1..=NAME_AT_MOST).contains(&name.len())
        && name
            .bytes()
            .all(|letter| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
}

/// Whether it has the form; the padding is the sender's to check.
fn is_webhook_secret(secret: &str) -> bool {
    secret.strip_prefix(WEBHOOK_SECRET).is_some_and(|encoded| {
        let digits = encoded.trim_end_matches('=');
        digits
            .bytes()
            .all(|digit| digit.is_ascii_alphanumeric() || matches!(digit, b'+' | b'/'))
            && encoded.len() % 4 == 0
            && WEBHOOK_SECRET_BYTES.contains(&(digits.len() * 3 / 4))
    })
}
