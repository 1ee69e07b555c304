//! `redressctl groups`: dead letters by cause.

use crate::{Report, admin::Where, output::Listing, table::column};
use clap::{Args, ValueEnum};

/// Which groups.
#[derive(Debug, Args)]
pub struct Groups {
    /// Also those whose rows are all handled
    #[arg(long)]
    all: bool,
    /// What comes first
    #[arg(long, value_enum, default_value_t = Sort::Open)]
    sort: Sort,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    place: Where,
}

/// What comes first.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Sort {
    /// Those with the most open rows
    Open,
    /// The latest
    LastSeen,
}

/// Lists them.
///
/// # Errors
/// When the admin does not answer, or refuses.
pub async fn list(asked: &Groups) -> anyhow::Result<Report> {
    let show = if asked.all { "all" } else { "open" };
    let sort = match asked.sort {
        Sort::Open => "open",
        Sort::LastSeen => "last_seen",
    };
    let query = [("show", show.to_owned()), ("sort", sort.to_owned())];
    let admin = asked.place.admin()?;
    let limit = asked.listing.limit();
    let found = admin.rows("groups", &query, "after", limit).await?;
    let columns = [
        column("GROUP", "/fingerprint", 16),
        column("OPEN", "/open", 12),
        column("ALL", "/total", 12),
        column("LAST SEEN (UTC)", "/last_seen_at", 20),
        column("STEP", "/step", 16),
        column("CAUSE", "/pattern", 80),
    ];
    Ok(asked.listing.report(&columns, &found))
}
