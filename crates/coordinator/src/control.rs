//! What operators see: transactions in pages, unfinished ones first, and one with everything that is known of it.
//!
//! Reads only, without locks, on any pool; the figures of a page are those of the moment. Every page is found by the index that
//! recovery goes by, so its cost does not grow with what is finished. To let a stuck one go on see [`resume`](crate::resume()); to
//! stop one, [`stop()`].

mod branches;
mod cursor;
mod stop;

pub use branches::{BranchAttempt, BranchDetails};
pub use cursor::{BadCursor, Cursor};
pub use stop::{StopError, handed_over, stop, stuck_to_hand_over};

use crate::{
    ids::{Gid, Label},
    log,
    state::{Direction, TxState},
    transaction::Work,
};
use chrono::{DateTime, Utc};
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder, Row as _, mysql::MySqlRow};
use std::time::Duration;

/// The order of the list: what a person must look at, what is on its way, what is finished.
const ORDER: [TxState; 8] = [
    TxState::StuckCommitting,
    TxState::StuckRollingBack,
    TxState::Begun,
    TxState::Prepared,
    TxState::Committing,
    TxState::RollingBack,
    TxState::RolledBack,
    TxState::Committed,
];
/// Rows of a page, at most.
const PAGE_AT_MOST: usize = 100;
/// Rows read at once where a filter leaves some out.
const LOOK_AT: usize = 1_000;
/// Rows a page reads at most before it is given as it is.
const LOOK_AT_MOST: usize = 20_000;
const COLUMNS: &str = "gid, kind, label, state, epoch, reason, attempts, due_at, last_error, created_at, finished_at, \
     cast(timestampdiff(microsecond, created_at, coalesce(finished_at, utc_timestamp(3))) div 1000 as signed) as age_ms";

/// Which transactions are listed. Empty: all of them.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those in one of these; empty: in any state.
    pub states: Vec<TxState>,
    /// Only those of this kind of work.
    pub kind: Option<String>,
    /// Only those that contend for this.
    pub label: Option<Label>,
    /// Only those with this participant among their written branches: a foreign one, or one that failed.
    pub participant: Option<String>,
    /// Only those that took, or have taken so far, at least so long.
    pub older_than: Option<Duration>,
}

/// A transaction as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The transaction.
    pub gid: Gid,
    /// Its kind of work: see [`Work::kind`].
    pub kind: String,
    /// What it contends for.
    pub label: Label,
    /// Where it stands.
    pub state: TxState,
    /// Which way it was decided; `None` before.
    pub direction: Option<Direction>,
    /// The label's epoch at the decision.
    pub epoch: i64,
    /// Why it was rolled back: a short code.
    pub reason: Option<String>,
    /// Completing attempts that failed since it was decided, or resumed.
    pub attempts: u32,
    /// When recovery looks at it next. Means nothing once it is stuck or finished.
    pub due_at: DateTime<Utc>,
    /// Why its last completing attempt came to nothing. Gone once it is finished.
    pub last_error: Option<String>,
    /// When it was first written down.
    pub created_at: DateTime<Utc>,
    /// When every branch had answered.
    pub finished_at: Option<DateTime<Utc>>,
    /// Milliseconds from then to its end, or until now, by the database's clock.
    pub age_ms: i64,
}

/// A transaction with what its participants are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Its row.
    pub transaction: Listed,
    /// The stored branch, as JSON, whether it can be read or not.
    pub payload: String,
    /// What is known of its participants, by name.
    pub branches: Vec<BranchDetails>,
}

/// A part of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the list's order. Fewer than were asked for, or none, where a filter leaves much out; go on from `next`.
    pub items: Vec<Listed>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

/// A page of at most `limit` (1 to 100) transactions after `after`, or the first.
///
/// Stuck ones come first, then those on their way, the one that is looked at next before others; then the finished ones, newest
/// first. A row that moves while pages are turned may be seen twice, or not at all.
///
/// # Errors
/// What the database says.
pub async fn list(
    db: &MySqlPool,
    filter: &Filter,
    after: Option<&Cursor>,
    limit: usize,
) -> sqlx::Result<Page> {
    let limit = limit.clamp(1, PAGE_AT_MOST);
    let is_whole = filter.is_by_state_alone();
    let rows_at_once = if is_whole { limit } else { LOOK_AT };
    let mut items = Vec::new();
    let mut after = after.cloned();
    let mut looked = 0;
    for state in states_after(filter, after.as_ref()) {
        loop {
            let from = after.as_ref().filter(|cursor| cursor.state == state);
            let rows = read(db, filter, state, from, rows_at_once).await?;
            looked += rows.len();
            let is_last = rows.len() < rows_at_once;
            for (row, is_wanted) in rows {
                after = Some(Cursor::of(&row));
                if is_wanted && filter.lets_through(&row) {
                    items.push(row);
                }
                if items.len() == limit {
                    return Ok(Page { items, next: after });
                }
            }
            if is_last {
                break;
            }
            if looked >= LOOK_AT_MOST {
                return Ok(Page { items, next: after });
            }
        }
    }
    Ok(Page { items, next: None })
}

/// One transaction; `None` where there is none, or retention removed it.
///
/// # Errors
/// What the database says.
pub async fn get(db: &MySqlPool, gid: Gid) -> sqlx::Result<Option<Details>> {
    get_in(&mut *db.acquire().await?, gid).await
}

/// The work of a transaction that was begun and is not decided, as it was written down; `None` where there is none that is undecided.
///
/// # Errors
/// What the database says; [`sqlx::Error::Decode`] where only a newer build can read it.
pub async fn undecided<W: Work>(db: &mut MySqlConnection, gid: Gid) -> sqlx::Result<Option<W>> {
    let found = log::find_work(db, gid).await?;
    Ok(found.map(|(_, work)| work))
}

async fn get_in(db: &mut MySqlConnection, gid: Gid) -> sqlx::Result<Option<Details>> {
    let mut query = QueryBuilder::<MySql>::new("select payload, ");
    query
        .push(COLUMNS)
        .push(" from transactions where gid = ")
        .push_bind(gid);
    let Some(row) = query.build().fetch_optional(&mut *db).await? else {
        return Ok(None);
    };
    let transaction = Listed::from_row(&row)?;
    let branches = branches::of(db, gid, transaction.state).await?;
    Ok(Some(Details {
        transaction,
        payload: row.try_get("payload")?,
        branches,
    }))
}

/// The states still to be read, in the list's order.
fn states_after(filter: &Filter, after: Option<&Cursor>) -> impl Iterator<Item = TxState> + use<> {
    let wanted = filter.states.clone();
    let begun = after.map(|cursor| cursor.state);
    ORDER
        .into_iter()
        .skip_while(move |state| begun.is_some_and(|begun| begun != *state))
        .filter(move |state| wanted.is_empty() || wanted.contains(state))
}

async fn read(
    db: &MySqlPool,
    filter: &Filter,
    state: TxState,
    after: Option<&Cursor>,
    limit: usize,
) -> sqlx::Result<Vec<(Listed, bool)>> {
    let is_finished = matches!(state, TxState::Committed | TxState::RolledBack);
    let (beyond, order) = if is_finished {
        ("<", "desc")
    } else {
        (">", "asc")
    };
    let mut query = QueryBuilder::<MySql>::new("select ");
    query.push(COLUMNS);
    match &filter.participant {
        None => query.push(", 1 as is_wanted"),
        Some(name) => query
            .push(
                ", exists (select 1 from transaction_branches b \
                 where b.gid = transactions.gid and b.participant = ",
            )
            .push_bind(name)
            .push(") as is_wanted"),
    };
    query
        .push(" from transactions where state = ")
        .push_bind(state.as_str());
    if let Some(after) = after {
        let (due_at, created_at) = (after.due_at.naive_utc(), after.created_at.naive_utc());
        // The first condition is what the index can use; the second is the place in it.
        query
            .push(format!(" and due_at {beyond}= "))
            .push_bind(due_at);
        query
            .push(format!(" and (due_at {beyond} "))
            .push_bind(due_at);
        query
            .push(format!(" or created_at {beyond} "))
            .push_bind(created_at);
        query.push(" or (created_at = ").push_bind(created_at);
        query
            .push(format!(" and gid {beyond} "))
            .push_bind(after.gid);
        query.push("))");
    }
    query.push(format!(
        " order by due_at {order}, created_at {order}, gid {order} limit {limit}"
    ));
    let rows = query.build().fetch_all(db).await?;
    rows.iter()
        .map(|row| Ok((Listed::from_row(row)?, row.try_get("is_wanted")?)))
        .collect()
}

impl Filter {
    const fn is_by_state_alone(&self) -> bool {
        self.kind.is_none()
            && self.label.is_none()
            && self.participant.is_none()
            && self.older_than.is_none()
    }

    fn lets_through(&self, row: &Listed) -> bool {
        let age = Duration::from_millis(u64::try_from(row.age_ms).unwrap_or_default());
        self.kind.as_ref().is_none_or(|kind| *kind == row.kind)
            && self.label.is_none_or(|label| label == row.label)
            && self.older_than.is_none_or(|least| age >= least)
    }
}

impl Listed {
    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        let state: TxState = row
            .try_get::<&str, _>("state")?
            .parse()
            .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))?;
        Ok(Self {
            gid: row.try_get("gid")?,
            kind: row.try_get("kind")?,
            label: row.try_get("label")?,
            state,
            direction: state.direction(),
            epoch: row.try_get("epoch")?,
            reason: row.try_get("reason")?,
            attempts: u32::try_from(row.try_get::<i32, _>("attempts")?).unwrap_or_default(),
            due_at: row.try_get("due_at")?,
            last_error: row.try_get("last_error")?,
            created_at: row.try_get("created_at")?,
            finished_at: row.try_get("finished_at")?,
            age_ms: row.try_get("age_ms")?,
        })
    }
}
