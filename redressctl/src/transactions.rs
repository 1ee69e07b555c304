//! `redressctl transactions`: what the coordinator has in hand, and what helps one that is stuck.

use crate::{
    Report,
    admin::Where,
    output::Listing,
    table::{Column, column, facts, table},
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

const FACTS: [Column; 13] = [
    column("Transaction", "/gid", 36),
    column("Kind", "/kind", 32),
    column("Label", "/label", 64),
    column("State", "/state", 20),
    column("Direction", "/direction", 10),
    column("Why", "/reason", 400),
    column("Tries", "/attempts", 10),
    column("Last error", "/last_error", 2_000),
    column("Begun (UTC)", "/created_at", 20),
    column("Over (UTC)", "/finished_at", 20),
    column("No roll-back, for", "/refusals/rollback", 64),
    column("No resume, for", "/refusals/resume", 64),
    column("No stop, for", "/refusals/stop", 64),
];

/// What to do with transactions. Nothing said: list those that a person has to look at.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Transactions {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Args)]
struct List {
    /// stuck, undecided, completing, finished, all, or a state by its name
    #[arg(long, default_value = "stuck")]
    state: String,
    /// Of a label, such as an order's id
    #[arg(long)]
    label: Option<String>,
    /// Of a kind
    #[arg(long)]
    kind: Option<String>,
    /// With a participant
    #[arg(long)]
    participant: Option<String>,
    /// Begun longer ago than so many seconds
    #[arg(long, value_name = "SECONDS")]
    older_than: Option<u64>,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// One of them, with each branch
    Show(One),
    /// Undo one that is not decided
    Rollback(One),
    /// Try again to complete one that is stuck
    Resume(One),
    /// Have nobody try any more to complete one that is decided
    Stop(Stop),
}

#[derive(Debug, Args)]
struct One {
    gid: Uuid,
    /// Print JSON instead of words
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
struct Stop {
    #[command(flatten)]
    one: One,
    /// Why
    #[arg(long)]
    reason: String,
}

/// Does what was asked for.
///
/// # Errors
/// When the admin does not answer, or refuses.
pub async fn transactions(asked: &Transactions) -> anyhow::Result<Report> {
    match &asked.verb {
        None => list(&asked.list).await,
        Some(Verb::Show(one)) => show(one).await,
        Some(Verb::Rollback(one)) => act(one, "rollback", &Value::Null).await,
        Some(Verb::Resume(one)) => act(one, "resume", &Value::Null).await,
        Some(Verb::Stop(stop)) => act(&stop.one, "stop", &json!({"reason": stop.reason})).await,
    }
}

async fn list(asked: &List) -> anyhow::Result<Report> {
    let query: Vec<_> = [
        ("state", Some(asked.state.clone())),
        ("label", asked.label.clone()),
        ("kind", asked.kind.clone()),
        ("participant", asked.participant.clone()),
        ("older_than_s", asked.older_than.map(|it| it.to_string())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    let admin = asked.place.admin()?;
    let limit = asked.listing.limit();
    let found = admin.rows("transactions", &query, "cursor", limit).await?;
    let columns = [
        column("TRANSACTION", "/gid", 36),
        column("STATE", "/state", 18),
        column("LABEL", "/label", 36),
        column("TRIES", "/attempts", 6),
        column("BEGUN (UTC)", "/created_at", 20),
        column("LAST ERROR", "/last_error", 80),
    ];
    Ok(asked.listing.report(&columns, &found))
}

async fn show(asked: &One) -> anyhow::Result<Report> {
    let admin = asked.place.admin()?;
    let whole = admin
        .get(&format!("transactions/{}", asked.gid), &[])
        .await?;
    if asked.json {
        return Ok(Report::well(format!("{whole}\n")));
    }
    let branches = whole["branches"].as_array().cloned().unwrap_or_default();
    let columns = [
        column("BRANCH", "/participant", 32),
        column("STATE", "/state", 16),
        column("TRIES", "/attempts", 6),
        column("CHANGED (UTC)", "/changed_at", 20),
        column("LAST ERROR", "/last_error", 100),
    ];
    Ok(Report::well(format!(
        "{}\n{}",
        facts(&FACTS, &whole),
        table(&columns, &branches)
    )))
}

async fn act(asked: &One, act: &str, body: &Value) -> anyhow::Result<Report> {
    let admin = asked.place.admin()?;
    let came = admin
        .post(&format!("transactions/{}/{act}", asked.gid), body)
        .await?;
    let text = if asked.json {
        format!("{came}\n")
    } else {
        format!("It is {}.\n", came["state"].as_str().unwrap_or_default())
    };
    Ok(Report::well(text))
}
