//! `redressctl list`.

use super::filter::Filter;
use crate::{Report, admin::Where, output::Listing, table::column};
use clap::Args;

/// Which dead letters.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    filter: Filter,
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
    let admin = asked.place.admin()?;
    let limit = asked.listing.limit();
    let query = asked.filter.query();
    let found = admin.rows("archives", &query, "after", limit).await?;
    let columns = [
        column("ID", "/id", 36),
        column("KIND", "/kind", 11),
        column("STATE", "/state", 9),
        column("STEP", "/step", 16),
        column("TRIES", "/attempts", 6),
        column("ARCHIVED (UTC)", "/archived_at", 20),
        column("GROUP", "/fingerprint", 16),
        column("ERROR", "/error", 80),
    ];
    Ok(asked.listing.report(&columns, &found))
}
