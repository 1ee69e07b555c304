//! `redressctl operations`: replays and discards of many, how far they are, and what steers them.

use crate::{
    Report,
    admin::{Admin, Where},
    output::Listing,
    table::{Column, column, facts},
};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// Between two looks at one that is waited for.
const LOOK: Duration = Duration::from_secs(1);

const FACTS: [Column; 19] = [
    column("Id", "/id", 36),
    column("Kind", "/kind", 10),
    column("State", "/state", 16),
    column("Stage", "/bulk/stage", 200),
    column("Asked by", "/asked_by", 64),
    column("Reason", "/reason", 500),
    column("Asked (UTC)", "/created_at", 20),
    column("Begins (UTC)", "/bulk/starts_at", 20),
    column("Over (UTC)", "/finished_at", 20),
    column("Rows a second", "/bulk/rate", 8),
    column("Canary", "/bulk/canary", 3),
    column("Selected", "/bulk/counts/selected", 12),
    column("Left", "/bulk/counts/left", 12),
    column("Under way", "/bulk/counts/under_way", 12),
    column("Confirmed", "/bulk/counts/confirmed", 12),
    column("Rejected", "/bulk/counts/rejected", 12),
    column("Failed again", "/bulk/counts/archived", 12),
    column("Refused", "/bulk/counts/refused", 12),
    column("Discarded", "/bulk/counts/discarded", 12),
];

/// What to do with operations. Nothing said: list them.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Operations {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// One of them, as far as it has come
    Show(One),
    /// What it is done to, and what became of each
    Items(Items),
    /// Begin nothing more for now
    Pause(One),
    /// Go on
    Resume(One),
    /// Begin nothing more at all
    Cancel(One),
    /// Take it back before it begins
    Undo(One),
    /// Confirm what somebody else asked for and is too many for one
    Confirm(One),
}

#[derive(Debug, Args)]
struct One {
    id: Uuid,
    /// Print JSON instead of words
    #[arg(long)]
    json: bool,
    /// Wait until it is over: ends with 1 when not all of it went well
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
struct Items {
    id: Uuid,
    /// Only those that stand so
    #[arg(long, value_enum)]
    state: Option<ItemState>,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    place: Where,
}

/// How an item stands.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ItemState {
    Selected,
    Requested,
    Processing,
    Confirmed,
    Rejected,
    Archived,
    Refused,
    Discarded,
}

/// Does what was asked for.
///
/// # Errors
/// When the admin does not answer, or refuses.
pub async fn operations(asked: &Operations) -> anyhow::Result<Report> {
    match &asked.verb {
        None => list(&asked.list).await,
        Some(Verb::Show(one)) => show(one).await,
        Some(Verb::Items(items)) => list_items(items).await,
        Some(Verb::Pause(one)) => steer(one, "pause").await,
        Some(Verb::Resume(one)) => steer(one, "resume").await,
        Some(Verb::Cancel(one)) => steer(one, "cancel").await,
        Some(Verb::Undo(one)) => steer(one, "undo").await,
        Some(Verb::Confirm(one)) => steer(one, "confirm").await,
    }
}

/// Looks at one until it is over, and tells how far it is meanwhile.
pub(crate) async fn wait(admin: &Admin, id: Uuid, json: bool) -> anyhow::Result<Report> {
    let mut told = String::new();
    loop {
        let whole = admin.get(&format!("operations/{id}"), &[]).await?;
        let over = !whole["finished_at"].is_null();
        if over {
            return Ok(report(&whole, json));
        }
        let counts = &whole["bulk"]["counts"];
        let now = format!(
            "{}: {} left, {} under way",
            whole["state"], counts["left"], counts["under_way"]
        );
        if now != told && !counts.is_null() {
            progress(&now);
            told = now;
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[expect(clippy::print_stderr, reason = "progress is for whoever waits")]
fn progress(line: &str) {
    eprintln!("{line}");
}

async fn list(asked: &List) -> anyhow::Result<Report> {
    let admin = asked.place.admin()?;
    let limit = asked.listing.limit();
    let found = admin.rows("operations", &[], "after", limit).await?;
    let columns = [
        column("ID", "/id", 36),
        column("KIND", "/kind", 10),
        column("STATE", "/state", 12),
        column("SELECTED", "/bulk/counts/selected", 12),
        column("LEFT", "/bulk/counts/left", 12),
        column("ASKED (UTC)", "/created_at", 20),
        column("BY", "/asked_by", 24),
        column("REASON", "/reason", 80),
    ];
    Ok(asked.listing.report(&columns, &found))
}

async fn list_items(asked: &Items) -> anyhow::Result<Report> {
    let state = asked.state.and_then(|state| state.to_possible_value());
    let state = state.map(|state| ("state", state.get_name().to_owned()));
    let query: Vec<_> = state.into_iter().collect();
    let admin = asked.place.admin()?;
    let limit = asked.listing.limit();
    let path = format!("operations/{}/items", asked.id);
    let found = admin.rows(&path, &query, "after", limit).await?;
    let columns = [
        column("ORDER", "/order_id", 36),
        column("STATE", "/state", 10),
        column("OVER (UTC)", "/finished_at", 20),
        column("REASON", "/reason", 100),
    ];
    Ok(asked.listing.report(&columns, &found))
}

async fn show(asked: &One) -> anyhow::Result<Report> {
    let admin = asked.place.admin()?;
    if asked.wait {
        return wait(&admin, asked.id, asked.json).await;
    }
    let whole = admin.get(&format!("operations/{}", asked.id), &[]).await?;
    Ok(Report {
        holds: true,
        ..report(&whole, asked.json)
    })
}

async fn steer(asked: &One, act: &str) -> anyhow::Result<Report> {
    let admin = asked.place.admin()?;
    let path = format!("operations/{}/{act}", asked.id);
    let whole = admin.post(&path, &Value::Null).await?;
    if asked.wait {
        return wait(&admin, asked.id, asked.json).await;
    }
    Ok(Report {
        holds: true,
        ..report(&whole, asked.json)
    })
}

/// How it stands; well when it came to its end and nothing of it failed, was refused or was left.
fn report(whole: &Value, json: bool) -> Report {
    let counts = &whole["bulk"]["counts"];
    let bad = ["left", "rejected", "archived", "refused"];
    let of_many = bad.iter().map(|name| counts[name].as_u64().unwrap_or(0));
    let items = whole["items"].as_array().into_iter().flatten();
    let single = items.filter(|item| {
        !matches!(
            item["state"].as_str(),
            Some("confirmed" | "discarded" | "reconciled")
        )
    });
    Report {
        holds: whole["state"] == "finished" && of_many.sum::<u64>() == 0 && single.count() == 0,
        text: if json {
            format!("{whole}\n")
        } else {
            facts(&FACTS, whole)
        },
    }
}
