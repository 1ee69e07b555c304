//! The table `transactions`: the log of decisions. Every statement on it is here.

use crate::{
    ids::{Gid, Label, Token},
    retry::Next,
    state::{Direction, Event, TxState},
    transaction::{Outcome, Work},
};
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder, Row, mysql::MySqlRow};
use std::time::Duration;

/// How long recovery leaves a fresh decision to the engine that made it.
const ENGINE_FIRST: Duration = Duration::from_secs(5);
/// What a statement carries at most; MySQL takes 65,535 placeholders.
const ROWS_A_STATEMENT: usize = 1_000;
/// The reason of a transaction that was rolled back because another transaction settled its order.
pub const SUPERSEDED: &str = "superseded";

/// A row as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub gid: Gid,
    pub state: TxState,
    pub token: Token,
    pub epoch: i64,
    pub reason: Option<String>,
}

impl Stored {
    /// The stored outcome; `None` while it is undecided.
    pub fn outcome(&self) -> Option<Outcome> {
        Some(match self.state.direction()? {
            Direction::Commit => Outcome::Committed,
            Direction::RollBack => Outcome::RolledBack {
                reason: self.reason.clone().unwrap_or_default(),
            },
        })
    }

    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        Ok(Self {
            gid: row.try_get("gid")?,
            state: state_of(row)?,
            token: row.try_get("token")?,
            epoch: row.try_get("epoch")?,
            reason: row.try_get("reason")?,
        })
    }
}

fn state_of(row: &MySqlRow) -> sqlx::Result<TxState> {
    row.try_get::<&str, _>("state")?
        .parse()
        .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))
}

/// Locks the rows of `transactions`, which must be sorted by gid: new ones are inserted under `token`, undecided ones take it,
/// decided ones keep theirs.
///
/// A new row is written as already committing, which is what nearly all of them become; [`record`] writes what each became
/// before anyone can see it.
pub(crate) async fn claim<W: Work>(
    db: &mut MySqlConnection,
    token: Token,
    transactions: &[(Gid, Label, &W)],
) -> sqlx::Result<()> {
    for rows in transactions.chunks(ROWS_A_STATEMENT) {
        let mut query = QueryBuilder::<MySql>::new(
            "insert into transactions (gid, kind, label, state, token, epoch, payload, attempts, due_at, created_at) ",
        );
        query.push_values(rows, |mut row, (gid, label, work)| {
            row.push_bind(gid)
                .push_bind(work.kind())
                .push_bind(label)
                .push_bind(TxState::Committing.as_str())
                .push_bind(token)
                .push("0")
                .push_bind(payload(*work))
                .push("0")
                .push(due_in(ENGINE_FIRST))
                .push("utc_timestamp(3)");
        });
        query.push(" on duplicate key update token = if(state in ('begun', 'prepared'), values(token), token)");
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

fn payload<W: Work>(work: &W) -> String {
    serde_json::to_string(&work.branch())
        .unwrap_or_else(|cause| unreachable!("a branch is plain data: {cause}"))
}

/// An SQL expression for a time from now, by the database's clock.
fn due_in(after: Duration) -> String {
    format!(
        "utc_timestamp(3) + interval {} microsecond",
        after.as_micros()
    )
}

/// Reads rows this session has locked, or that nobody is deciding.
pub(crate) async fn read(db: &mut MySqlConnection, gids: &[Gid]) -> sqlx::Result<Vec<Stored>> {
    read_with(db, gids, "").await
}

/// Reads rows under a lock: waits for whoever may be committing them, at most `innodb_lock_wait_timeout`.
pub(crate) async fn read_locked(
    db: &mut MySqlConnection,
    gids: &[Gid],
) -> sqlx::Result<Vec<Stored>> {
    read_with(db, gids, " for update").await
}

async fn read_with(
    db: &mut MySqlConnection,
    gids: &[Gid],
    lock: &str,
) -> sqlx::Result<Vec<Stored>> {
    let mut found = Vec::with_capacity(gids.len());
    for gids in gids.chunks(ROWS_A_STATEMENT) {
        let mut query = QueryBuilder::<MySql>::new(
            "select gid, state, token, epoch, reason from transactions where gid in ",
        );
        push_gids(&mut query, gids.iter().copied());
        query.push(lock);
        for row in query.build().fetch_all(&mut *db).await? {
            found.push(Stored::from_row(&row)?);
        }
    }
    Ok(found)
}

/// Writes what claimed rows became. All of `gids` became the same.
pub(crate) async fn record(
    db: &mut MySqlConnection,
    gids: &[Gid],
    state: TxState,
    reason: Option<&str>,
    epoch: i64,
) -> sqlx::Result<()> {
    for gids in gids.chunks(ROWS_A_STATEMENT) {
        let mut query = QueryBuilder::<MySql>::new("update transactions set state = ");
        query
            .push_bind(state.as_str())
            .push(", reason = ")
            .push_bind(reason)
            .push(", epoch = ")
            .push_bind(epoch);
        if matches!(state, TxState::Committed | TxState::RolledBack) {
            query.push(", finished_at = utc_timestamp(3)");
        }
        query.push(" where gid in ");
        push_gids(&mut query, gids.iter().copied());
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

/// Marks transactions whose every branch has answered. Guarded by the state they had: a late mark changes nothing.
pub(crate) async fn finish(
    db: &mut MySqlConnection,
    direction: Direction,
    gids: &[Gid],
) -> sqlx::Result<()> {
    for gids in gids.chunks(ROWS_A_STATEMENT) {
        let mut query = QueryBuilder::<MySql>::new("update transactions set state = ");
        query.push_bind(direction.finished().as_str());
        query
            .push(", finished_at = utc_timestamp(3), last_error = null where state = ")
            .push_bind(direction.decided().as_str());
        query.push(" and gid in ");
        push_gids(&mut query, gids.iter().copied());
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

/// A decided transaction that still owes its participants a call.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pub gid: Gid,
    pub epoch: i64,
    pub payload: String,
    pub attempts: i32,
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
        r#"select gid as "gid: Gid", epoch, payload, attempts from transactions
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

async fn postpone(
    db: &mut MySqlConnection,
    gids: &[Gid],
    due_at: &str,
    why: Option<&str>,
) -> sqlx::Result<()> {
    for gids in gids.chunks(ROWS_A_STATEMENT) {
        let mut query = QueryBuilder::<MySql>::new("update transactions set due_at = ");
        query.push(due_at);
        if let Some(why) = why {
            query.push(", last_error = ").push_bind(evidence(why));
        }
        query.push(" where state in ('committing', 'rolling_back') and gid in ");
        push_gids(&mut query, gids.iter().copied());
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
    for gids in gids.chunks(ROWS_A_STATEMENT) {
        let mut query = QueryBuilder::<MySql>::new("update transactions set state = ");
        query
            .push_bind(state.as_str())
            .push(", attempts = attempts + 1, due_at = ")
            .push(&due_at)
            .push(", last_error = ")
            .push_bind(evidence(&failure.why))
            .push(" where state = ")
            .push_bind(decided.as_str())
            .push(" and attempts = ")
            .push_bind(failure.attempts)
            .push(" and gid in ");
        push_gids(&mut query, gids.iter().copied());
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

fn given_up(decided: TxState) -> sqlx::Result<TxState> {
    decided
        .on(Event::AttemptsExhausted)
        .map_err(|illegal| sqlx::Error::Protocol(illegal.to_string()))
}

/// As much of a reason as a row holds.
fn evidence(why: &str) -> String {
    why.chars().take(500).collect()
}

/// An SQL expression for about a time from now, another one for each row.
fn due_about(after: Duration, jitter: f64) -> String {
    let share = jitter.clamp(0.0, 0.9);
    format!(
        "utc_timestamp(3) + interval round({} * (1 + {share} * (2 * rand() - 1))) microsecond",
        after.as_micros()
    )
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

/// Deletes these by primary key, where they still are as they were found. Tells how many.
pub(crate) async fn forget(
    db: &MySqlPool,
    direction: Direction,
    keep: Duration,
    gids: &[Gid],
) -> sqlx::Result<u64> {
    if gids.is_empty() {
        return Ok(0);
    }
    let mut query = QueryBuilder::<MySql>::new("delete from transactions where gid in ");
    push_gids(&mut query, gids.iter().copied());
    query
        .push(" and state = ")
        .push_bind(direction.finished().as_str())
        .push(" and finished_at < utc_timestamp(3) - interval ")
        .push_bind(i64::try_from(keep.as_secs()).unwrap_or(i64::MAX))
        .push(" second");
    Ok(query.build().execute(db).await?.rows_affected())
}

fn push_gids(query: &mut QueryBuilder<MySql>, gids: impl Iterator<Item = Gid>) {
    query.push("(");
    let mut list = query.separated(", ");
    for gid in gids {
        list.push_bind(gid);
    }
    query.push(")");
}
