//! What was decided and is not finished: claimed when it is due, put off, counted, given up; and what was finished long ago.

use super::{due_about, due_in, evidence};
use crate::{
    ids::Gid,
    retry::Next,
    state::{Direction, Event, TxState},
    statement::{ROWS_AT_MOST, push_list},
};
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder};
use std::time::Duration;

/// How long what is parked is left alone should nobody wake it.
const PARKED: Duration = Duration::from_hours(1);

/// A decided transaction that still owes its participants a call.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pub gid: Gid,
    pub epoch: i64,
    pub payload: String,
    pub attempts: i32,
    pub branches: u8,
}

/// Claims up to `limit` unfinished transactions of one direction that are due by the database's clock, oldest first, for
/// `lease`. Many may call it at once; a crashed one's rows come back by themselves.
pub(crate) async fn claim_due(
    db: &MySqlPool,
    direction: Direction,
    lease: Duration,
    limit: u32,
) -> sqlx::Result<Vec<Unfinished>> {
    let mut tx = db.begin().await?;
    let due = sqlx::query_as!(
        Unfinished,
        r#"select gid as "gid: Gid", epoch, payload, attempts, branches from transactions
           where state = ? and due_at <= utc_timestamp(3) order by due_at limit ? for update skip locked"#,
        direction.decided().as_str(),
        limit
    )
    .fetch_all(&mut *tx)
    .await?;
    let gids: Vec<Gid> = due.iter().map(|row| row.gid).collect();
    postpone(&mut tx, &gids, &due_in(lease), None).await?;
    tx.commit().await?;
    Ok(due)
}

/// Lets recovery look at these again after about `after`, and keeps why they are not finished. Counts nothing.
pub(crate) async fn not_now(
    db: &mut MySqlConnection,
    gids: &[Gid],
    after: Duration,
    jitter: f64,
    why: &str,
) -> sqlx::Result<()> {
    postpone(db, gids, &due_about(after, jitter), Some(why)).await
}

/// Lets these wait until the participant they wait for may be called again: see [`wake`](super::wake). Counts nothing.
pub(crate) async fn park(db: &mut MySqlConnection, gids: &[Gid], why: &str) -> sqlx::Result<()> {
    postpone(db, gids, &due_about(PARKED, 0.2), Some(why)).await
}

/// Leaves these to whoever calls it, for so long.
pub(crate) async fn lease(
    db: &mut MySqlConnection,
    gids: &[Gid],
    lease: Duration,
) -> sqlx::Result<()> {
    postpone(db, gids, &due_in(lease), None).await
}

async fn postpone(
    db: &mut MySqlConnection,
    gids: &[Gid],
    due_at: &str,
    why: Option<&str>,
) -> sqlx::Result<()> {
    for gids in gids.chunks(ROWS_AT_MOST) {
        let mut query = QueryBuilder::<MySql>::new("update transactions set due_at = ");
        query.push(due_at);
        if let Some(why) = why {
            query.push(", last_error = ").push_bind(evidence(why));
        }
        query.push(" where state in ('committing', 'rolling_back') and gid in ");
        push_list(&mut query, gids.iter().copied());
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

/// A completing attempt that failed: how often it had failed before, which way it was decided, and why it failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Failure {
    pub attempts: i32,
    pub why: String,
}

/// Counts a failed attempt of each of these and says when the next one is, or that there is none. Guarded by the state and the count
/// they were claimed with: one who was overtaken counts nothing.
pub(crate) async fn failed(
    db: &mut MySqlConnection,
    direction: Direction,
    gids: &[Gid],
    failure: &Failure,
    next: Next,
    jitter: f64,
) -> sqlx::Result<()> {
    let decided = direction.decided();
    let (state, due_at) = match next {
        Next::After(wait) => (decided, due_about(wait, jitter)),
        Next::Stuck => (given_up(decided)?, "due_at".to_owned()),
    };
    for gids in gids.chunks(ROWS_AT_MOST) {
        let mut query = QueryBuilder::<MySql>::new("update transactions set state = ");
        query
            .push_bind(state.as_str())
            .push(", handed_over = 0, attempts = attempts + 1, due_at = ")
            .push(&due_at)
            .push(", last_error = ")
            .push_bind(evidence(&failure.why))
            .push(" where state = ")
            .push_bind(decided.as_str())
            .push(" and attempts = ")
            .push_bind(failure.attempts)
            .push(" and gid in ");
        push_list(&mut query, gids.iter().copied());
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

fn given_up(decided: TxState) -> sqlx::Result<TxState> {
    decided
        .on(Event::AttemptsExhausted)
        .map_err(|illegal| sqlx::Error::Protocol(illegal.to_string()))
}

/// How many transactions are in one state that is not final, and how long the oldest has been there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// The state's stored name.
    pub state: String,
    /// How many.
    pub count: i64,
    /// Age of the oldest, in seconds.
    pub oldest_s: i64,
    /// How many are older than a minute.
    pub late: i64,
}

impl Backlog {
    /// How many a person should know of: what is stuck, and what is late.
    #[must_use]
    pub fn hanging(&self) -> i64 {
        if self.state.starts_with("stuck") {
            self.count
        } else {
            self.late
        }
    }
}

/// Counts what is not finished, by state. Reads the index only.
///
/// # Errors
/// What the database says.
pub async fn backlog(db: &MySqlPool) -> sqlx::Result<Vec<Backlog>> {
    sqlx::query_as!(
        Backlog,
        r#"select state, count(*) as count,
                  cast(coalesce(timestampdiff(second, min(created_at), utc_timestamp(3)), 0) as signed) as "oldest_s!: i64",
                  cast(coalesce(sum(created_at < utc_timestamp(3) - interval 1 minute), 0) as signed) as "late!: i64"
           from transactions
           where state in ('begun', 'prepared', 'committing', 'rolling_back', 'stuck_committing', 'stuck_rolling_back')
           group by state"#
    )
    .fetch_all(db)
    .await
}

/// The same, each state counted to `at_most`, those that are due first before the others: an outage's rows keep no page waiting. Reads
/// the index `transactions_by_due` only.
///
/// # Errors
/// What the database says.
pub async fn backlog_within(db: &MySqlPool, at_most: u32) -> sqlx::Result<Vec<Backlog>> {
    const UNFINISHED: [TxState; 6] = [
        TxState::Begun,
        TxState::Prepared,
        TxState::Committing,
        TxState::RollingBack,
        TxState::StuckCommitting,
        TxState::StuckRollingBack,
    ];
    let mut backlog = Vec::with_capacity(UNFINISHED.len());
    for state in UNFINISHED {
        let found = sqlx::query!(
            r#"select cast(count(*) as signed) as "count!: i64",
                      cast(coalesce(timestampdiff(second, min(created_at), utc_timestamp(3)), 0) as signed) as "oldest_s!: i64",
                      cast(coalesce(sum(created_at < utc_timestamp(3) - interval 1 minute), 0) as signed) as "late!: i64"
               from (select created_at from transactions force index (transactions_by_due)
                     where state = ? order by due_at limit ?) first"#,
            state.as_str(),
            at_most
        )
        .fetch_one(db)
        .await?;
        if found.count > 0 {
            backlog.push(Backlog {
                state: state.as_str().to_owned(),
                count: found.count,
                oldest_s: found.oldest_s,
                late: found.late,
            });
        }
    }
    Ok(backlog)
}

/// Some transactions that ended one way longer ago than `keep`, about the oldest. Locks nothing.
///
/// A finished row was due last shortly before it ended, so that the index by which recovery goes finds it here too.
pub(crate) async fn finished_before(
    db: &MySqlPool,
    direction: Direction,
    keep: Duration,
    limit: u32,
) -> sqlx::Result<Vec<Gid>> {
    let keep_s = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
    sqlx::query_scalar!(
        r#"select gid as "gid: Gid" from transactions
           where state = ? and due_at < utc_timestamp(3) - interval ? second and finished_at < utc_timestamp(3) - interval ? second
           order by due_at limit ?"#,
        direction.finished().as_str(),
        keep_s,
        keep_s,
        limit
    )
    .fetch_all(db)
    .await
}

/// Deletes these by primary key, where they still are as they were found, with their branches. Tells how many.
pub(crate) async fn forget(
    db: &MySqlPool,
    direction: Direction,
    keep: Duration,
    gids: &[Gid],
) -> sqlx::Result<u64> {
    if gids.is_empty() {
        return Ok(0);
    }
    let mut tx = db.begin().await?;
    let mut query = QueryBuilder::<MySql>::new("select gid from transactions where gid in ");
    push_list(&mut query, gids.iter().copied());
    query
        .push(" and state = ")
        .push_bind(direction.finished().as_str())
        .push(" and finished_at < utc_timestamp(3) - interval ")
        .push_bind(i64::try_from(keep.as_secs()).unwrap_or(i64::MAX))
        .push(" second for update skip locked");
    let still: Vec<Gid> = query.build_query_scalar().fetch_all(&mut *tx).await?;
    if still.is_empty() {
        return Ok(0);
    }
    for table in ["transaction_branches", "transactions"] {
        let mut query = QueryBuilder::<MySql>::new(format!("delete from {table} where gid in "));
        push_list(&mut query, still.iter().copied());
        query.build().execute(&mut *tx).await?;
    }
    let removed = u64::try_from(still.len()).unwrap_or(u64::MAX);
    tx.commit().await?;
    Ok(removed)
}
