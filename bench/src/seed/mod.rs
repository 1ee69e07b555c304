//! A database as it is after a bad year: archived orders by the million in groups by the thousand, and as many that wait to be tried
//! again. What lists, searches and claims cost is measured on it, and operators may look around in it.
//!
//! The same seed gives the same rows, but for their times, which are told from now on. Every id bears a mark (`marks`), so that all
//! of it can be taken out again. Rows are consistent with the counts of their groups at every moment: each
//! transaction writes both.
//!
//! What it leaves out: sales, buyers and orders themselves. A seeded row is for looking at, a replay of it is refused; and no row is
//! being replayed, for that would be somebody's operation.

mod archived;
mod causes;
mod marks;
mod random;
mod removal;
mod waiting;

use anyhow::{Context, ensure};
use causes::Causes;
use chrono::{DateTime, Utc};
use service_kit::{
    mysql,
    settings::{Environment, Settings},
};
use sqlx::MySqlPool;
use std::time::Instant;
use uuid::Uuid;

pub use removal::{is_there, remove};

/// Rows of a kind, at most.
pub const ROWS_AT_MOST: u32 = 20_000_000;
/// Groups at most: so many causes can be told in different words.
pub const GROUPS_AT_MOST: u32 = 20_000;
/// Rows one statement writes: always so many, but for the last.
const ROWS_A_STATEMENT: usize = 500;
/// Rows one transaction writes.
const ROWS_A_TRANSACTION: usize = 5_000;
/// Between two lines of progress.
const ROWS_A_LINE: u32 = 100_000;

/// How much of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Rows of the archive.
    pub archived: u32,
    /// Work that waits, due in many years.
    pub waiting: u32,
    /// And how much of it is due now: a compensator that runs tries it.
    pub due: u32,
    /// Groups of the archive's rows.
    pub groups: u32,
    /// What all of it hangs on.
    pub seed: u64,
}

/// Where the archive's rows from this number on begin.
#[must_use]
pub fn archived_from(number: u32) -> Uuid {
    marks::id(marks::Kind::Archived, number, [0; 4])
}

/// The database the settings name.
///
/// # Errors
/// In production, for nothing here is anybody's order; or MySQL does not answer.
pub async fn database(settings: &Settings) -> anyhow::Result<MySqlPool> {
    ensure!(
        settings.environment != Environment::Production,
        "these settings say environment: production; made-up rows are for a development database"
    );
    mysql::connect(&settings.database.mysql)
        .await
        .context("connecting to MySQL")
}

/// Writes the rows; `show` is given a line now and then.
///
/// # Errors
/// A number that is out of bounds, seeded rows that are there already, or what MySQL says. What was written then is consistent, and
/// [`remove`] takes it out.
pub async fn fill(
    db: &MySqlPool,
    wanted: Wanted,
    show: impl Fn(&str) + Sync,
) -> anyhow::Result<()> {
    for (name, number, at_most) in [
        ("--archived", wanted.archived, ROWS_AT_MOST),
        ("--waiting", wanted.waiting, ROWS_AT_MOST),
        ("--due", wanted.due, wanted.waiting),
        ("--groups", wanted.groups, GROUPS_AT_MOST),
    ] {
        ensure!(number <= at_most, "{name} is {at_most} at most");
    }
    ensure!(wanted.groups > 0, "--groups is 1 at least");
    ensure!(
        !is_there(db).await?,
        "seeded rows are there already: --remove takes them out"
    );
    let now: DateTime<Utc> = sqlx::query_scalar("select utc_timestamp(3)")
        .fetch_one(db)
        .await?;
    let begun = Instant::now();
    let causes = Causes::of(wanted.groups);
    tokio::try_join!(
        archived::fill(db, wanted, &causes, now, &show),
        waiting::fill(db, wanted, &causes, now, &show)
    )?;
    show("analysing the tables");
    for table in [
        "failed_order_archives",
        "failure_groups",
        "compensations",
        "compensation_messages",
    ] {
        sqlx::query(sqlx::AssertSqlSafe(format!("analyze table {table}")))
            .execute(db)
            .await?;
    }
    show(&format!(
        "{} archived in {} groups and {} waiting ({} of them due) in {:.0} s",
        wanted.archived,
        wanted.groups,
        wanted.waiting,
        wanted.due,
        begun.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Says how far it is, every [`ROWS_A_LINE`].
fn tell(show: &(impl Fn(&str) + Sync), what: &str, done: u32, of: u32, begun: Instant) {
    let before = done.saturating_sub(u32::try_from(ROWS_A_TRANSACTION).unwrap_or(u32::MAX));
    if done / ROWS_A_LINE != before / ROWS_A_LINE || done == of {
        let rate = f64::from(done) / begun.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        show(&format!("{done} of {of} {what}, {rate:.0} a second"));
    }
}
