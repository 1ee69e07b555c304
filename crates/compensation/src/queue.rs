//! The table `compensations`: work that failed, until it is settled. Every statement on it is here.
//!
//! Due times and claims are by the database's clock. A claim is a token: whoever lost it changes nothing any more.

use crate::{
    attempt::History,
    headers::Headers,
    state::{Event, IllegalMove, State},
};
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder, Transaction};
use std::{collections::HashSet, time::Duration};
use tracing::error;
use uuid::Uuid;

/// What a statement carries at most.
const ROWS_A_STATEMENT: usize = 1_000;
/// The longest error that is kept beside the history, in characters.
const ERROR_AT_MOST: usize = 1_000;
/// When work is looked at again whose order is in other hands.
const ORDER_IS_BUSY: Duration = Duration::from_millis(200);

/// Work as it comes in.
#[derive(Debug, Clone)]
pub struct NewWork {
    /// The transaction that is to decide it.
    pub gid: Uuid,
    /// What kind of work it is, at most 16 characters.
    pub kind: &'static str,
    /// Whose work it is.
    pub order_id: Uuid,
    /// 0, or the replay it is.
    pub generation: u32,
    /// What it contends for.
    pub sale_id: Uuid,
    /// Who asked for it.
    pub user_id: Uuid,
    /// [`State::Scheduled`], [`State::Dead`] or [`State::Archiving`].
    pub state: State,
    /// Tries of this generation so far.
    pub attempts: u32,
    /// When it is tried next.
    pub due_after: Duration,
    /// The message.
    pub payload: Vec<u8>,
    /// Its headers.
    pub headers: Headers,
    /// What was tried so far, older generations included.
    pub history: History,
    /// The latest error.
    pub error: Option<String>,
}

/// Work in the hands of one worker.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The transaction that is to decide it.
    pub gid: Uuid,
    /// Whose work it is.
    pub order_id: Uuid,
    /// 0, or the replay it is.
    pub generation: u32,
    /// What it contends for.
    pub sale_id: Uuid,
    /// Who asked for it.
    pub user_id: Uuid,
    /// Where it stands.
    pub state: State,
    /// Tries of this generation so far.
    pub attempts: u32,
    /// The message.
    pub payload: Vec<u8>,
    /// Its headers.
    pub headers: Headers,
    /// What was tried so far.
    pub history: History,
    /// The latest error.
    pub error: Option<String>,
    /// Whether the dead-letter topic has it.
    pub published: bool,
    /// Whether an operator gave it up.
    pub given_up: bool,
    claim: Uuid,
}

/// Takes work in. `false`: it is known (the same gid, or the same generation of the same order), and stays as it is. Of several at
/// once one takes it in, the others wait for its end.
///
/// # Errors
/// What the database says.
pub async fn enqueue(db: &mut MySqlConnection, work: &NewWork) -> sqlx::Result<bool> {
    // Not `on duplicate key update`: that does not tell who took it in.
    let inserted = sqlx::query!(
        "insert into compensations (gid, kind, order_id, generation, sale_id, user_id, state, attempts, due_at, payload, headers, \
         history, last_error, created_at)
         values (?, ?, ?, ?, ?, ?, ?, ?, utc_timestamp(3) + interval ? microsecond, ?, ?, ?, ?, utc_timestamp(3))",
        work.gid,
        work.kind,
        work.order_id,
        work.generation,
        work.sale_id,
        work.user_id,
        work.state.as_str(),
        work.attempts,
        micros(work.due_after),
        work.payload,
        work.headers.to_json(),
        work.history.to_json(),
        work.error.as_deref().map(short)
    )
    .execute(db)
    .await;
    match inserted {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(cause)) if cause.is_unique_violation() => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// Whose wish it is that work is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It came by itself: a buyer waits for it.
    Own,
    /// An operator replays it.
    Replay,
}

/// Claims up to `limit` pieces of work in `state` that are due, oldest first, for `lease`. Many may call it at once; the work of a
/// worker that died comes back by itself.
///
/// Of one order only one piece is in hand at a time, and the oldest generation first.
///
/// # Errors
/// What the database says. Work whose stored texts cannot be read is left out and told of: a newer build may read them.
pub async fn claim_due(
    db: &MySqlPool,
    state: State,
    lease: Duration,
    limit: u32,
) -> sqlx::Result<Vec<Claimed>> {
    let mut tx = db.begin().await?;
    let due = sqlx::query_as!(
        Row,
        r#"select gid as "gid: _", order_id as "order_id: _", generation as "generation: u32", sale_id as "sale_id: _",
                  user_id as "user_id: _", attempts as "attempts: u32", payload, headers, history, last_error,
                  published_at is not null as "published: bool", given_up as "given_up: bool"
           from compensations as due force index (compensations_by_due) where state = ? and due_at <= utc_timestamp(3)
             and not exists (
               select 1 from compensations as other force index (compensations_by_order)
               where other.order_id = due.order_id and other.gid <> due.gid and other.state in ('scheduled', 'dead', 'archiving')
                 and (other.generation < due.generation or (other.claim is not null and other.due_at > utc_timestamp(3))))
           order by due_at limit ? for update skip locked"#,
        state.as_str(),
        limit
    )
    .fetch_all(&mut *tx)
    .await?;
    hold(db, tx, due, state, lease).await
}

/// As [`claim_due`], of those alone whose turn it is.
///
/// # Errors
/// As [`claim_due`].
pub async fn claim_turn(
    db: &MySqlPool,
    state: State,
    turn: Turn,
    lease: Duration,
    limit: u32,
) -> sqlx::Result<Vec<Claimed>> {
    let mut tx = db.begin().await?;
    let due = sqlx::query_as!(
        Row,
        r#"select gid as "gid: _", order_id as "order_id: _", generation as "generation: u32", sale_id as "sale_id: _",
                  user_id as "user_id: _", attempts as "attempts: u32", payload, headers, history, last_error,
                  published_at is not null as "published: bool", given_up as "given_up: bool"
           from compensations as due force index (compensations_by_turn) where state = ? and is_replay = ? and due_at <= utc_timestamp(3)
             and not exists (
               select 1 from compensations as other force index (compensations_by_order)
               where other.order_id = due.order_id and other.gid <> due.gid and other.state in ('scheduled', 'dead', 'archiving')
                 and (other.generation < due.generation or (other.claim is not null and other.due_at > utc_timestamp(3))))
           order by due_at limit ? for update skip locked"#,
        state.as_str(),
        turn == Turn::Replay,
        limit
    )
    .fetch_all(&mut *tx)
    .await?;
    hold(db, tx, due, state, lease).await
}

/// Holds what was found, commits, and gives those back that another worker holds a piece of the same order beside.
async fn hold(
    db: &MySqlPool,
    mut tx: Transaction<'_, MySql>,
    due: Vec<Row>,
    state: State,
    lease: Duration,
) -> sqlx::Result<Vec<Claimed>> {
    if due.is_empty() {
        tx.commit().await?;
        return Ok(Vec::new());
    }
    let claim = Uuid::new_v4();
    let gids: Vec<Uuid> = due.iter().map(|row| row.gid).collect();
    let mut hold = QueryBuilder::<MySql>::new("update compensations set claim = ");
    hold.push_bind(claim)
        .push(", due_at = utc_timestamp(3) + interval ")
        .push_bind(micros(lease))
        .push(" microsecond where gid in (");
    list(&mut hold, &gids);
    hold.push(")").build().execute(&mut *tx).await?;
    tx.commit().await?;
    let in_hand_elsewhere = beside_others(db, &gids).await?;
    if !in_hand_elsewhere.is_empty() {
        let beside: Vec<Uuid> = in_hand_elsewhere.iter().copied().collect();
        put_off(db, &[claim], &beside, ORDER_IS_BUSY).await?;
    }
    let readable = |row: Row| {
        let gid = row.gid;
        let claimed = row.claimed(state, claim);
        if let Err(cause) = &claimed {
            error!(%gid, "The stored history or headers of {gid} cannot be read, it is left where it is: {cause}");
        }
        claimed.ok()
    };
    Ok(due
        .into_iter()
        .filter(|row| !in_hand_elsewhere.contains(&row.gid))
        .filter_map(readable)
        .collect())
}

/// Two workers may claim two pieces of one order before either commits. Whoever looks after its commit sees the other: one of them at
/// least, and that one yields.
async fn beside_others(db: &MySqlPool, gids: &[Uuid]) -> sqlx::Result<HashSet<Uuid>> {
    let mut query = QueryBuilder::<MySql>::new(
        "select distinct mine.gid from compensations mine join compensations other force index (compensations_by_order) on other.order_id = mine.order_id
         and other.gid <> mine.gid and other.state in ('scheduled', 'dead', 'archiving')
         and (other.generation < mine.generation or (other.claim is not null and other.due_at > utc_timestamp(3)))
         where mine.gid in (",
    );
    list(&mut query, gids);
    let found: Vec<Uuid> = query.push(")").build_query_scalar().fetch_all(db).await?;
    Ok(found.into_iter().collect())
}

/// Puts claimed work off as it was, by `after` and up to as much again, so that it does not come back together: no try was made.
///
/// # Errors
/// What the database says.
pub async fn put_all_off(db: &MySqlPool, works: &[Claimed], after: Duration) -> sqlx::Result<()> {
    if works.is_empty() {
        return Ok(());
    }
    let gids: Vec<Uuid> = works.iter().map(|work| work.gid).collect();
    let claims: HashSet<Uuid> = works.iter().map(|work| work.claim).collect();
    put_off(db, &Vec::from_iter(claims), &gids, after).await
}

async fn put_off(
    db: &MySqlPool,
    claims: &[Uuid],
    gids: &[Uuid],
    after: Duration,
) -> sqlx::Result<()> {
    let mut query = QueryBuilder::<MySql>::new(
        "update compensations set claim = null, due_at = utc_timestamp(3) + interval floor(",
    );
    query
        .push_bind(micros(after))
        .push(" * (1 + rand())) microsecond where gid in (");
    list(&mut query, gids);
    query.push(") and claim in (");
    list(&mut query, claims);
    query.push(")").build().execute(db).await.map(drop)
}

fn list(query: &mut QueryBuilder<MySql>, ids: &[Uuid]) {
    let mut list = query.separated(", ");
    for id in ids {
        list.push_bind(*id);
    }
}

/// What a failed try, or a decision, makes of claimed work.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Tried again: from the retry queue, as a dead letter, or to be given up.
    Again {
        /// [`Event::FailedToRetry`], [`Event::FailedAsDeadLetter`] or [`Event::FailedToArchive`].
        event: Event,
        /// When.
        after: Duration,
    },
    /// All tries are used up: it is given up at once.
    GiveUp,
    /// Settled; how, in a short code.
    Settled(String),
    /// The archive has it.
    Archived,
    /// The archive has it, and its units stay held.
    Held,
}

/// Writes what became of claimed work, with its history. `false`: the claim went to another worker, and nothing was written.
///
/// # Errors
/// What the database says. A move that is not allowed is a protocol error.
pub async fn settle(
    db: &mut MySqlConnection,
    work: &Claimed,
    attempts: u32,
    history: &History,
    error: Option<&str>,
    outcome: &Outcome,
) -> sqlx::Result<bool> {
    let (event, after, how) = match outcome {
        Outcome::Again { event, after } => (*event, *after, None),
        Outcome::GiveUp => (Event::FailedForGood, Duration::ZERO, None),
        Outcome::Settled(how) => (Event::Settled, Duration::ZERO, Some(how.as_str())),
        Outcome::Archived => (Event::StoredInArchive, Duration::ZERO, Some("archived")),
        Outcome::Held => (Event::StoredAndHeld, Duration::ZERO, None),
    };
    let state = work.state.on(event).map_err(illegal)?;
    let written = sqlx::query!(
        "update compensations set state = ?, attempts = ?, due_at = utc_timestamp(3) + interval ? microsecond, claim = null,
                history = ?, last_error = coalesce(?, last_error), outcome = ?,
                closed_at = if(?, utc_timestamp(3), null)
         where gid = ? and claim = ?",
        state.as_str(),
        attempts,
        micros(after),
        history.to_json(),
        error.map(short),
        how,
        !state.is_open(),
        work.gid,
        work.claim
    )
    .execute(db)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Puts claimed work back as it was, to be looked at again after `after`: no try was made.
///
/// # Errors
/// What the database says.
pub async fn put_back(db: &MySqlPool, work: &Claimed, after: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "update compensations set claim = null, due_at = utc_timestamp(3) + interval ? microsecond where gid = ? and claim = ?",
        micros(after),
        work.gid,
        work.claim
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes that the dead-letter topic has it.
///
/// # Errors
/// What the database says.
pub async fn published(db: &MySqlPool, gid: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "update compensations set published_at = coalesce(published_at, utc_timestamp(3)) where gid = ?",
        gid
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Puts what is held back into the retry queue, due at once. `false`: it is not held.
///
/// # Errors
/// What the database says.
pub async fn replay_held(db: &mut MySqlConnection, gid: Uuid) -> sqlx::Result<bool> {
    let state = State::Held.on(Event::Replayed).map_err(illegal)?;
    let written = sqlx::query!(
        "update compensations set state = ?, attempts = 0, due_at = utc_timestamp(3), claim = null where gid = ? and state = 'held'",
        state.as_str(),
        gid
    )
    .execute(db)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Closes what is held: a decision settled it so, and its units are not held any more. Nothing happens to any other work.
///
/// # Errors
/// What the database says.
pub async fn close_held(db: &mut MySqlConnection, gid: Uuid, outcome: &str) -> sqlx::Result<()> {
    let state = State::Held.on(Event::Settled).map_err(illegal)?;
    sqlx::query!(
        "update compensations set state = ?, outcome = ?, closed_at = utc_timestamp(3), claim = null where gid = ? and state = 'held'",
        state.as_str(),
        outcome,
        gid
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Has work given up at once, whatever tries are left: an operator's wish. A try under way changes nothing any more, but what it
/// decided stands. Gives the state it had; `None`: there is no such work. Nothing is written where that state does not allow it, see
/// [`State::on`]. Locks its row.
///
/// # Errors
/// What the database says.
pub async fn give_up(db: &mut MySqlConnection, gid: Uuid) -> sqlx::Result<Option<State>> {
    let Some(state) = locked_state(&mut *db, gid).await? else {
        return Ok(None);
    };
    let Ok(becomes) = state.on(Event::AskedToGiveUp) else {
        return Ok(Some(state));
    };
    if becomes != state {
        sqlx::query!(
            "update compensations set state = ?, due_at = utc_timestamp(3), claim = null where gid = ?",
            becomes.as_str(),
            gid
        )
        .execute(&mut *db)
        .await?;
    }
    sqlx::query!("update compensations set given_up = 1 where gid = ?", gid)
        .execute(db)
        .await?;
    Ok(Some(state))
}

async fn locked_state(db: &mut MySqlConnection, gid: Uuid) -> sqlx::Result<Option<State>> {
    sqlx::query_scalar!(
        "select state from compensations where gid = ? for update",
        gid
    )
    .fetch_optional(db)
    .await?
    .map(|name| stored_state(&name))
    .transpose()
}

/// Where this transaction's work stands; `None` where there is none.
///
/// # Errors
/// What the database says.
pub async fn state_of(db: &mut MySqlConnection, gid: Uuid) -> sqlx::Result<Option<State>> {
    sqlx::query_scalar!("select state from compensations where gid = ?", gid)
        .fetch_optional(db)
        .await?
        .map(|name| stored_state(&name))
        .transpose()
}

fn stored_state(name: &str) -> sqlx::Result<State> {
    name.parse()
        .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))
}

/// Whether this transaction is known, in whatever state: taken in, it is; another one of the same generation is not.
///
/// # Errors
/// What the database says.
pub async fn is_known(db: &mut MySqlConnection, gid: Uuid) -> sqlx::Result<bool> {
    Ok(
        sqlx::query_scalar!("select 1 from compensations where gid = ?", gid)
            .fetch_optional(db)
            .await?
            .is_some(),
    )
}

/// Those of `gids` that are open: whoever finds their reservations overdue leaves them alone.
///
/// # Errors
/// What the database says.
pub async fn open_among(db: &MySqlPool, gids: &[Uuid]) -> sqlx::Result<HashSet<Uuid>> {
    let mut open = HashSet::new();
    for gids in gids.chunks(ROWS_A_STATEMENT) {
        let mut query = QueryBuilder::<MySql>::new(
            "select gid from compensations where state in ('scheduled', 'dead', 'archiving', 'held') and gid in (",
        );
        let mut list = query.separated(", ");
        for gid in gids {
            list.push_bind(*gid);
        }
        let found: Vec<Uuid> = query.push(")").build_query_scalar().fetch_all(db).await?;
        open.extend(found);
    }
    Ok(open)
}

/// Gids and messages of a sale's open work after `after`, in the order of their gids.
///
/// # Errors
/// What the database says.
pub async fn open_of_sale(
    db: &mut MySqlConnection,
    sale: Uuid,
    after: Uuid,
    limit: u32,
) -> sqlx::Result<Vec<(Uuid, Vec<u8>)>> {
    let rows = sqlx::query!(
        r#"select gid as "gid: Uuid", payload from compensations
           where sale_id = ? and state in ('scheduled', 'dead', 'archiving', 'held') and gid > ? order by gid limit ?"#,
        sale,
        after,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.gid, row.payload)).collect())
}

/// How many pieces of work are in each open state, by the state's stored name.
///
/// # Errors
/// What the database says.
pub async fn backlog(db: &MySqlPool) -> sqlx::Result<Vec<(String, i64)>> {
    let rows = sqlx::query!(
        "select state, count(*) as count from compensations
         where state in ('scheduled', 'dead', 'archiving', 'held') group by state"
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.state, row.count)).collect())
}

struct Row {
    gid: Uuid,
    order_id: Uuid,
    generation: u32,
    sale_id: Uuid,
    user_id: Uuid,
    attempts: u32,
    payload: Vec<u8>,
    headers: String,
    history: String,
    last_error: Option<String>,
    published: bool,
    given_up: bool,
}

impl Row {
    fn claimed(self, state: State, claim: Uuid) -> sqlx::Result<Claimed> {
        Ok(Claimed {
            gid: self.gid,
            order_id: self.order_id,
            generation: self.generation,
            sale_id: self.sale_id,
            user_id: self.user_id,
            state,
            attempts: self.attempts,
            payload: self.payload,
            headers: Headers::from_json(&self.headers).map_err(unreadable)?,
            history: History::from_json(&self.history).map_err(unreadable)?,
            error: self.last_error,
            published: self.published,
            given_up: self.given_up,
            claim,
        })
    }
}

pub(crate) fn unreadable(cause: serde_json::Error) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(cause))
}

fn illegal(cause: IllegalMove) -> sqlx::Error {
    sqlx::Error::Protocol(cause.to_string())
}

/// As much of an error as its column takes.
pub(crate) fn short(error: &str) -> String {
    error.chars().take(ERROR_AT_MOST).collect()
}

pub(crate) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
