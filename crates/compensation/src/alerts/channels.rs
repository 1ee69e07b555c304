//! The channels of one process, made from its settings.

use super::{
    Channel,
    address::{self, BadUrl, Targets},
    alertmanager::Alertmanager,
    dingtalk::DingTalk,
    email::{BadMail, Mail},
    endpoint::Endpoint,
    feishu::Feishu,
    pagerduty::PagerDuty,
    routes,
    slack::Slack,
    standard_webhooks::{BadSecret, StandardWebhooks},
    texts::{BadTemplate, Family, Texts},
    wecom::WeCom,
};
use service_kit::settings::{Alerts, ChannelKind, ChannelSettings, Environment, Settings};
use std::sync::Arc;

/// Every receiver, in the settings' order. Cloning shares them.
#[derive(Clone, Default)]
pub struct Channels {
    names: Vec<String>,
    receivers: Vec<Arc<dyn Channel>>,
    /// Where operators look.
    pages: Option<String>,
}

/// A channel that cannot be made. One line, without url or secret.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct BadChannel {
    what: String,
    why: Why,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error(transparent)]
    Url(#[from] BadUrl),
    #[error(transparent)]
    Secret(#[from] BadSecret),
    #[error(transparent)]
    Mail(#[from] BadMail),
    #[error(transparent)]
    Template(#[from] BadTemplate),
    #[error("no encrypted connection can be made, are the system's certificates installed? {0}")]
    Client(#[from] reqwest::Error),
}

impl Channels {
    /// `alerts.channels`, and `dlq.alert_webhook` when there is one. Reads the templates' folder.
    ///
    /// # Errors
    /// When a url must not be used, a secret is none, a template makes no text, or the machine has no certificates.
    pub fn from_settings(settings: &Settings) -> Result<Self, BadChannel> {
        let targets =
            if settings.environment == Environment::Development || settings.alerts.allow_private {
                Targets::Any
            } else {
                Targets::PublicOnly
            };
        let texts = Texts::load(&settings.alerts.templates).map_err(|why| BadChannel {
            what: "alerts.templates".to_owned(),
            why: why.into(),
        })?;
        let mut all = Self {
            pages: routes::pages(&settings.alerts),
            ..Self::default()
        };
        for channel in &settings.alerts.channels {
            all.add(channel, targets, &texts)?;
        }
        let dlq = &settings.dlq;
        if !dlq.alert_webhook.expose().trim().is_empty() {
            let webhook = ChannelSettings {
                name: Alerts::DLQ_CHANNEL.to_owned(),
                kind: ChannelKind::Webhook,
                url: dlq.alert_webhook.clone(),
                secret: dlq.alert_webhook_secret.clone(),
                ..ChannelSettings::default()
            };
            all.add(&webhook, targets, &texts)?;
        }
        Ok(all)
    }

    fn add(
        &mut self,
        settings: &ChannelSettings,
        targets: Targets,
        texts: &Texts,
    ) -> Result<(), BadChannel> {
        let channel = make(settings, targets, texts).map_err(|why| BadChannel {
            what: format!("alert channel {}", settings.name),
            why,
        })?;
        self.names.push(settings.name.clone());
        self.receivers.push(channel);
        Ok(())
    }

    /// Their names, in the settings' order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Where operators look, without a slash at its end; `None`: nobody said so, and what is sent leads nowhere.
    pub(super) fn pages(&self) -> Option<&str> {
        self.pages.as_deref()
    }

    /// Every receiver with its name.
    pub fn each(&self) -> impl Iterator<Item = (&str, &Arc<dyn Channel>)> {
        self.names.iter().map(String::as_str).zip(&self.receivers)
    }
}

fn make(
    settings: &ChannelSettings,
    targets: Targets,
    texts: &Texts,
) -> Result<Arc<dyn Channel>, Why> {
    let endpoint = || -> Result<Endpoint, Why> {
        let url = address::allowed(settings.url.expose(), targets)?;
        Ok(Endpoint::new(url)?)
    };
    let text = |family| texts.of(family, settings.language);
    Ok(match settings.kind {
        ChannelKind::Dingtalk => Arc::new(DingTalk::new(
            endpoint()?,
            &settings.secret,
            text(DingTalk::FAMILY),
        )),
        ChannelKind::Wecom => Arc::new(WeCom::new(endpoint()?, text(WeCom::FAMILY))),
        ChannelKind::Email => Arc::new(Mail::new(settings, targets, texts)?),
        ChannelKind::Webhook => Arc::new(StandardWebhooks::new(endpoint()?, &settings.secret)?),
        ChannelKind::Feishu => Arc::new(Feishu::new(
            endpoint()?,
            &settings.secret,
            text(Feishu::FAMILY),
        )),
        ChannelKind::Slack => Arc::new(Slack::new(endpoint()?, text(Slack::FAMILY))),
        ChannelKind::Alertmanager => {
            Arc::new(Alertmanager::new(endpoint()?, settings.name.clone()))
        }
        // It has one line for people, without markup, and data for programs.
        ChannelKind::Pagerduty => Arc::new(PagerDuty::new(
            endpoint()?,
            settings.secret.clone(),
            text(Family::MailPlain),
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{Delivered, Status, texts::example::example};
    use service_kit::settings::Secret;
    use testkit::webhooks::Receiver;

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
            ..ChannelSettings::default()
        }];
        settings
    }

    #[test]
    fn the_settings_channels_and_the_dead_letters_one_are_there() {
        let mut settings = settings(Environment::Development, "http://127.0.0.1:1/", "");
        settings.dlq.alert_webhook = Secret::new("http://localhost:2/");
        assert_eq!(
            Channels::from_settings(&settings).unwrap().names(),
            ["ops", "dlq.alert_webhook"]
        );
    }

    #[test]
    fn every_kind_is_made_and_keeps_to_public_targets_in_production() {
        for kind in ChannelKind::ALL {
            let (public, private, secret) = match kind {
                ChannelKind::Email => ("smtps://192.0.3.1", "smtps://10.0.0.7", "hush:hush"),
                _ => ("https://192.0.3.1/", "https://10.0.0.7/hush", ""),
            };
            let mut settings = settings(Environment::Production, public, secret);
            settings.alerts.channels[0].kind = kind;
            settings.alerts.channels[0].from = "redress@example.com".to_owned();
            settings.alerts.channels[0].to = vec!["Ops <ops@example.com>".to_owned()];
            assert!(Channels::from_settings(&settings).is_ok(), "{kind:?}");
            settings.alerts.channels[0].url = Secret::new(private);
            let line = Channels::from_settings(&settings)
                .err()
                .unwrap()
                .to_string();
            assert!(
                line.contains("allow_private") && !line.contains("hush"),
                "{line}"
            );
        }
    }

    /// Breaks when a kind is made as another one: its own success would be a failure, or another's failure a success.
    #[tokio::test]
    async fn each_kind_speaks_its_protocol_and_knows_its_success() {
        let cases = [
            (
                ChannelKind::Dingtalk,
                200,
                r#"{"errcode":0}"#,
                r#"{"msgtype":"markdown","markdown":{"title""#,
            ),
            (
                ChannelKind::Wecom,
                200,
                r#"{"errcode":0}"#,
                r#"{"msgtype":"markdown","markdown":{"content""#,
            ),
            (
                ChannelKind::Webhook,
                204,
                "",
                r#"{"type":"redress.archived""#,
            ),
            (
                ChannelKind::Feishu,
                200,
                r#"{"code":0}"#,
                r#"{"timestamp":""#,
            ),
            (ChannelKind::Slack, 200, "ok", r#"{"text":"Redress: "#),
            (
                ChannelKind::Alertmanager,
                200,
                "",
                r#"{"receiver":"ops","status":"firing""#,
            ),
            (
                ChannelKind::Pagerduty,
                202,
                "{}",
                r#"{"routing_key":"SECRET","event_action":"trigger""#,
            ),
        ];
        for (kind, status, body, begins) in cases {
            let receiver = Receiver::start().await;
            let secret = if kind == ChannelKind::Webhook {
                ""
            } else {
                "SECRET"
            };
            let mut settings = settings(Environment::Development, &receiver.url(), secret);
            settings.alerts.channels[0].kind = kind;
            let channels = Channels::from_settings(&settings).unwrap();
            let (_, channel) = channels.each().next().unwrap();
            receiver.answer_with(status, &[], body);
            let notice = example(Status::Firing);
            assert_eq!(channel.deliver(&notice).await, Delivered::Sent, "{kind:?}");
            let request = &receiver.requests()[0];
            assert!(
                request.text().starts_with(begins),
                "{kind:?}: {}",
                request.text()
            );
            assert_eq!(request.header("content-type"), "application/json");
            receiver.answer_with(500, &[], body);
            let what = channel.deliver(&notice).await;
            assert!(matches!(what, Delivered::Unknown(_)), "{kind:?}: {what:?}");
        }
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
