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
            routes: Vec::new(),
            group_interval_s: 300,
            repeat_interval_s: 14_400,
        }
    }
}

/// One receiver.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelSettings {
    /// Its name on pages, in logs and metrics.
    pub name: String,
    /// How it is spoken to.
    pub kind: ChannelKind,
    /// Where requests go. It may hold a credential, so it is never shown.
    pub url: Secret,
    /// Signs requests; empty: they are not signed. Of a webhook several may be given, separated by spaces: all of them sign.
    #[serde(default)]
    pub secret: Secret,
}

/// A receiver's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// A `DingTalk` robot.
    Dingtalk,
    /// Any endpoint that takes Standard Webhooks.
    Webhook,
}

impl Alerts {
    /// The name of the channel that `dlq.alert_webhook` makes.
    pub const DLQ_CHANNEL: &str = "dlq.alert_webhook";

    /// The first complaint, or none. Urls and secrets are not repeated in it.
    pub(super) fn complaint(&self, environment: Environment) -> Option<String> {
        if self.spool.as_os_str().is_empty() {
            return Some("alerts.spool must not be empty".to_owned());
        }
        for (at, channel) in self.channels.iter().enumerate() {
            let ChannelSettings {
                name,
                kind,
                url,
                secret,
            } = channel;
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
            let why = self
                .url_complaint(url.expose(), environment)
                .or_else(|| kind.secret_complaint(secret));
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
        let dlq = (!dlq.alert_webhook.trim().is_empty()).then_some(Self::DLQ_CHANNEL);
        alert_routes::complaint(&self.routes, &names.chain(dlq).collect())
    }

    /// The same of `dlq.alert_webhook`.
    pub(super) fn dlq_complaint(&self, dlq: &Dlq, environment: Environment) -> Option<String> {
        if dlq.alert_webhook.trim().is_empty() {
            return None;
        }
        let why = self
            .url_complaint(&dlq.alert_webhook, environment)
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
            Some("http") if environment == Environment::Development || self.allow_private => None,
            Some("http") => Some(
                "url must begin with https:// in production, unless alerts.allow_private is true",
            ),
            _ => Some("url must be of the form https://host"),
        }
    }
}

impl ChannelKind {
    fn secret_complaint(self, secret: &Secret) -> Option<&'static str> {
        let fine = match self {
            Self::Dingtalk => true,
            Self::Webhook => secret.expose().split_whitespace().all(is_webhook_secret),
        };
        (!fine).then_some("secret must be whsec_ and the base64 of 24 to 64 bytes, or several of these separated by spaces")
    }
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
