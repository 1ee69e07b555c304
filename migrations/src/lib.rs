//! The schema, forward only. One file a step under `sql/`; a step that has landed is never changed.

use anyhow::Context as _;
use sqlx::{MySqlPool, migrate::Migrator};

static STEPS: Migrator = sqlx::migrate!("./sql");

/// Applies every step that is missing. Safe when several processes do it at once: the database's advisory lock lets one in at a time.
///
/// # Errors
/// When a step fails, or the database was changed by a newer build or by hand.
pub async fn run(db: &MySqlPool) -> anyhow::Result<()> {
    STEPS
        .run(db)
        .await
        .context("the schema could not be brought up to date")
}
