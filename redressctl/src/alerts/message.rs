//! One message to people, through the channel that would send alerts: whether it arrives, and how the answer is taken.

use super::{
    check::test_notice,
    verify::{Form, Kind, Reach, Receiver, in_our_words},
};
use crate::Report;
use anyhow::{Context as _, anyhow, bail};
use compensation::alerts::{Channels, Delivered};
use serde_json::json;
use service_kit::settings::{Environment, Settings};

/// What came of it.
pub(super) struct Sent {
    kind: &'static str,
    place: String,
    delivered: Delivered,
}

/// Sends one test message.
///
/// # Errors
/// When no channel can be made of what was said.
pub(super) async fn send(receiver: &Receiver) -> anyhow::Result<Sent> {
    let channels = Channels::from_settings(&settings(receiver)?)
        .map_err(|why| anyhow!(in_our_words(&why.to_string())))?;
    let (_, channel) = channels.each().next().context("no channel was made")?;
    Ok(Sent {
        kind: receiver.kind.name(),
        place: receiver.place(),
        delivered: channel.deliver(&test_notice()).await,
    })
}

/// Settings with this one channel, as a file would say it.
fn settings(receiver: &Receiver) -> anyhow::Result<Settings> {
    if receiver.kind == Kind::Pagerduty && receiver.secret.expose().is_empty() {
        bail!("say the routing key of the service's integration as --secret");
    }
    let channel = json!({
        "name": "verify",
        "kind": receiver.kind.name(),
        "url": receiver.url,
        "secret": receiver.secret.expose(),
        "from": receiver.from,
        "to": receiver.to,
    });
    let mut settings = Settings {
        environment: Environment::Production,
        ..Settings::default()
    };
    settings.alerts.allow_private = receiver.reach == Reach::Anywhere;
    settings.alerts.channels = vec![serde_json::from_value(channel)?];
    Ok(settings)
}

impl Sent {
    pub(super) fn told(&self, form: Form) -> Report {
        let holds = self.delivered == Delivered::Sent;
        let error = self.delivered.error();
        let text = match form {
            Form::Json => {
                let all = json!({
                    "kind": self.kind,
                    "receiver": self.place,
                    "holds": holds,
                    "outcome": self.delivered.outcome(),
                    "came": error,
                    "advice": self.advice(),
                });
                format!("{all:#}\n")
            }
            Form::Table => {
                let came = error.as_deref().unwrap_or("sent");
                let Self { kind, place, .. } = self;
                format!("{kind} at {place}: {came}\n{}.\n", self.advice())
            }
        };
        Report { holds, text }
    }

    const fn advice(&self) -> &'static str {
        match self.delivered {
            Delivered::Sent => "Look whether people see it: the receiver said that it has it",
            Delivered::Partly(_) => {
                "It has it, but not for every address of `to`: look at those that it refused"
            }
            Delivered::SlowDown(..) => {
                "It has had too many messages: wait, and try again; Redress would do the same"
            }
            Delivered::Broken(_) => {
                "It will take nothing until url, secret, keyword or the list of allowed addresses is changed; Redress would try again every ten minutes"
            }
            Delivered::Gone(_) => {
                "It says that it is gone for good: Redress would switch it off until an operator switches it on again. Give it its new url"
            }
            Delivered::Unknown(_) => {
                "Whether it arrived is not known; Redress would send it again, later and later, for a day. Look at the url, and whether the receiver is up"
            }
        }
    }
}
