//! Weeks that were counted: the table `weekly_reports`. A row and its alert are one transaction, so a week is told of once.

use super::{Figures, Week};
use crate::alerts::{Alert, Severity, record};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::MySqlPool;

/// The alerts' kind.
pub const KIND: &str = "weekly_report";
/// Weeks that are made up for when no compensator ran for long.
const MISSED_AT_MOST: usize = 4;
/// How long after its end a week is counted: what was begun in it is written down by then.
const AFTER: TimeDelta = TimeDelta::minutes(10);

/// A week as it was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What was counted.
    pub figures: Figures,
    /// When, by the database's clock.
    pub made_at: DateTime<Utc>,
}

/// Who made a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// The caller.
    Now,
    /// Somebody before: nothing was written, and nobody is told again.
    Before,
}

/// The time by which weeks are reckoned: the database's.
///
/// # Errors
/// What the database says.
pub async fn now(db: &MySqlPool) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(r#"select utc_timestamp(3) as "now!: DateTime<Utc>""#)
        .fetch_one(db)
        .await
}

/// Weeks that are over and not stored, the oldest first: of the last four, those in which this schema was there.
///
/// # Errors
/// What the database says.
pub async fn due(db: &MySqlPool) -> sqlx::Result<Vec<Week>> {
    // Not checked when this is built: it is the table of whoever applies the schema's steps.
    let born: DateTime<Utc> = sqlx::query_scalar(
        "select coalesce(min(installed_on), utc_timestamp(3)) from _sqlx_migrations",
    )
    .fetch_one(db)
    .await?;
    let mut week = Week::of(now(db).await? - AFTER);
    let mut due = Vec::new();
    for _ in 0..MISSED_AT_MOST {
        week = week.before();
        if week.ends_at() > born && find(db, week).await?.is_none() {
            due.push(week);
        }
    }
    due.reverse();
    Ok(due)
}

/// Stores a week and has people told.
///
/// # Errors
/// What the database says; nothing was stored then, as far as is known.
pub async fn make(db: &MySqlPool, figures: &Figures) -> sqlx::Result<Made> {
    let week = figures.week;
    let before = find(db, week.before()).await?.map(|it| it.figures);
    let mut tx = db.begin().await?;
    let inserted = sqlx::query!(
        "insert into weekly_reports (week, starts_at, made_at, tries, settled, archived, data)
         values (?, ?, utc_timestamp(3), ?, ?, ?, ?)",
        week.to_string(),
        week.starts_at(),
        figures.tries.map(|tries| tries.made),
        figures.tries.map(|tries| tries.settled),
        figures.archived,
        serde_json::to_string(figures)
            .unwrap_or_else(|cause| unreachable!("texts and numbers always serialise: {cause}"))
    )
    .execute(&mut *tx)
    .await;
    match inserted {
        // Somebody was faster.
        Err(sqlx::Error::Database(cause)) if cause.is_unique_violation() => {
            return Ok(Made::Before);
        }
        other => other?,
    };
    let alert = Alert::new(KIND, Severity::Info, &week.to_string(), &figures.title())
        .text(figures.sentences(before.as_ref()).join("\n"))
        .once("made");
    record(&mut tx, &alert).await?;
    tx.commit().await?;
    Ok(Made::Now)
}

/// A week, where it is stored.
///
/// # Errors
/// What the database says; [`sqlx::Error::Decode`] where only a newer build can read it.
pub async fn find(db: &MySqlPool, week: Week) -> sqlx::Result<Option<Stored>> {
    let row = sqlx::query!(
        r#"select data, made_at as "made_at: DateTime<Utc>" from weekly_reports where week = ?"#,
        week.to_string()
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        let figures = serde_json::from_str(&row.data)
            .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))?;
        Ok(Stored {
            figures,
            made_at: row.made_at,
        })
    })
    .transpose()
}

/// The weeks that are stored, the newest first, at most `limit`.
///
/// # Errors
/// What the database says.
pub async fn newest(db: &MySqlPool, limit: u32) -> sqlx::Result<Vec<Week>> {
    let weeks = sqlx::query_scalar!(
        "select week from weekly_reports order by week desc limit ?",
        limit
    )
    .fetch_all(db)
    .await?;
    weeks
        .iter()
        .map(|week| {
            week.parse()
                .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))
        })
        .collect()
}

/// The last week that is stored.
///
/// # Errors
/// As [`find`].
pub async fn latest(db: &MySqlPool) -> sqlx::Result<Option<Stored>> {
    match newest(db, 1).await?.first() {
        Some(week) => find(db, *week).await,
        None => Ok(None),
    }
}
