//! Counts a week. Some hours at a time, and of indexes alone: `compensation_logs_by_time`, `archives_by_time`,
//! `archives_by_handled_at`, `compensations_by_closed`, `alert_outbox_by_week`; causes by their groups.

use super::{
    Week,
    figures::{Cause, Figures, Open, Tries},
    spread::{Buckets, Spread, TO_A_DOUBLING},
};
use crate::{
    archive::{groups, transaction},
    fingerprint::Fingerprint,
    operations, queue,
};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use sqlx::{MySql, MySqlPool, QueryBuilder};
use std::collections::BTreeMap;

/// What one statement counts: of a million tries in a week, some ten thousand.
const AT_ONCE: TimeDelta = TimeDelta::hours(6);
/// Groups whose rows one statement counts. Always so many: one text.
const GROUPS: usize = 100;
/// Causes that are kept.
const CAUSES: usize = 20;

/// Whether `compensation_logs` has the tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriesKept {
    /// It has.
    InTable,
    /// A file has them, and nobody counts it.
    Elsewhere,
}

/// Figures of a week up to `until`, or all of it where that comes first. What is open is what is open now.
///
/// # Errors
/// What the database says.
pub async fn measure(
    db: &MySqlPool,
    week: Week,
    until: DateTime<Utc>,
    kept: TriesKept,
) -> sqlx::Result<Figures> {
    let (begin, end) = (week.starts_at(), week.ends_at().min(until));
    let mut tries = Tries::default();
    let mut figures = Figures {
        week,
        tries: None,
        archived: 0,
        ended: BTreeMap::new(),
        causes: causes(db, begin.naive_utc(), end.naive_utc()).await?,
        repaired_by_itself: Spread::default(),
        repaired_by_people: Spread::default(),
        alerts: 0,
        alerts_undelivered: 0,
        open: open(db).await?,
    };
    let (mut by_itself, mut by_people) = (Buckets::default(), Buckets::default());
    let mut from = begin;
    while from < end {
        let to = end.min(from + AT_ONCE);
        let span = (from.naive_utc(), to.naive_utc());
        if kept == TriesKept::InTable {
            count_tries(db, span, &mut tries).await?;
        }
        figures.archived += archived(db, span).await?;
        count_ended(db, span, &mut figures.ended).await?;
        count_settled(db, span, &mut by_itself).await?;
        count_put_back(db, span, &mut by_people).await?;
        let (raised, undelivered) = alerts(db, span).await?;
        figures.alerts += raised;
        figures.alerts_undelivered += undelivered;
        from = to;
    }
    figures.tries = (kept == TriesKept::InTable).then_some(tries);
    figures.repaired_by_itself = by_itself.spread();
    figures.repaired_by_people = by_people.spread();
    Ok(figures)
}

/// What happened in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hour {
    /// Tries of work that failed before; nothing where the table of tries is not kept.
    pub tries: Option<Tries>,
    /// What was put into the archive, and did not come back to it later.
    pub archived: u64,
}

/// Counts from `from` to before `to`, meant for an hour: of `compensation_logs_by_time` and `archives_by_time` alone.
///
/// # Errors
/// What the database says.
pub async fn hour(
    db: &MySqlPool,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    kept: TriesKept,
) -> sqlx::Result<Hour> {
    let span = (from.naive_utc(), to.naive_utc());
    let mut tries = Tries::default();
    if kept == TriesKept::InTable {
        count_tries(db, span, &mut tries).await?;
    }
    Ok(Hour {
        tries: (kept == TriesKept::InTable).then_some(tries),
        archived: archived(db, span).await?,
    })
}

type Span = (NaiveDateTime, NaiveDateTime);

async fn count_tries(db: &MySqlPool, (from, to): Span, tries: &mut Tries) -> sqlx::Result<()> {
    let row = sqlx::query!(
        r#"select cast(coalesce(sum(lane in ('retry', 'dead_letter')), 0) as signed) as "made!: i64",
                  cast(coalesce(sum(lane in ('retry', 'dead_letter') and outcome <> 'failed'), 0) as signed) as "settled!: i64",
                  cast(coalesce(sum(lane = 'archive' and outcome = ?), 0) as signed) as "given_up!: i64"
           from compensation_logs where started_at >= ? and started_at < ?"#,
        operations::ARCHIVED,
        from,
        to
    )
    .fetch_one(db)
    .await?;
    tries.made += count(row.made);
    tries.settled += count(row.settled);
    tries.given_up += count(row.given_up);
    Ok(())
}

async fn archived(db: &MySqlPool, (from, to): Span) -> sqlx::Result<u64> {
    sqlx::query_scalar!(
        "select count(*) from failed_order_archives where archived_at >= ? and archived_at < ?",
        from,
        to
    )
    .fetch_one(db)
    .await
    .map(count)
}

async fn count_ended(
    db: &MySqlPool,
    (from, to): Span,
    ended: &mut BTreeMap<String, u64>,
) -> sqlx::Result<()> {
    let rows = sqlx::query!(
        r#"select resolution as "how!", count(*) as count from failed_order_archives
           where handled_at >= ? and handled_at < ? and resolution is not null group by resolution"#,
        from,
        to
    )
    .fetch_all(db)
    .await?;
    for row in rows {
        *ended.entry(row.how).or_default() += count(row.count);
    }
    Ok(())
}

/// Work that no operator had to put back.
async fn count_settled(db: &MySqlPool, (from, to): Span, times: &mut Buckets) -> sqlx::Result<()> {
    let rows = sqlx::query!(
        r#"select cast(floor(log2(ms + 1) * ?) as unsigned) as "bucket!: u32", count(*) as count,
                  cast(max(ms) as unsigned) as "longest!: u64"
           from (select greatest(timestampdiff(microsecond, created_at, closed_at) div 1000, 0) as ms from compensations
                 where closed_at >= ? and closed_at < ? and state = 'closed' and generation = 0 and outcome <> ?) closed
           group by 1"#,
        TO_A_DOUBLING,
        from,
        to,
        operations::DISCARDED
    )
    .fetch_all(db)
    .await?;
    for row in rows {
        times.add(row.bucket, count(row.count), row.longest);
    }
    Ok(())
}

/// Archived rows that were settled since, but for those that were given up for good and stuck transactions.
async fn count_put_back(db: &MySqlPool, (from, to): Span, times: &mut Buckets) -> sqlx::Result<()> {
    let rows = sqlx::query!(
        r#"select cast(floor(log2(ms + 1) * ?) as unsigned) as "bucket!: u32", count(*) as count,
                  cast(max(ms) as unsigned) as "longest!: u64"
           from (select greatest(timestampdiff(microsecond, first_failed_at, handled_at) div 1000, 0) as ms from failed_order_archives
                 where handled_at >= ? and handled_at < ? and resolution not in (?, ?)) handled
           group by 1"#,
        TO_A_DOUBLING,
        from,
        to,
        operations::DISCARDED,
        transaction::COMPLETED
    )
    .fetch_all(db)
    .await?;
    for row in rows {
        times.add(row.bucket, count(row.count), row.longest);
    }
    Ok(())
}

async fn alerts(db: &MySqlPool, (from, to): Span) -> sqlx::Result<(u64, u64)> {
    let row = sqlx::query!(
        r#"select (select count(*) from alerts where created_at >= ? and created_at < ?) as "raised!: i64",
                  (select count(*) from alert_outbox where state = 'undelivered' and created_at >= ? and created_at < ?)
                      as "undelivered!: i64""#,
        from,
        to,
        from,
        to
    )
    .fetch_one(db)
    .await?;
    Ok((count(row.raised), count(row.undelivered)))
}

/// The most frequent causes. Groups that were not seen since the week began have no row in it.
async fn causes(
    db: &MySqlPool,
    begin: NaiveDateTime,
    end: NaiveDateTime,
) -> sqlx::Result<Vec<Cause>> {
    let mut top: Vec<(u64, i64)> = Vec::new();
    let mut after = 0;
    loop {
        let seen = sqlx::query_scalar!(
            "select fingerprint from failure_groups where last_seen_at >= ? and fingerprint > ? order by fingerprint limit ?",
            begin,
            after,
            u32::try_from(GROUPS).unwrap_or(u32::MAX)
        )
        .fetch_all(db)
        .await?;
        let Some(last) = seen.last() else { break };
        after = *last;
        top.extend(rows_of(db, &seen, begin, end).await?);
        top.sort_unstable_by_key(|(fingerprint, count)| (-count, *fingerprint));
        top.truncate(CAUSES);
    }
    let mut causes = Vec::with_capacity(top.len());
    for (fingerprint, rows) in top {
        let group = sqlx::query!(
            "select step, error_code, pattern from failure_groups where fingerprint = ?",
            fingerprint
        )
        .fetch_one(db)
        .await?;
        causes.push(Cause {
            fingerprint: Fingerprint::from_number(fingerprint).to_string(),
            step: group.step,
            code: group.error_code,
            pattern: group.pattern,
            count: count(rows),
        });
    }
    Ok(causes)
}

async fn rows_of(
    db: &MySqlPool,
    groups: &[u64],
    begin: NaiveDateTime,
    end: NaiveDateTime,
) -> sqlx::Result<Vec<(u64, i64)>> {
    let mut query = QueryBuilder::<MySql>::new(
        "select fingerprint, count(*) from failed_order_archives force index (archives_by_fingerprint) where fingerprint in (",
    );
    let mut list = query.separated(", ");
    // Filled up with the last one: one text.
    for at in 0..GROUPS {
        list.push_bind(groups[at.min(groups.len() - 1)]);
    }
    query.push(") and archived_at >= ").push_bind(begin);
    query.push(" and archived_at < ").push_bind(end);
    query.push(" group by fingerprint");
    query.build_query_as().fetch_all(db).await
}

async fn open(db: &MySqlPool) -> sqlx::Result<Open> {
    let work = queue::backlog(db).await?;
    Ok(Open {
        // What is held was given up: it is in the archive.
        work: count(
            work.iter()
                .filter(|(state, _)| state != "held")
                .map(|(_, count)| *count)
                .sum(),
        ),
        archived: groups::open_rows(db).await?,
    })
}

fn count(of: i64) -> u64 {
    u64::try_from(of).unwrap_or_default()
}
