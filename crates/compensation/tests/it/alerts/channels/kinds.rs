//! Which channel speaks to which fake, and what its vendor's answers are to be taken for.

use super::Class;
use compensation::alerts::{Channel, Channels};
use serde_json::json;
use service_kit::settings::{ChannelKind, Settings};
use std::sync::Arc;
use testkit::receivers::{DingTalk, Fake, Mood, StandardWebhooks};

/// All that settings can name.
pub(super) const KINDS: [ChannelKind; 2] = [ChannelKind::Dingtalk, ChannelKind::Webhook];

/// Of the addresses that are credentials, and of secrets: no error may hold it.
pub(super) const HUSH: &str = "hush";
const ROBOT_SECRET: &str = "SEChush-robot";
/// Base64 of "hush-hush-hush-hush-hush-hush!".
const WEBHOOK_SECRET: &str = "whsec_aHVzaC1odXNoLWh1c2gtaHVzaC1odXNoLWh1c2gh";

/// A channel and the fake it speaks to.
pub(super) struct Pair {
    pub(super) kind: ChannelKind,
    pub(super) fake: Fake,
    pub(super) channel: Arc<dyn Channel>,
}

/// Both, with the same secrets.
pub(super) async fn pair(kind: ChannelKind) -> Pair {
    let fake = fake(kind).await;
    let channel = channel(kind, &fake.url(), secret(kind));
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
pub(super) async fn fake(kind: ChannelKind) -> Fake {
    match kind {
        ChannelKind::Dingtalk => Fake::start(DingTalk::new("hush-token", ROBOT_SECRET)).await,
        ChannelKind::Webhook => Fake::start(StandardWebhooks::new(WEBHOOK_SECRET)).await,
    }
}

/// What the fake of that kind verifies signatures with.
pub(super) fn secret(kind: ChannelKind) -> &'static str {
    match kind {
        ChannelKind::Dingtalk => ROBOT_SECRET,
        ChannelKind::Webhook => WEBHOOK_SECRET,
    }
}

/// A channel as the settings' words make it.
pub(super) fn channel(kind: ChannelKind, url: &str, secret: &str) -> Arc<dyn Channel> {
    let name = match kind {
        ChannelKind::Dingtalk => "dingtalk",
        ChannelKind::Webhook => "webhook",
    };
    let words = json!({"name": name, "kind": name, "url": url, "secret": secret});
    let mut settings = Settings::default();
    settings.alerts.channels = vec![serde_json::from_value(words).unwrap()];
    let channels = Channels::from_settings(&settings).unwrap();
    let (_, channel) = channels.each().next().unwrap();
    Arc::clone(channel)
}

/// Whether requests of this kind are signed.
pub(super) const fn signs(kind: ChannelKind) -> bool {
    match kind {
        ChannelKind::Dingtalk | ChannelKind::Webhook => true,
    }
}

/// As many as the fake takes at once.
pub(super) const fn at_once(kind: ChannelKind) -> Option<usize> {
    match kind {
        ChannelKind::Dingtalk => Some(20),
        ChannelKind::Webhook => None,
    }
}

/// What the answer in that mood is to be taken for.
pub(super) const fn expected(kind: ChannelKind, mood: Mood) -> Class {
    match (mood, kind) {
        // 2xx is all the word there is.
        (Mood::Well, _) | (Mood::Wordless, ChannelKind::Webhook) => Class::Sent,
        (Mood::TooFast, _) => Class::SlowDown,
        (Mood::Foreign | Mood::Gone, _) => Class::Broken,
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
    }
}

/// Whether the vendor says how long to wait.
pub(super) const fn says_how_long(kind: ChannelKind) -> bool {
    matches!(kind, ChannelKind::Webhook)
}
