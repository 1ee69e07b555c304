//! What a person may do about deliveries. Every act is audited with it, and so is what is refused; the courier carries it out.

use crate::{
    App,
    access::{Caller, Permission as _, Redeliver, SwitchChannelOn, TestChannel},
    audit::{self, Entry, Outcome},
    doubt,
};
use compensation::alerts::outbox::{self, RedeliverError};
use service_kit::settings::{Alerts, Settings};
use sqlx::MySqlConnection;
use uuid::Uuid;

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum ActError {
    #[error("there is no such notice")]
    NotFound,
    /// The code says why.
    #[error("refused: {0}")]
    Refused(&'static str),
    #[error("MySQL failed")]
    Database(#[from] sqlx::Error),
}

impl From<RedeliverError> for ActError {
    fn from(refused: RedeliverError) -> Self {
        match refused {
            RedeliverError::NotFound => Self::NotFound,
            RedeliverError::InHand => Self::Refused("in_hand"),
            RedeliverError::Over => Self::Refused("over"),
            RedeliverError::Database(cause) => Self::Database(cause),
        }
    }
}

impl ActError {
    const fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Refused(code) => code,
            Self::Database(_) => "unavailable",
        }
    }
}

/// The channels' names in the settings, in their order.
pub(crate) fn configured(settings: &Settings) -> Vec<String> {
    let named = settings.alerts.channels.iter().map(|it| it.name.clone());
    let dlq = !settings.dlq.alert_webhook.expose().trim().is_empty();
    named
        .chain(dlq.then(|| Alerts::DLQ_CHANNEL.to_owned()))
        .collect()
}

/// Why it was refused, as a sentence.
pub(super) fn refusal(code: &str) -> &'static str {
    match code {
        "in_hand" => "It is being sent right now: look what became of it first.",
        "over" => "What it tells of is over: have its end sent instead.",
        "unknown_channel" => "The settings have no channel of this name.",
        "not_off" => "The channel is on, and does not rest.",
        _ => "It cannot be done.",
    }
}

/// Has a notice sent on a channel once more.
///
/// # Errors
/// [`ActError`]
pub(super) async fn redeliver(
    app: &App,
    caller: &Caller,
    id: Uuid,
    channel: &str,
) -> Result<(), ActError> {
    let subject = id.to_string();
    let entry = entry(Redeliver::NAME, &subject, channel);
    let acted = async {
        known(app, channel)?;
        let mut tx = app.db.begin().await?;
        outbox::redeliver(&mut tx, id, channel, &caller.who.name).await?;
        audited(&mut tx, caller, entry).await?;
        Ok(doubt::commit(tx).await?)
    };
    told(app, caller, entry, acted.await).await
}

/// Has a test sent on a channel; the test's id.
///
/// # Errors
/// [`ActError`]
pub(super) async fn send_test(app: &App, caller: &Caller, channel: &str) -> Result<Uuid, ActError> {
    let entry = entry(TestChannel::NAME, channel, "");
    let acted = async {
        known(app, channel)?;
        let mut tx = app.db.begin().await?;
        let id = outbox::send_test(&mut tx, channel, &caller.who.name).await?;
        audited(&mut tx, caller, entry).await?;
        doubt::commit(tx).await?;
        Ok(id)
    };
    told(app, caller, entry, acted.await).await
}

/// Switches a channel on, or ends its rest.
///
/// # Errors
/// [`ActError`]
pub(super) async fn switch_on(app: &App, caller: &Caller, channel: &str) -> Result<(), ActError> {
    let entry = entry(SwitchChannelOn::NAME, channel, "");
    let acted = async {
        let mut tx = app.db.begin().await?;
        if !outbox::switch_on(&mut tx, channel).await? {
            return Err(ActError::Refused("not_off"));
        }
        audited(&mut tx, caller, entry).await?;
        Ok(doubt::commit(tx).await?)
    };
    told(app, caller, entry, acted.await).await
}

fn known(app: &App, channel: &str) -> Result<(), ActError> {
    if app.channels.iter().any(|known| known == channel) {
        Ok(())
    } else {
        Err(ActError::Refused("unknown_channel"))
    }
}

const fn entry<'a>(act: &'a str, subject: &'a str, detail: &'a str) -> Entry<'a> {
    Entry {
        act,
        subject,
        outcome: Outcome::Done,
        detail,
    }
}

/// The act's line, in the act's own transaction: what cannot be written down is not done.
async fn audited(db: &mut MySqlConnection, caller: &Caller, entry: Entry<'_>) -> sqlx::Result<()> {
    audit::record(db, &caller.who, entry).await
}

/// Audits an act that was refused, or failed.
async fn told<T>(
    app: &App,
    caller: &Caller,
    entry: Entry<'_>,
    acted: Result<T, ActError>,
) -> Result<T, ActError> {
    let Err(refused) = &acted else { return acted };
    let outcome = match refused {
        ActError::Database(_) => Outcome::Failed,
        ActError::NotFound | ActError::Refused(_) => Outcome::Refused,
    };
    let entry = Entry {
        outcome,
        detail: refused.code(),
        ..entry
    };
    let written = audit::record_alone(&app.db, &caller.who, entry).await;
    // A database that is away has been told of once.
    if outcome == Outcome::Refused {
        written?;
    }
    acted
}
