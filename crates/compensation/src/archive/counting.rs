//! How the counts of groups follow their rows.
//!
//! Each row of the archive says itself in which group it is counted, as what and since when; where that is not how it is, it is
//! uncounted, and the database itself sees that (a generated column). So whoever archives, replays, discards or repairs a row by hand
//! changes no row of a group's and waits for none, and still the count is owed from the same transaction on. [`Counting`] pays it:
//! the change of the group and the note in the row are one transaction, so none is counted twice, whoever dies, and however many
//! count at once.
//!
//! Rows of older builds, and of older ways of comparing, come the same way: first their fingerprint, then their count.

use crate::fingerprint::{Cause, VERSION};
use chrono::{DateTime, NaiveDateTime, Utc};
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Rows a transaction takes: what waits for one of them waits for milliseconds.
const ROWS: usize = 500;
/// Groups a statement changes. Always so many: one text.
const GROUPS: usize = 100;

/// Brings the counts of groups up to date.
#[derive(Debug, Clone)]
pub struct Counting(MySqlPool);

/// What rows change in their group.
#[derive(Debug, Clone)]
struct Change {
    /// Of a group that is new.
    cause: Option<Cause>,
    open: i64,
    all: i64,
    first_seen: NaiveDateTime,
    last_seen: NaiveDateTime,
    example: Uuid,
}

impl Counting {
    /// Any number may run at once, in any process.
    #[must_use]
    pub const fn new(db: MySqlPool) -> Self {
        Self(db)
    }

    /// Works out what some rows share with others, and counts some; how many. 0: everything is counted, but for rows that others
    /// change or count just now.
    ///
    /// # Errors
    /// What the database says; nothing of the last transaction was written then.
    pub async fn run_batch(&self) -> sqlx::Result<usize> {
        let compared = self.compare().await?;
        Ok(compared + self.count().await?)
    }

    /// Rows without a fingerprint, or with one of an older way of comparing.
    async fn compare(&self) -> sqlx::Result<usize> {
        let mut tx = self.0.begin().await?;
        let rows = sqlx::query!(
            r#"select id as "id: Uuid", step, error_class, error from failed_order_archives
               where fingerprint_version < ? limit ? for update skip locked"#,
            VERSION,
            rows_at_most()
        )
        .fetch_all(&mut *tx)
        .await?;
        for row in &rows {
            let cause = Cause::of(&row.step, row.error_class.as_deref(), &row.error);
            sqlx::query!(
                "update failed_order_archives set fingerprint = ?, fingerprint_version = ? where id = ?",
                cause.fingerprint().to_number(),
                VERSION,
                row.id
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(rows.len())
    }

    /// Rows that changed since they were counted. Those of a newer build wait for it: it knows their groups.
    async fn count(&self) -> sqlx::Result<usize> {
        let mut tx = self.0.begin().await?;
        // The index is named: two are there, and the server would read the whole of one to meet the other in it.
        let rows = sqlx::query!(
            r#"select id as "id: Uuid", fingerprint as "fingerprint!", handled as "handled: bool",
                      archived_at as "archived_at: DateTime<Utc>", first_failed_at as "first_failed_at: DateTime<Utc>",
                      counted_in, counted_handled as "counted_handled: bool"
               from failed_order_archives force index (archives_by_uncounted)
               where uncounted = 1 and fingerprint_version = ? limit ? for update skip locked"#,
            VERSION,
            rows_at_most()
        )
        .fetch_all(&mut *tx)
        .await?;
        if rows.is_empty() {
            // Now, and not when the session is used next: what was skipped is locked in the index meanwhile.
            tx.rollback().await?;
            return Ok(0);
        }
        let mut changes = BTreeMap::new();
        for row in &rows {
            leave(&mut changes, row.counted_in, row.counted_handled);
            let change = changes.entry(row.fingerprint).or_insert_with(Change::none);
            change.all += 1;
            change.open += i64::from(!row.handled);
            change.seen(
                row.first_failed_at.naive_utc(),
                row.archived_at.naive_utc(),
                row.id,
            );
        }
        name_new_groups(&mut tx, &mut changes).await?;
        write(&mut tx, &changes).await?;
        let mut note = QueryBuilder::<MySql>::new(
            "update failed_order_archives set counted_in = fingerprint, counted_handled = handled, counted_at = archived_at where id in (",
        );
        let mut list = note.separated(", ");
        // Filled up with the last one: one text.
        for at in 0..ROWS {
            list.push_bind(rows[at.min(rows.len() - 1)].id);
        }
        note.push(")").build().execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(rows.len())
    }
}

/// Takes rows out of their groups' counts, in the transaction that removes them. Locks them.
///
/// # Errors
/// What the database says.
pub async fn forget(db: &mut MySqlConnection, ids: &[Uuid]) -> sqlx::Result<()> {
    let mut changes = BTreeMap::new();
    for id in ids {
        let row = sqlx::query!(
            r#"select counted_in, counted_handled as "counted_handled: bool" from failed_order_archives where id = ? for update"#,
            id
        )
        .fetch_optional(&mut *db)
        .await?;
        if let Some(row) = row {
            leave(&mut changes, row.counted_in, row.counted_handled);
        }
    }
    write(db, &changes).await
}

fn rows_at_most() -> u32 {
    u32::try_from(ROWS).unwrap_or(u32::MAX)
}

/// A row leaves the group it is counted in.
fn leave(changes: &mut BTreeMap<u64, Change>, group: Option<u64>, handled: Option<bool>) {
    if let Some(group) = group {
        let change = changes.entry(group).or_insert_with(Change::none);
        change.all -= 1;
        change.open -= i64::from(handled == Some(false));
    }
}

/// Groups that are not there yet are given what their rows share; no group ever goes.
async fn name_new_groups(
    db: &mut MySqlConnection,
    changes: &mut BTreeMap<u64, Change>,
) -> sqlx::Result<()> {
    let asked: Vec<u64> = changes.keys().copied().collect();
    let mut known = BTreeSet::new();
    for run in asked.chunks(ROWS) {
        let mut query = QueryBuilder::<MySql>::new(
            "select fingerprint from failure_groups where fingerprint in (",
        );
        let mut list = query.separated(", ");
        for at in 0..ROWS {
            list.push_bind(run[at.min(run.len() - 1)]);
        }
        let found: Vec<u64> = query
            .push(")")
            .build_query_scalar()
            .fetch_all(&mut *db)
            .await?;
        known.extend(found);
    }
    for (fingerprint, change) in changes {
        if known.contains(fingerprint) {
            continue;
        }
        let row = sqlx::query!(
            "select step, error_class, error from failed_order_archives where id = ?",
            change.example
        )
        .fetch_optional(&mut *db)
        .await?;
        change.cause = row.map(|row| Cause::of(&row.step, row.error_class.as_deref(), &row.error));
    }
    Ok(())
}

/// Groups are locked in the order of their fingerprints, so that several who count wait, and do not deadlock.
async fn write(db: &mut MySqlConnection, changes: &BTreeMap<u64, Change>) -> sqlx::Result<()> {
    let changes: Vec<_> = changes.iter().collect();
    for run in changes.chunks(GROUPS) {
        let mut query = QueryBuilder::<MySql>::new(
            "insert into failure_groups (fingerprint, version, step, error_code, pattern, open_rows, all_rows, first_seen_at, \
             last_seen_at, example_id) ",
        );
        let filled_up = (0..GROUPS).map(|at| (run[at.min(run.len() - 1)], at < run.len()));
        query.push_values(filled_up, |mut row, ((fingerprint, change), counts)| {
            let cause = change.cause.as_ref();
            row.push_bind(*fingerprint)
                .push_bind(VERSION)
                .push_bind(cause.map_or("", |cause| &cause.step))
                .push_bind(cause.and_then(|cause| cause.code.as_deref()))
                .push_bind(cause.map_or("", |cause| &cause.pattern))
                .push_bind(if counts { change.open } else { 0 })
                .push_bind(if counts { change.all } else { 0 })
                .push_bind(change.first_seen)
                .push_bind(change.last_seen)
                .push_bind(change.example);
        });
        // Assigned from left to right: the example goes by the time before.
        query.push(
            " on duplicate key update open_rows = open_rows + values(open_rows), all_rows = all_rows + values(all_rows), \
             example_id = if(values(last_seen_at) >= last_seen_at, values(example_id), example_id), \
             first_seen_at = least(first_seen_at, values(first_seen_at)), last_seen_at = greatest(last_seen_at, values(last_seen_at))",
        );
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

impl Change {
    /// Seen never: the times of a group are what they were.
    fn none() -> Self {
        let at = |seconds| {
            DateTime::from_timestamp(seconds, 0)
                .unwrap_or_default()
                .naive_utc()
        };
        Self {
            cause: None,
            open: 0,
            all: 0,
            // The year 9999, and 1970.
            first_seen: at(253_370_764_800),
            last_seen: at(0),
            example: Uuid::nil(),
        }
    }

    fn seen(&mut self, first: NaiveDateTime, last: NaiveDateTime, row: Uuid) {
        self.first_seen = self.first_seen.min(first);
        if last >= self.last_seen {
            (self.last_seen, self.example) = (last, row);
        }
    }
}
