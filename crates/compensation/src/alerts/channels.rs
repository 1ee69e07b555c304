//! The channels of one process, made from its settings.

use super::{
    Channel,
    address::{self, BadUrl, Targets},
    dingtalk::DingTalk,
    endpoint::Endpoint,
    standard_webhooks::{BadSecret, StandardWebhooks},
};
use service_kit::settings::{Alerts, ChannelKind, Environment, Secret, Settings};
use std::sync::Arc;

/// Every receiver, in the settings' order. Cloning shares them.
#[derive(Clone, Default)]
pub struct Channels {
    names: Vec<String>,
    channels: Vec<Arc<dyn Channel>>,
}

/// A channel that cannot be made. One line, without url or secret.
#[derive(Debug, thiserror::Error)]
#[error("alert channel {name}: {why}")]
pub struct BadChannel {
    name: String,
    why: Why,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error(transparent)]
    Url(#[from] BadUrl),
    #[error(transparent)]
    Secret(#[from] BadSecret),
    #[error("no encrypted connection can be made, are the system's certificates installed? {0}")]
    Client(#[from] reqwest::Error),
}

impl Channels {
    /// `alerts.channels`, and `dlq.alert_webhook` when there is one.
    ///
    /// # Errors
    /// When a url must not be used, a secret is none, or the machine has no certificates.
    pub fn from_settings(settings: &Settings) -> Result<Self, BadChannel> {
        let targets =
            if settings.environment == Environment::Development || settings.alerts.allow_private {
                Targets::Any
            } else {
                Targets::PublicOnly
            };
        let mut all = Self::default();
        for channel in &settings.alerts.channels {
            all.add(
                &channel.name,
                channel.kind,
                channel.url.expose(),
                &channel.secret,
                targets,
            )?;
        }
        let dlq = &settings.dlq;
        if !dlq.alert_webhook.trim().is_empty() {
            all.add(
                Alerts::DLQ_CHANNEL,
                ChannelKind::Webhook,
                &dlq.alert_webhook,
                &dlq.alert_webhook_secret,
                targets,
            )?;
        }
        Ok(all)
    }

    fn add(
        &mut self,
        name: &str,
        kind: ChannelKind,
        url: &str,
        secret: &Secret,
        targets: Targets,
    ) -> Result<(), BadChannel> {
        let channel = make(kind, url, secret, targets).map_err(|why| BadChannel {
            name: name.to_owned(),
            why,
        })?;
        self.names.push(name.to_owned());
        self.channels.push(channel);
        Ok(())
    }

    /// What [`super::outbox::insert`] asks for.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Every receiver with its name.
    pub fn each(&self) -> impl Iterator<Item = (&str, &Arc<dyn Channel>)> {
        self.names.iter().map(String::as_str).zip(&self.channels)
    }
}

fn make(
    kind: ChannelKind,
    url: &str,
    secret: &Secret,
    targets: Targets,
) -> Result<Arc<dyn Channel>, Why> {
    let endpoint = Endpoint::new(address::allowed(url, targets)?)?;
    Ok(match kind {
        ChannelKind::Dingtalk => Arc::new(DingTalk::new(endpoint, secret.clone())),
        ChannelKind::Webhook => Arc::new(StandardWebhooks::new(endpoint, secret)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use service_kit::settings::ChannelSettings;

    fn settings(environment: Environment, url: &str, secret: &str) -> Settings {
        let mut settings = Settings {
            environment,
            ..Settings::default()
        };
        settings.alerts.channels = vec![ChannelSettings {
            name: "ops".to_owned(),
            kind: ChannelKind::Webhook,
            url: Secret::new(url),
            secret: Secret::new(secret),
        }];
        settings
    }

    #[test]
    fn the_settings_channels_and_the_dead_letters_one_are_there() {
        let mut settings = settings(Environment::Development, "http://127.0.0.1:1/", "");
        settings.dlq.alert_webhook = "http://localhost:2/".to_owned();
        assert_eq!(
            Channels::from_settings(&settings).unwrap().names(),
            ["ops", "dlq.alert_webhook"]
        );
    }

    #[test]
    fn a_private_target_needs_a_word_in_production() {
        let mut settings = settings(Environment::Production, "http://10.0.0.7/hush", "");
        let line = Channels::from_settings(&settings)
            .err()
            .unwrap()
            .to_string();
        assert!(
            line.contains("ops") && line.contains("allow_private") && !line.contains("hush"),
            "{line}"
        );
        settings.alerts.allow_private = true;
        assert!(Channels::from_settings(&settings).is_ok());
    }

    #[test]
    fn a_secret_that_is_none_is_not_repeated() {
        let settings = settings(Environment::Development, "http://10.0.0.7/", "whsec_hush");
        let line = Channels::from_settings(&settings)
            .err()
            .unwrap()
            .to_string();
        assert!(
            line.contains("ops") && line.contains("whsec_") && !line.contains("hush"),
            "{line}"
        );
    }
}
