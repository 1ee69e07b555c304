//! `redressctl audit list`.

use crate::{Report, admin::Where, output::Listing, table::column};
use clap::Args;
use uuid::Uuid;

/// Which lines of the audit.
#[derive(Debug, Args)]
pub struct List {
    /// By whom
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
    /// What was done, such as order.replay
    #[arg(long)]
    act: Option<String>,
    /// How it ended
    #[arg(long, value_parser = ["done", "denied", "refused", "failed"])]
    outcome: Option<String>,
    /// What it was done to, such as an order's id
    #[arg(long)]
    subject: Option<String>,
    /// Of an operation
    #[arg(long, value_name = "ID")]
    operation: Option<Uuid>,
    /// From this day or time on, in UTC: 2026-07-03 or 2026-07-03T10:00
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time, or to the end of this day
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    place: Where,
}

/// Lists them, newest first.
///
/// # Errors
/// When the admin does not answer, or refuses.
pub async fn list(asked: &List) -> anyhow::Result<Report> {
    let query: Vec<_> = [
        ("operator", asked.operator.clone()),
        ("act", asked.act.clone()),
        ("outcome", asked.outcome.clone()),
        ("subject", asked.subject.clone()),
        ("operation", asked.operation.map(|id| id.to_string())),
        ("from", asked.from.clone()),
        ("to", asked.to.clone()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    let admin = asked.place.admin()?;
    let limit = asked.listing.limit();
    let found = admin.rows("audit", &query, "before", limit).await?;
    let columns = [
        column("LINE", "/id", 12),
        column("WHEN (UTC)", "/at", 20),
        column("WHO", "/operator", 24),
        column("ACT", "/act", 28),
        column("OUTCOME", "/outcome", 8),
        column("WHAT", "/subject", 48),
        column("DETAIL", "/detail", 100),
    ];
    Ok(asked.listing.report(&columns, &found))
}
