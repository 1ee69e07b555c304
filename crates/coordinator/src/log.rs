//! The log of decisions: the table `transactions`, and `transaction_branches` beside it. Every statement that changes them is here.

mod begun;
mod branches;
mod unfinished;

pub(crate) use begun::{begin, claim_overdue, find_work, note};
pub use branches::{BranchState, UnknownBranchState};
pub(crate) use branches::{
    Line, ToTell, Waits, come_back, state_of as branch_state, to_tell, wait_for_turn, wake, write,
};
pub use unfinished::{Backlog, backlog, backlog_within};
pub(crate) use unfinished::{
    Failure, Unfinished, claim_due, failed, finished_before, forget, lease, not_now, park,
};

use crate::{
    epochs::Epochs,
    ids::{Gid, Token},
    state::{Direction, TxState},
    statement::{ROWS_AT_MOST, push_list, runs},
    transaction::{Outcome, Transaction, Work},
};
use sqlx::{MySql, MySqlConnection, QueryBuilder, Row, mysql::MySqlRow};
use std::time::Duration;

/// How long recovery leaves a fresh decision to the engine that made it.
const ENGINE_FIRST: Duration = Duration::from_secs(5);
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
    /// How many foreign participants it has.
    pub branches: u8,
}

impl Stored {
    /// Whether it was begun with foreign participants that have not all promised.
    pub fn waits_for_promises(&self) -> bool {
        self.state == TxState::Begun && self.branches > 0
    }

    /// Whether it is what it is to become.
    pub fn says(&self, state: TxState, reason: Option<&str>, epoch: i64) -> bool {
        self.state == state && self.reason.as_deref() == reason && self.epoch == epoch
    }

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
            branches: row.try_get("branches")?,
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
/// A new row is written as already committing in the epoch its label had last, which is what nearly all of them become; [`record`]
/// writes what the others became before anyone can see it.
pub(crate) async fn claim<W: Work>(
    db: &mut MySqlConnection,
    token: Token,
    transactions: &[&Transaction<W>],
    epochs: &Epochs,
) -> sqlx::Result<()> {
    for rows in runs(transactions) {
        let mut query = QueryBuilder::<MySql>::new(
            "insert into transactions (gid, kind, label, state, token, epoch, payload, attempts, due_at, created_at) ",
        );
        query.push_values(rows, |mut row, transaction| {
            row.push_bind(transaction.gid)
                .push_bind(transaction.work.kind())
                .push_bind(transaction.label)
                .push_bind(TxState::Committing.as_str())
                .push_bind(token)
                .push_bind(epochs.guess(transaction.label))
                .push_bind(payload(&transaction.work))
                .push("0")
                .push(due_in(ENGINE_FIRST))
                .push("utc_timestamp(3)");
        });
        query.push(" on duplicate key update token = if(state in ('begun', 'prepared'), values(token), token)");
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

pub(crate) fn payload<W: Work>(work: &W) -> String {
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
    for gids in gids.chunks(ROWS_AT_MOST) {
        let mut query = QueryBuilder::<MySql>::new(
            "select gid, state, token, epoch, reason, branches from transactions where gid in ",
        );
        push_list(&mut query, gids.iter().copied());
        query.push(lock);
        for row in query.build().fetch_all(&mut *db).await? {
            found.push(Stored::from_row(&row)?);
        }
    }
    Ok(found)
}

/// Writes what claimed rows became. All of `gids` became the same, and all or none of them had been begun.
pub(crate) async fn record(
    db: &mut MySqlConnection,
    gids: &[Gid],
    state: TxState,
    reason: Option<&str>,
    epoch: i64,
    was_begun: bool,
) -> sqlx::Result<()> {
    for gids in gids.chunks(ROWS_AT_MOST) {
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
        if was_begun {
            let due_at = due_in(ENGINE_FIRST);
            query.push(format!(", work = null, due_at = {due_at}"));
        }
        query.push(" where gid in ");
        push_list(&mut query, gids.iter().copied());
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

/// Marks transactions whose every branch has answered. Guarded by the state they had, and by what is known of foreign participants:
/// a late mark changes nothing, nor one by somebody who saw them in another state.
pub(crate) async fn finish(
    db: &mut MySqlConnection,
    direction: Direction,
    gids: &[Gid],
) -> sqlx::Result<()> {
    for gids in gids.chunks(ROWS_AT_MOST) {
        let mut query = QueryBuilder::<MySql>::new("update transactions set state = ");
        query.push_bind(direction.finished().as_str());
        query
            .push(", finished_at = utc_timestamp(3), last_error = null where state = ")
            .push_bind(direction.decided().as_str())
            .push(
                " and (branches = 0 or not exists (select 1 from transaction_branches b where b.gid = transactions.gid \
                 and b.is_foreign and b.state not in ('done', 'refused'))) and gid in ",
            );
        push_list(&mut query, gids.iter().copied());
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

/// An SQL expression for about a time from now, another one for each row.
fn due_about(after: Duration, jitter: f64) -> String {
    let share = jitter.clamp(0.0, 0.9);
    format!(
        "utc_timestamp(3) + interval round({} * (1 + {share} * (2 * rand() - 1))) microsecond",
        after.as_micros()
    )
}

/// As much of a reason as a row holds.
fn evidence(why: &str) -> String {
    why.chars().take(500).collect()
}
