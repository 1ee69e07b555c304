//! `redressctl alerts`: what was sent to whom, what stands, and channels that are tried out or switched on.

use crate::{
    Report,
    admin::Where,
    output::Listing,
    table::{column, facts, table},
};
use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

/// Which alerts.
#[derive(Debug, Args)]
pub struct List {
    /// Only those that wait or were given up
    #[arg(long)]
    undelivered: bool,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    place: Where,
}

/// Which incidents.
#[derive(Debug, Args)]
pub struct Incidents {
    /// Those that are over instead of those that stand
    #[arg(long)]
    resolved: bool,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    place: Where,
}

/// How the channels are.
#[derive(Debug, Args)]
pub struct Channels {
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    place: Where,
}

/// A channel.
#[derive(Debug, Args)]
pub struct Channel {
    /// As the settings name it
    name: String,
    #[command(flatten)]
    place: Where,
}

/// A notice.
#[derive(Debug, Args)]
pub struct Notice {
    id: Uuid,
    /// Print JSON instead of words
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

/// A notice and the channel it is to be sent to again.
#[derive(Debug, Args)]
pub struct Redelivery {
    id: Uuid,
    /// As the settings name it
    #[arg(long, value_name = "NAME")]
    channel: String,
    #[command(flatten)]
    place: Where,
}

/// An incident that somebody looks after.
#[derive(Debug, Args)]
pub struct Acknowledging {
    /// Of the incident
    id: Uuid,
    #[command(flatten)]
    place: Where,
}

/// Lists alerts by channel, newest first.
///
/// # Errors
/// When the admin does not answer, or refuses.
pub async fn list(asked: &List) -> anyhow::Result<Report> {
    let show = if asked.undelivered {
        "undelivered"
    } else {
        "all"
    };
    let query = [("show", show.to_owned())];
    let admin = asked.place.admin()?;
    let limit = asked.listing.limit();
    let found = admin.rows("alerts", &query, "before", limit).await?;
    let columns = [
        column("ID", "/id", 36),
        column("CHANNEL", "/channel", 24),
        column("STATE", "/state", 12),
        column("SEVERITY", "/severity", 8),
        column("TRIES", "/attempts", 6),
        column("RAISED (UTC)", "/created_at", 20),
        column("TITLE", "/title", 80),
        column("LAST ERROR", "/last_error", 60),
    ];
    Ok(asked.listing.report(&columns, &found))
}

/// Lists incidents, what happened last first.
///
/// # Errors
/// As [`list`].
pub async fn incidents(asked: &Incidents) -> anyhow::Result<Report> {
    let show = if asked.resolved { "resolved" } else { "open" };
    let query = [("show", show.to_owned())];
    let admin = asked.place.admin()?;
    let limit = asked.listing.limit();
    let found = admin.rows("incidents", &query, "before", limit).await?;
    let columns = [
        column("ID", "/id", 36),
        column("SEVERITY", "/severity", 8),
        column("ALERTS", "/alerts", 12),
        column("SINCE (UTC)", "/first_at", 20),
        column("LAST (UTC)", "/last_at", 20),
        column("LOOKED AFTER BY", "/acknowledged_by", 24),
        column("TITLE", "/title", 80),
    ];
    Ok(asked.listing.report(&columns, &found))
}

/// Lists the channels.
///
/// # Errors
/// As [`list`].
pub async fn channels(asked: &Channels) -> anyhow::Result<Report> {
    let admin = asked.place.admin()?;
    let limit = asked.listing.limit();
    let found = admin.rows("alerts/channels", &[], "before", limit).await?;
    let columns = [
        column("CHANNEL", "/name", 24),
        column("WAIT", "/pending", 12),
        column("GIVEN UP", "/undelivered", 12),
        column("LAST TAKEN (UTC)", "/delivered_at", 20),
        column("OFF, FOR", "/off_why", 60),
        column("LAST ERROR", "/last_error", 80),
    ];
    Ok(asked.listing.report(&columns, &found))
}

/// Shows a notice with every try.
///
/// # Errors
/// As [`list`].
pub async fn show(asked: &Notice) -> anyhow::Result<Report> {
    let admin = asked.place.admin()?;
    let whole = admin.get(&format!("alerts/{}", asked.id), &[]).await?;
    if asked.json {
        return Ok(Report::well(format!("{whole}\n")));
    }
    let rows = |name: &str| whole[name].as_array().cloned().unwrap_or_default();
    let deliveries = rows("deliveries");
    let said = [
        column("Title", "/title", 400),
        column("Severity", "/severity", 10),
        column("About", "/subject", 128),
        column("Raised (UTC)", "/created_at", 20),
    ];
    let to = [
        column("CHANNEL", "/channel", 24),
        column("STATE", "/state", 12),
        column("TRIES", "/attempts", 6),
        column("DELIVERED (UTC)", "/delivered_at", 20),
        column("LAST ERROR", "/last_error", 100),
    ];
    Ok(Report::well(format!(
        "{}\n{}",
        facts(&said, deliveries.first().unwrap_or(&Value::Null)),
        table(&to, &deliveries)
    )))
}

/// Has a notice sent once more.
///
/// # Errors
/// As [`list`].
pub async fn redeliver(asked: &Redelivery) -> anyhow::Result<Report> {
    let admin = asked.place.admin()?;
    let path = format!("alerts/{}/redeliver", asked.id);
    admin
        .post(&path, &json!({"channel": asked.channel}))
        .await?;
    Ok(Report::well(format!(
        "It will be sent: redressctl alerts show {} tells what became of it.\n",
        asked.id
    )))
}

/// Has a test sent.
///
/// # Errors
/// As [`list`].
pub async fn test(asked: &Channel) -> anyhow::Result<Report> {
    let admin = asked.place.admin()?;
    let path = format!("alerts/channels/{}/test", asked.name);
    let taken = admin.post(&path, &Value::Null).await?;
    Ok(Report::well(format!(
        "A test will be sent: redressctl alerts show {} tells what became of it.\n",
        taken["id"].as_str().unwrap_or_default()
    )))
}

/// Says that somebody looks after an incident: nobody else is told of it for that.
///
/// # Errors
/// As [`list`].
pub async fn acknowledge(asked: &Acknowledging) -> anyhow::Result<Report> {
    let admin = asked.place.admin()?;
    let path = format!("incidents/{}/acknowledge", asked.id);
    admin.post(&path, &Value::Null).await?;
    Ok(Report::well("You look after it.\n".to_owned()))
}
