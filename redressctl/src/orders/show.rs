//! `redressctl show`: one dead letter, with everything that happened to it and what is true of it now.

use crate::{
    Report,
    admin::Where,
    table::{Column, column, facts, flat, table, visible},
};
use anyhow::Context as _;
use clap::Args;
use serde_json::Value;
use std::fmt::Write as _;
use uuid::Uuid;

const FACTS: [Column; 17] = [
    column("Id", "/id", 36),
    column("Kind", "/kind", 11),
    column("State", "/state", 11),
    column("Order", "/order_id", 36),
    column("Transaction", "/gid", 36),
    column("Sale", "/sale_id", 36),
    column("User", "/user_id", 36),
    column("Quantity", "/quantity", 12),
    column("Failed at", "/step", 32),
    column("Error", "/error", 2_000),
    column("Group", "/fingerprint", 16),
    column("Why grouped", "/why_grouped", 400),
    column("First failed (UTC)", "/first_failed_at", 20),
    column("Archived (UTC)", "/archived_at", 20),
    column("Handled (UTC)", "/handled_at", 20),
    column("Resolution", "/resolution", 400),
    column("No replay, for", "/replay_refusal", 64),
];

/// Which one.
#[derive(Debug, Args)]
pub struct Show {
    /// Its id, as the list has it
    id: Uuid,
    /// Print what the admin answers instead of words
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

/// Shows it.
///
/// # Errors
/// When the admin does not answer, or knows none.
pub async fn show(asked: &Show) -> anyhow::Result<Report> {
    let admin = asked.place.admin()?;
    let text = admin.get_text(&format!("archives/{}", asked.id)).await?;
    if asked.json {
        return Ok(Report::well(text + "\n"));
    }
    let whole: Value = serde_json::from_str(&text).context("the answer is no JSON")?;
    let mut text = facts(&FACTS, &whole);
    section(
        &mut text,
        "Tries",
        &whole["history"],
        &[
            column("WHEN (UTC)", "/at", 20),
            column("STEP", "/step", 16),
            column("ERROR", "/error", 100),
        ],
    );
    section(
        &mut text,
        "Operations",
        &whole["operations"],
        &[
            column("ID", "/id", 36),
            column("KIND", "/kind", 10),
            column("STATE", "/state", 12),
            column("BY", "/asked_by", 24),
            column("WHEN (UTC)", "/created_at", 20),
            column("REASON", "/reason", 80),
        ],
    );
    section(
        &mut text,
        "Audit",
        &whole["audit"],
        &[
            column("WHEN (UTC)", "/at", 20),
            column("WHO", "/operator", 24),
            column("ACT", "/act", 24),
            column("OUTCOME", "/outcome", 8),
            column("DETAIL", "/detail", 80),
        ],
    );
    let payload = flat(&whole["payload"]);
    if !payload.is_empty() {
        text.push_str("\nMessage\n");
        for (path, value) in payload {
            let _ = writeln!(text, "  {}  {value}", visible(&path));
        }
    }
    Ok(Report::well(text))
}

fn section(text: &mut String, title: &str, rows: &Value, columns: &[Column]) {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    for line in table(columns, rows).lines() {
        let _ = writeln!(text, "  {line}");
    }
}
