//! Transactions that are written down before they are decided: begun with their foreign participants, prepared once all of those
//! have promised, overdue when nobody decided them in time.

use super::{
    Stored,
    branches::{self, BranchState, Line},
    due_in, payload, read_locked,
};
use crate::{
    core::{Begun, ToBegin, Votes},
    foreign::Reply,
    ids::{Gid, Label, Token},
    state::TxState,
    statement::{push_list, runs},
    transaction::{Transaction, Work},
};
use serde::de::DeserializeOwned;
use sqlx::{Executor as _, MySql, MySqlConnection, MySqlPool, QueryBuilder, Row as _};
use std::{collections::HashMap, time::Duration};

/// Writes these down, with their branches, in a database transaction of its own: what is known of a transaction stays as it is. Again,
/// it changes nothing.
pub(crate) async fn begin<W: Work>(
    db: &mut MySqlConnection,
    mut to_begin: Vec<ToBegin<W>>,
    timeout: Duration,
) -> sqlx::Result<HashMap<Gid, Begun>> {
    to_begin.sort_unstable_by_key(|one| one.transaction.gid);
    let token = Token::fresh();
    db.execute("start transaction").await?;
    insert(db, token, &to_begin, timeout).await?;
    let gids: Vec<Gid> = to_begin.iter().map(|one| one.transaction.gid).collect();
    let rows = read_locked(db, &gids).await?;
    let (fresh, known): (Vec<&Stored>, Vec<&Stored>) =
        rows.iter().partition(|row| row.token == token);
    let mut begun: HashMap<Gid, Begun> = known
        .iter()
        .filter_map(|row| Some((row.gid, Begun::Decided(row.outcome()?))))
        .collect();
    let undecided = known.iter().filter(|row| row.outcome().is_none());
    let undecided: Vec<Gid> = undecided.map(|row| row.gid).collect();
    let to_ask = branches::to_ask(db, &undecided).await?;
    // Two who asked at once may have one promise each: together they are all.
    let promised = to_ask.iter().filter(|(_, begun)| begun.is_promised());
    let promised: Vec<Gid> = promised.map(|(gid, _)| *gid).collect();
    prepared(db, &promised).await?;
    begun.extend(to_ask);
    let foreign: HashMap<Gid, &Vec<String>> = to_begin
        .iter()
        .map(|one| (one.transaction.gid, &one.foreign))
        .collect();
    let fresh: Vec<(Gid, &Vec<String>)> = fresh
        .iter()
        .filter_map(|row| Some((row.gid, *foreign.get(&row.gid)?)))
        .collect();
    branches::insert(db, &fresh).await?;
    db.execute("commit").await?;
    begun.extend(fresh.into_iter().map(|(gid, names)| {
        let to_ask = names.clone();
        let refused = None;
        (gid, Begun::Undecided { to_ask, refused })
    }));
    Ok(begun)
}

async fn insert<W: Work>(
    db: &mut MySqlConnection,
    token: Token,
    to_begin: &[ToBegin<W>],
    timeout: Duration,
) -> sqlx::Result<()> {
    for rows in runs(to_begin) {
        let mut query = QueryBuilder::<MySql>::new(
            "insert into transactions (gid, kind, label, state, token, epoch, payload, branches, work, attempts, due_at, created_at) ",
        );
        query.push_values(rows, |mut row, one| {
            let ToBegin {
                transaction,
                foreign,
            } = one;
            row.push_bind(transaction.gid)
                .push_bind(transaction.work.kind())
                .push_bind(transaction.label)
                .push_bind(TxState::Begun.as_str())
                .push_bind(token)
                .push("0")
                .push_bind(payload(&transaction.work))
                .push_bind(u8::try_from(foreign.len()).unwrap_or(u8::MAX))
                .push_bind(json(&transaction.work))
                .push("0")
                .push(due_in(timeout))
                .push("utc_timestamp(3)");
        });
        query.push(" on duplicate key update gid = values(gid)");
        query.build().execute(&mut *db).await?;
    }
    Ok(())
}

fn json<W: Work>(work: &W) -> String {
    serde_json::to_string(work).unwrap_or_else(|cause| unreachable!("work is plain data: {cause}"))
}

/// Writes down what foreign participants said, in a database transaction of its own. Of what was decided meanwhile only the
/// branches are told more of.
pub(crate) async fn note(
    db: &mut MySqlConnection,
    votes: &[Votes],
    op: impl Fn(&str) -> &'static str,
) -> sqlx::Result<()> {
    let calls = votes.iter().flat_map(|one| {
        one.calls
            .iter()
            .map(move |(name, called)| (one.gid, name, called))
    });
    // Who was not called has not been asked, but it may have been before.
    let lines: Vec<Line<'_>> = calls
        .filter(|(_, _, called)| called.was_sent())
        .map(|(gid, name, called)| Line {
            gid,
            participant: name,
            is_foreign: true,
            state: voted(&called.reply),
            op: op(name),
            called,
            waits: None,
        })
        .collect();
    db.execute("start transaction").await?;
    let promised = votes.iter().filter(|one| one.is_promised);
    let promised: Vec<Gid> = promised.map(|one| one.gid).collect();
    prepared(db, &promised).await?;
    branches::write(db, &lines).await?;
    db.execute("commit").await?;
    Ok(())
}

async fn prepared(db: &mut MySqlConnection, gids: &[Gid]) -> sqlx::Result<()> {
    if gids.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<MySql>::new("update transactions set state = ");
    query
        .push_bind(TxState::Prepared.as_str())
        .push(" where state = ")
        .push_bind(TxState::Begun.as_str())
        .push(" and gid in ");
    push_list(&mut query, gids.iter().copied());
    query.build().execute(db).await.map(drop)
}

const fn voted(reply: &Reply) -> BranchState {
    match reply {
        Reply::Done => BranchState::Promised,
        Reply::No(_) => BranchState::Refused,
        Reply::Running(_) | Reply::Unknown(_) | Reply::Away(..) => BranchState::Unknown,
    }
}

/// The work of an undecided transaction as it was written down; `None` where there is none that is undecided.
pub(crate) async fn find_work<W: DeserializeOwned>(
    db: &mut MySqlConnection,
    gid: Gid,
) -> sqlx::Result<Option<(Label, W)>> {
    let row = sqlx::query(
        "select label, work from transactions where gid = ? and state in ('begun', 'prepared')",
    )
    .bind(gid)
    .fetch_optional(db)
    .await?;
    row.map(|row| Ok((row.try_get("label")?, read_work(row.try_get("work")?)?)))
        .transpose()
}

fn read_work<W: DeserializeOwned>(work: &str) -> sqlx::Result<W> {
    serde_json::from_str(work).map_err(|cause| sqlx::Error::Decode(Box::new(cause)))
}

/// Claims up to `limit` undecided transactions whose time is over, the oldest first, for `lease`: `None` where the work cannot be
/// read by this build.
pub(crate) async fn claim_overdue<W: Work>(
    db: &MySqlPool,
    lease: Duration,
    limit: u32,
) -> sqlx::Result<Vec<(Gid, Option<Transaction<W>>)>> {
    let mut tx = db.begin().await?;
    let mut rows = Vec::new();
    // One state at a time: in the index's order nothing else is looked at, or locked.
    for state in [TxState::Begun, TxState::Prepared] {
        rows.extend(
            sqlx::query!(
                r#"select gid as "gid: Gid", label as "label: Label", work from transactions
                   where state = ? and due_at <= utc_timestamp(3) order by due_at limit ? for update skip locked"#,
                state.as_str(),
                limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX))
            )
            .fetch_all(&mut *tx)
            .await?,
        );
    }
    if !rows.is_empty() {
        let mut query = QueryBuilder::<MySql>::new("update transactions set due_at = ");
        query.push(due_in(lease)).push(" where gid in ");
        push_list(&mut query, rows.iter().map(|row| row.gid));
        query.build().execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let work = row.work.as_deref().and_then(|work| read_work(work).ok());
            let transaction = work.map(|work| Transaction {
                gid: row.gid,
                label: row.label,
                work,
            });
            (row.gid, transaction)
        })
        .collect())
}
