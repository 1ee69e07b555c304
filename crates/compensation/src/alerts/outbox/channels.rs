//! What all processes know of a channel: its bucket, whether it rests, and whether it is off. The table `alert_channels`.
//!
//! Whoever claims, writes down or changes by hand what waits on a channel locks its row first. So three processes together keep within
//! its rate, and a receiver that asked for fewer is left alone by all of them.

use super::micros;
use crate::alerts::{Delivered, Rate, bucket::Bucket};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{MySqlConnection, MySqlPool};
use std::{collections::BTreeMap, time::Duration};

/// A channel whose row is locked.
#[derive(Debug)]
pub(super) struct Locked {
    pub(super) bucket: Bucket,
    pub(super) failures: u32,
    pub(super) rests: bool,
    pub(super) returned: bool,
    /// Why it is off.
    pub(super) off: Option<String>,
}

/// How a channel is, as operators see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// Its name in the settings.
    pub name: String,
    /// Tokens its bucket holds now.
    pub tokens: f64,
    /// Tokens of a full bucket.
    pub burst: f64,
    /// Tokens that come back a minute.
    pub per_minute: f64,
    /// Failures running.
    pub failures: u32,
    /// Nothing is sent before, where that is not over.
    pub rests_until: Option<DateTime<Utc>>,
    /// Since when nothing is sent but what operators ask for.
    pub off_at: Option<DateTime<Utc>>,
    /// Why.
    pub off_why: Option<String>,
    /// What the receiver said last, unless it took something since.
    pub last_error: Option<String>,
    /// When it took something last.
    pub delivered_at: Option<DateTime<Utc>>,
    /// Notices that wait.
    pub pending: u64,
    /// Notices that were given up.
    pub undelivered: u64,
}

/// Locks the channel's row, which is made with a full bucket where there is none.
pub(super) async fn lock(
    db: &mut MySqlConnection,
    channel: &str,
    rate: Rate,
) -> sqlx::Result<Locked> {
    loop {
        let row = sqlx::query!(
            r#"select tokens, timestampdiff(microsecond, refilled_at, utc_timestamp(3)) as "passed!: i64", failures,
                      coalesce(rests_until > utc_timestamp(3), 0) as "rests!: bool", returned as "returned: bool",
                      off_at is not null as "is_off!: bool", off_why
               from alert_channels where name = ? for update"#,
            channel
        )
        .fetch_optional(&mut *db)
        .await?;
        if let Some(row) = row {
            let passed = Duration::from_micros(u64::try_from(row.passed).unwrap_or_default());
            return Ok(Locked {
                bucket: Bucket::holding(row.tokens).refilled(rate, passed),
                failures: row.failures,
                rests: row.rests,
                returned: row.returned,
                off: row.is_off.then(|| row.off_why.unwrap_or_default()),
            });
        }
        sqlx::query!(
            "insert into alert_channels (name, tokens, refilled_at, burst, per_minute) values (?, ?, utc_timestamp(3), ?, ?)
             on duplicate key update name = name",
            channel,
            Bucket::full(rate).tokens(),
            rate.burst,
            rate.per_minute
        )
        .execute(&mut *db)
        .await?;
    }
}

/// Writes down what is left in the bucket, and whether what waited while the receiver was away is still to be looked at.
pub(super) async fn take(
    db: &mut MySqlConnection,
    channel: &str,
    left: Bucket,
    rate: Rate,
    returned: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update alert_channels set tokens = ?, refilled_at = utc_timestamp(3), burst = ?, per_minute = ?, returned = ? where name = ?",
        left.tokens(),
        rate.burst,
        rate.per_minute,
        returned,
        channel
    )
    .execute(db)
    .await
    .map(drop)
}

/// Notes what the receiver said to one try; `failures` is what was known when it was claimed, so that tries side by side count once.
/// What it took ends no rest that another try brought meanwhile.
pub(super) async fn note(
    db: &mut MySqlConnection,
    channel: &str,
    what: &Delivered,
    failures: u32,
    wait: Duration,
) -> sqlx::Result<()> {
    let warning = what.error();
    let error = warning.as_deref().unwrap_or_default();
    match what {
        Delivered::Sent | Delivered::Partly(_) => sqlx::query!(
            "update alert_channels
             set delivered_at = utc_timestamp(3),
                 returned = if(failures > 0, 1, returned),
                 last_error = if(rests_until > utc_timestamp(3), last_error, left(?, 500)),
                 failures = if(rests_until > utc_timestamp(3), failures, 0),
                 rests_until = if(rests_until > utc_timestamp(3), rests_until, null)
             where name = ?",
            warning,
            channel
        )
        .execute(db)
        .await
        .map(drop),
        Delivered::SlowDown(..) | Delivered::Broken(_) => {
            rest(db, channel, error, failures, wait).await
        }
        Delivered::Gone(_) => sqlx::query!(
            "update alert_channels
             set failures = greatest(failures, ?), last_error = left(?, 500), off_why = if(off_at is null, left(?, 500), off_why),
                 off_at = coalesce(off_at, utc_timestamp(3))
             where name = ?",
            failures.saturating_add(1),
            error,
            error,
            channel
        )
        .execute(db)
        .await
        .map(drop),
        Delivered::Unknown(_) => sqlx::query!(
            "update alert_channels set last_error = left(?, 500) where name = ?",
            error,
            channel
        )
        .execute(db)
        .await
        .map(drop),
    }
}

/// Has all processes leave the receiver alone for `wait`; a longer rest stays.
pub(super) async fn rest(
    db: &mut MySqlConnection,
    channel: &str,
    error: &str,
    failures: u32,
    wait: Duration,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update alert_channels
         set failures = greatest(failures, ?), last_error = left(?, 500),
             rests_until = greatest(coalesce(rests_until, utc_timestamp(3)), utc_timestamp(3) + interval ? microsecond)
         where name = ?",
        failures.saturating_add(1),
        error,
        micros(wait),
        channel
    )
    .execute(db)
    .await
    .map(drop)
}

/// Every channel that anything was ever due on, by name, with what waits and what was given up.
///
/// # Errors
/// What the database says.
pub async fn standings(db: &MySqlPool) -> sqlx::Result<Vec<Standing>> {
    let rows = sqlx::query!(
        r#"select name, tokens, timestampdiff(microsecond, refilled_at, utc_timestamp(3)) as "passed!: i64", burst, per_minute, failures,
                  if(rests_until > utc_timestamp(3), rests_until, null) as "rests_until: DateTime<Utc>",
                  off_at as "off_at: DateTime<Utc>", off_why, last_error, delivered_at as "delivered_at: DateTime<Utc>"
           from alert_channels order by name"#
    )
    .fetch_all(db)
    .await?;
    let counts = counts_by_channel(db).await?;
    let standings = rows.into_iter().map(|row| {
        let rate = Rate {
            burst: row.burst,
            per_minute: row.per_minute,
        };
        let passed = Duration::from_micros(u64::try_from(row.passed).unwrap_or_default());
        let (pending, undelivered) = counts.get(&row.name).copied().unwrap_or_default();
        Standing {
            tokens: Bucket::holding(row.tokens).refilled(rate, passed).tokens(),
            name: row.name,
            burst: row.burst,
            per_minute: row.per_minute,
            failures: row.failures,
            rests_until: row.rests_until,
            off_at: row.off_at,
            off_why: row.off_why,
            last_error: row.last_error,
            delivered_at: row.delivered_at,
            pending,
            undelivered,
        }
    });
    Ok(standings.collect())
}

/// How many wait and how many were given up, by channel; read from an index alone.
///
/// # Errors
/// What the database says.
pub async fn counts_by_channel(db: &MySqlPool) -> sqlx::Result<BTreeMap<String, (u64, u64)>> {
    let rows = sqlx::query!(
        r#"select channel, state = 'pending' as "waits!: bool", count(*) as "count!: u64" from alert_outbox
           where state in ('pending', 'undelivered') group by channel, state"#
    )
    .fetch_all(db)
    .await?;
    let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for row in rows {
        let of = counts.entry(row.channel).or_default();
        if row.waits {
            of.0 = row.count;
        } else {
            of.1 = row.count;
        }
    }
    Ok(counts)
}
