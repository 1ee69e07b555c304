//! What is open, for those who only look.

use super::stored_state;
use crate::{many, state::State};
use sqlx::{MySqlConnection, MySqlPool};
use std::collections::HashSet;
use uuid::Uuid;

/// Gids in one statement.
const GIDS_A_STATEMENT: usize = 1_000;

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

/// Those of `gids` that are open: whoever finds their reservations overdue leaves them alone.
///
/// # Errors
/// What the database says.
pub async fn open_among(db: &MySqlPool, gids: &[Uuid]) -> sqlx::Result<HashSet<Uuid>> {
    let mut open = HashSet::new();
    for gids in gids.chunks(GIDS_A_STATEMENT) {
        let found = sqlx::query_scalar!(
            r#"select open.gid as "gid: Uuid" from json_table(?, '$[*]' columns (gid char(32) path '$' error on error)) as asked
               straight_join compensations as open force index (primary) on open.gid = unhex(asked.gid)
               where open.state in ('scheduled', 'dead', 'archiving', 'held')"#,
            many::ids(gids.iter().copied())
        )
        .fetch_all(db)
        .await?;
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
    // A state at a time: within one, the index has the gids in order, so none but those of the page is read.
    let rows = sqlx::query!(
        r#"select open.gid as "gid: Uuid", came.payload
           from ((select gid, message_id from compensations force index (compensations_by_sale)
                  where sale_id = ? and state = 'scheduled' and gid > ? order by gid limit ?)
                 union all
                 (select gid, message_id from compensations force index (compensations_by_sale)
                  where sale_id = ? and state = 'dead' and gid > ? order by gid limit ?)
                 union all
                 (select gid, message_id from compensations force index (compensations_by_sale)
                  where sale_id = ? and state = 'archiving' and gid > ? order by gid limit ?)
                 union all
                 (select gid, message_id from compensations force index (compensations_by_sale)
                  where sale_id = ? and state = 'held' and gid > ? order by gid limit ?)
                 order by gid limit ?) as open
           join compensation_messages as came on came.id = open.message_id order by open.gid"#,
        sale,
        after,
        limit,
        sale,
        after,
        limit,
        sale,
        after,
        limit,
        sale,
        after,
        limit,
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

/// Work in one open state, for a page that nobody waits long for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Where it stands.
    pub state: State,
    /// How many, counted so far as was asked for.
    pub count: u64,
    /// Since when the first of them could be worked on, in seconds; nothing where none is due.
    pub due_for_s: Option<u64>,
}

/// What is open by state, each counted to `at_most`. Reads two entries of the index `compensations_by_due`, and `at_most` of them a state.
///
/// # Errors
/// What the database says.
pub async fn waiting(db: &MySqlPool, at_most: u32) -> sqlx::Result<Vec<Waiting>> {
    const OPEN: [State; 4] = [State::Scheduled, State::Dead, State::Archiving, State::Held];
    let mut waiting = Vec::with_capacity(OPEN.len());
    for state in OPEN {
        let row = sqlx::query!(
            r#"select (select cast(count(*) as signed) from (
                          select 1 from compensations force index (compensations_by_due) where state = ? limit ?) some) as "count!: i64",
                      (select timestampdiff(second, min(due_at), utc_timestamp(3)) from compensations
                       where state = ?) as "due_for_s: i64""#,
            state.as_str(),
            at_most,
            state.as_str()
        )
        .fetch_one(db)
        .await?;
        waiting.push(Waiting {
            state,
            count: u64::try_from(row.count).unwrap_or_default(),
            due_for_s: row.due_for_s.and_then(|it| it.try_into().ok()),
        });
    }
    Ok(waiting)
}
