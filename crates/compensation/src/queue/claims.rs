//! Due work is claimed by one worker at a time, and given back untried.

use super::{
    Claimed,
    messages::{self, Message},
    micros, unreadable,
};
use crate::{attempt::History, headers::Headers, many, state::State};
use serde::Serialize;
use sqlx::{MySql, MySqlPool, Transaction};
use std::{collections::HashSet, time::Duration};
use tracing::error;
use uuid::Uuid;

/// When work is looked at again whose order is in other hands.
const ORDER_IS_BUSY: Duration = Duration::from_millis(200);

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
/// What the database says. Work whose stored texts cannot be read is left out and told of: a newer build may read them. Without its
/// message it is too.
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
                  user_id as "user_id: _", attempts as "attempts: u32", message_id as "message_id: _", history, last_error,
                  published_at is not null as "published: bool", given_up as "given_up: bool"
           from compensations as due force index (compensations_by_due) where state = ? and due_at <= utc_timestamp(3)
             and not exists (
               select 1 from compensations as other force index (compensations_by_order)
               where other.order_id = due.order_id and other.gid <> due.gid and other.state in ('scheduled', 'dead', 'archiving')
                 and (other.generation < due.generation or (other.is_claimed and other.due_at > utc_timestamp(3))))
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
                  user_id as "user_id: _", attempts as "attempts: u32", message_id as "message_id: _", history, last_error,
                  published_at is not null as "published: bool", given_up as "given_up: bool"
           from compensations as due force index (compensations_by_turn) where state = ? and is_replay = ? and due_at <= utc_timestamp(3)
             and not exists (
               select 1 from compensations as other force index (compensations_by_order)
               where other.order_id = due.order_id and other.gid <> due.gid and other.state in ('scheduled', 'dead', 'archiving')
                 and (other.generation < due.generation or (other.is_claimed and other.due_at > utc_timestamp(3))))
           order by due_at limit ? for update skip locked"#,
        state.as_str(),
        turn == Turn::Replay,
        limit
    )
    .fetch_all(&mut *tx)
    .await?;
    hold(db, tx, due, state, lease).await
}

/// Holds what was found, reads its messages, commits, and gives those back that another worker holds a piece of the same order beside.
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
    let gids = many::ids(due.iter().map(|row| row.gid));
    sqlx::query!(
        "update json_table(?, '$[*]' columns (gid char(32) path '$' error on error)) as found
         straight_join compensations as held force index (primary) on held.gid = unhex(found.gid)
         set held.claim = ?, held.due_at = utc_timestamp(3) + interval ? microsecond",
        gids,
        claim,
        micros(lease)
    )
    .execute(&mut *tx)
    .await?;
    let mut messages = messages::read(&mut tx, due.iter().map(|row| row.message_id)).await?;
    tx.commit().await?;
    let in_hand_elsewhere = beside_others(db, &gids).await?;
    let readable = |row: Row| {
        let gid = row.gid;
        let Some(message) = messages.remove(&row.message_id) else {
            error!(%gid, "The message of {gid} is not in compensation_messages, it is left where it is");
            return None;
        };
        let claimed = row.claimed(message, state, claim);
        if let Err(cause) = &claimed {
            error!(%gid, "The stored history or headers of {gid} cannot be read, it is left where it is: {cause}");
        }
        claimed.ok()
    };
    let (busy, ours): (Vec<Claimed>, Vec<Claimed>) = due
        .into_iter()
        .filter_map(readable)
        .partition(|work| in_hand_elsewhere.contains(&work.gid));
    put_all_off(db, &busy, ORDER_IS_BUSY).await?;
    Ok(ours)
}

/// Two workers may claim two pieces of one order before either commits. Whoever looks after its commit sees the other: one of them at
/// least, and that one yields.
async fn beside_others(db: &MySqlPool, gids: &str) -> sqlx::Result<HashSet<Uuid>> {
    let found = sqlx::query_scalar!(
        r#"select distinct mine.gid as "gid: Uuid"
           from json_table(?, '$[*]' columns (gid char(32) path '$' error on error)) as held
           straight_join compensations as mine force index (primary) on mine.gid = unhex(held.gid)
           join compensations as other force index (compensations_by_order) on other.order_id = mine.order_id
             and other.gid <> mine.gid and other.state in ('scheduled', 'dead', 'archiving')
             and (other.generation < mine.generation or (other.is_claimed and other.due_at > utc_timestamp(3)))"#,
        gids
    )
    .fetch_all(db)
    .await?;
    Ok(found.into_iter().collect())
}

/// Puts claimed work off as it was, by `after` and up to as much again, so that it does not come back together: no try was made.
///
/// # Errors
/// What the database says.
pub async fn put_all_off(db: &MySqlPool, works: &[Claimed], after: Duration) -> sqlx::Result<()> {
    give_back(db, works, after, 1.0).await
}

/// Puts claimed work back as it was, to be looked at again after `after`: no try was made.
///
/// # Errors
/// What the database says.
pub async fn put_all_back(db: &MySqlPool, works: &[Claimed], after: Duration) -> sqlx::Result<()> {
    give_back(db, works, after, 0.0).await
}

/// The same with one piece of work.
///
/// # Errors
/// What the database says.
pub async fn put_back(db: &MySqlPool, work: &Claimed, after: Duration) -> sqlx::Result<()> {
    put_all_back(db, std::slice::from_ref(work), after).await
}

async fn give_back(
    db: &MySqlPool,
    works: &[Claimed],
    after: Duration,
    spread: f64,
) -> sqlx::Result<()> {
    if works.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update json_table(?, '$[*]' columns (gid char(32) path '$.gid' error on error, claim char(32) path '$.claim' error on error))
           as untried
         straight_join compensations as held force index (primary)
           on held.gid = unhex(untried.gid) and held.claim = unhex(untried.claim)
         set held.claim = default, held.due_at = utc_timestamp(3) + interval floor(? * (1 + ? * rand())) microsecond",
        many::rows(works.iter().map(Claimed::token)),
        micros(after),
        spread
    )
    .execute(db)
    .await
    .map(drop)
}

struct Row {
    gid: Uuid,
    order_id: Uuid,
    generation: u32,
    sale_id: Uuid,
    user_id: Uuid,
    attempts: u32,
    message_id: Uuid,
    history: String,
    last_error: Option<String>,
    published: bool,
    given_up: bool,
}

impl Row {
    fn claimed(self, message: Message, state: State, claim: Uuid) -> sqlx::Result<Claimed> {
        Ok(Claimed {
            gid: self.gid,
            order_id: self.order_id,
            generation: self.generation,
            sale_id: self.sale_id,
            user_id: self.user_id,
            state,
            attempts: self.attempts,
            payload: message.payload,
            headers: Headers::from_json(&message.headers).map_err(unreadable)?,
            history: History::from_json(&self.history).map_err(unreadable)?,
            error: self.last_error,
            published: self.published,
            given_up: self.given_up,
            claim,
        })
    }
}

#[derive(Serialize)]
struct Token {
    gid: String,
    claim: String,
}

impl Claimed {
    /// What says that it is still in the hands it was claimed by.
    fn token(&self) -> Token {
        Token {
            gid: many::id(self.gid),
            claim: many::id(self.claim),
        }
    }
}
