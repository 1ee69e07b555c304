//! Which channel speaks to which fake, and what its vendor's answers are to be taken for.

use super::Class;
use ChannelKind::{Alertmanager as Manager, Dingtalk, Email, Pagerduty, Webhook, Wecom};
use compensation::alerts::{Channel, Channels};
use serde_json::json;
use service_kit::settings::{ChannelKind, ChannelSettings, Settings};
use std::{sync::Arc, time::Duration};
use testkit::receivers::{
    Alertmanager, DingTalk, Fake, Feishu, Mailbox, Mood, PagerDuty, Slack, StandardWebhooks, WeCom,
};

/// All that settings can name.
pub(in crate::alerts) const KINDS: [ChannelKind; 8] = ChannelKind::ALL;

/// Of the addresses that are credentials, and of secrets: no error may hold it.
pub(in crate::alerts) const HUSH: &str = "hush";
const ROBOT_SECRET: &str = "SEChush-robot";
/// Base64 of "hush-hush-hush-hush-hush-hush!".
const WEBHOOK_SECRET: &str = "whsec_aHVzaC1odXNoLWh1c2gtaHVzaC1odXNoLWh1c2gh";
const ROUTING_KEY: &str = "hush0123456789abcdef0123456789ab";
const PASSWORD: &str = "hush-password";

/// A channel and the fake it speaks to.
pub(super) struct Pair {
    pub(super) kind: ChannelKind,
    pub(super) fake: Fake,
    pub(super) channel: Arc<dyn Channel>,
}

/// Both, with the same secrets.
pub(super) async fn pair(kind: ChannelKind) -> Pair {
    let fake = fake(kind).await;
    let channel = channel(kind, &url(kind, &fake), secret(kind));
    Pair {
        kind,
        fake,
        channel,
    }
}

/// The same, spoken to as if the fake knew of encryption.
pub(super) async fn encrypted_pair(kind: ChannelKind) -> Pair {
    let fake = fake(kind).await;
    let channel = channel(kind, &fake.encrypted_url(), secret(kind));
    Pair {
        kind,
        fake,
        channel,
    }
}

/// A fake of that kind.
pub(in crate::alerts) async fn fake(kind: ChannelKind) -> Fake {
    match kind {
        Dingtalk => Fake::start(DingTalk::new("hush-token", ROBOT_SECRET)).await,
        Wecom => Fake::start(WeCom::new("hush-key")).await,
        Email => Fake::mail(Mailbox::with_password("alerts", PASSWORD)).await,
        Webhook => Fake::start(StandardWebhooks::new(WEBHOOK_SECRET)).await,
        ChannelKind::Feishu => Fake::start(Feishu::new("hush-hook", ROBOT_SECRET)).await,
        ChannelKind::Slack => Fake::start(Slack::new("hush-hook")).await,
        Manager => Fake::start(Alertmanager).await,
        Pagerduty => Fake::start(PagerDuty::new(ROUTING_KEY)).await,
    }
}

/// Where that fake is, as settings say it.
pub(in crate::alerts) fn url(kind: ChannelKind, fake: &Fake) -> String {
    match kind {
        Email => format!("{}?tls=none", fake.url()),
        _ => fake.url(),
    }
}

/// What the fake of that kind knows its sender by, beside its address.
pub(in crate::alerts) fn secret(kind: ChannelKind) -> &'static str {
    match kind {
        Dingtalk | ChannelKind::Feishu => ROBOT_SECRET,
        Webhook => WEBHOOK_SECRET,
        Pagerduty => ROUTING_KEY,
        Email => "alerts:hush-password",
        Wecom | ChannelKind::Slack | Manager => "",
    }
}

/// A channel as the settings' words make it, with English texts.
pub(in crate::alerts) fn channel(kind: ChannelKind, url: &str, secret: &str) -> Arc<dyn Channel> {
    channel_in("en", kind, url, secret)
}

/// The same in that language.
pub(super) fn channel_in(
    language: &str,
    kind: ChannelKind,
    url: &str,
    secret: &str,
) -> Arc<dyn Channel> {
    let mut settings = Settings::default();
    settings.alerts.channels = vec![in_settings(language, "it", kind, url, secret)];
    let channels = Channels::from_settings(&settings).unwrap();
    let (_, channel) = channels.each().next().unwrap();
    Arc::clone(channel)
}

/// What settings say of such a channel.
pub(in crate::alerts) fn in_settings(
    language: &str,
    name: &str,
    kind: ChannelKind,
    url: &str,
    secret: &str,
) -> ChannelSettings {
    let mut words = json!({
        "name": name,
        "kind": format!("{kind:?}").to_lowercase(),
        "url": url,
        "secret": secret,
        "language": language,
    });
    if kind == Email {
        words["from"] = json!("Redress <redress@example.com>");
        words["to"] = json!(["ops@example.com", "more@example.com"]);
    }
    serde_json::from_value(words).unwrap()
}

/// Whether requests of this kind are signed, with their time.
pub(super) const fn signs(kind: ChannelKind) -> bool {
    matches!(kind, Dingtalk | Webhook | ChannelKind::Feishu)
}

/// As many as the fake takes at once.
pub(super) const fn at_once(kind: ChannelKind) -> usize {
    match kind {
        Dingtalk | Wecom => 20,
        ChannelKind::Feishu => 5,
        ChannelKind::Slack => 4,
        Email => 60,
        Webhook | Manager => 100,
        Pagerduty => 120,
    }
}

/// What the answer in that mood is to be taken for.
pub(in crate::alerts) const fn expected(kind: ChannelKind, mood: Mood) -> Class {
    match (mood, kind) {
        // 2xx is all the word there is.
        (Mood::Well, _) | (Mood::Wordless, Webhook | Manager) => Class::Sent,
        // 450 is said of greylisting, 451 of servers that are busy: both ask for patience. A redirect is not known to mail.
        (Mood::TooFast, _) | (Mood::Busy | Mood::Redirects, Email) => Class::SlowDown,
        (
            Mood::Wordless
            | Mood::Busy
            | Mood::Redirects
            | Mood::Hangs
            | Mood::Resets
            | Mood::Drips
            | Mood::Garbage,
            _,
        ) => Class::Unknown,
        (Mood::Foreign, _) | (Mood::Gone, Email) => Class::Broken,
        (Mood::Gone, _) => Class::Gone,
    }
}

/// How long to wait where there were too many: as the vendor says with its answer, or is known to mean.
pub(super) const fn says_how_long(kind: ChannelKind) -> Option<Duration> {
    match kind {
        Webhook | ChannelKind::Slack | Manager => Some(Mood::RETRY_AFTER),
        Dingtalk => Some(Duration::from_mins(10)),
        Wecom | Email | ChannelKind::Feishu | Pagerduty => None,
    }
}
