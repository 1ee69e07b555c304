//! What was given up, as lists: filtered, newest first, page by page by key, and the whole of it for an export.
//!
//! Rows come and go while somebody turns pages, so no page is counted off from the beginning: each begins after the last row of
//! the one before. What that costs however many rows there are is `walk`'s matter.

use super::{
    Kind,
    walk::{Bounds, Found, Order, Placed, Walk},
};
use crate::fingerprint::Fingerprint;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, MySql, MySqlPool, QueryBuilder};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// Where what was given up stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Somebody has to do something.
    Open,
    /// A replay is under way.
    Replaying,
    /// Nothing is left to do.
    Handled,
}

/// Not the name of a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not open, replaying or handled")]
pub struct UnknownState(String);

/// Which of them; an empty one is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The id of an order, its transaction, sale or buyer, whole; or a text in the error, in capitals or not.
    pub query: Option<String>,
    /// Where it stands.
    pub state: Option<State>,
    /// Of this sale only.
    pub sale: Option<Uuid>,
    /// That failed at this step only.
    pub step: Option<String>,
    /// Of this group only.
    pub fingerprint: Option<Fingerprint>,
}

/// A place in the list: after this row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, FromRow)]
pub struct After {
    /// When it was archived, by the database's clock.
    pub archived_at: DateTime<Utc>,
    /// Its id.
    pub id: Uuid,
}

/// Which part of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    /// The last row of the page before; none for the first page.
    pub after: Option<After>,
    /// Rows at most.
    pub limit: u32,
}

/// One row, without its payload and history.
#[derive(Debug, Clone, FromRow)]
pub struct Listed {
    /// Of an order its id; of anything else an id of its own.
    pub id: Uuid,
    /// The order, if it is one.
    pub order_id: Option<Uuid>,
    /// The transaction that failed, or is stuck.
    pub gid: Option<Uuid>,
    /// 0: the buyer's request; then each replay.
    pub generation: i32,
    /// Its sale; of a transaction, what it contends for.
    pub sale_id: Option<Uuid>,
    /// Its buyer.
    pub user_id: Option<Uuid>,
    /// Its units.
    pub quantity: Option<i32>,
    /// Where it failed.
    pub step: String,
    /// The last error.
    pub error: String,
    /// The [`Fingerprint`] it shares with its group; nothing where that is not worked out yet.
    pub fingerprint: Option<u64>,
    /// Tries, all generations together.
    pub attempts: i32,
    /// Whether its units are still held.
    pub held: bool,
    /// Whether nothing is left to do.
    pub handled: bool,
    /// How it ended.
    pub resolution: Option<String>,
    /// The replay under way.
    pub operation_id: Option<Uuid>,
    /// More than once after replays that failed again.
    pub times_archived: i32,
    /// The number of its newest version; 0: nobody has edited it.
    pub version: i32,
    /// The first try that failed.
    pub first_failed_at: DateTime<Utc>,
    /// When it was given up last.
    pub archived_at: DateTime<Utc>,
    /// When nothing was left to do.
    pub handled_at: Option<DateTime<Utc>>,
}

/// How many there are in each state; of each, anything above [`COUNTED_AT_MOST`] says that there are more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// [`State::Open`].
    pub open: u64,
    /// [`State::Replaying`].
    pub replaying: u64,
    /// [`State::Handled`].
    pub handled: u64,
}

/// Rows of a state are counted so far.
pub const COUNTED_AT_MOST: u64 = 10_000;
/// And so many of all states together are looked at for it, where no index says which of them match: cold, each is a read of the disk.
const LOOKED_AT_TO_COUNT: u64 = 1_000;

const COLUMNS: &str = "id, order_id, gid, generation, sale_id, user_id, quantity, step, error, fingerprint, attempts, held, handled, \
     resolution, operation_id, times_archived, version, first_failed_at, archived_at, handled_at";

/// One page, newest first. It may have fewer rows than there are, where what is asked for is rare: see [`Found::stopped_at`].
///
/// # Errors
/// What the database says.
pub async fn page(db: &MySqlPool, filter: &Filter, paging: Paging) -> sqlx::Result<Found<Listed>> {
    page_within(db, filter, paging, Bounds::default()).await
}

/// The same, within bounds of one's own.
///
/// # Errors
/// What the database says.
pub async fn page_within(
    db: &MySqlPool,
    filter: &Filter,
    paging: Paging,
    bounds: Bounds,
) -> sqlx::Result<Found<Listed>> {
    Walk::of(db, filter)
        .await?
        .find(
            COLUMNS,
            Order::NewestFirst,
            paging.after,
            paging.limit,
            bounds,
        )
        .await
}

/// How many there are in each state, whatever state the filter names. Nothing where only looking at very many rows would tell.
///
/// # Errors
/// What the database says.
pub async fn count(db: &MySqlPool, filter: &Filter) -> sqlx::Result<Option<Counts>> {
    let walk = Walk::of(db, filter).await?;
    let at_most = if walk.is_exact() {
        COUNTED_AT_MOST
    } else {
        LOOKED_AT_TO_COUNT
    };
    let limit = u32::try_from(at_most + 1).unwrap_or(u32::MAX);
    let mut counts = [0; State::ALL.len()];
    for (state, count) in State::ALL.into_iter().zip(&mut counts) {
        *count = walk.entries(state, limit).await?;
    }
    if !walk.is_exact() {
        if counts.iter().sum::<u64>() > LOOKED_AT_TO_COUNT {
            return Ok(None);
        }
        for (state, count) in State::ALL.into_iter().zip(&mut counts) {
            *count = walk.matching(state).await?;
        }
    }
    let [open, replaying, handled] = counts;
    Ok(Some(Counts {
        open,
        replaying,
        handled,
    }))
}

/// The next `limit` rows of an export, by id: one that is archived again meanwhile is neither left out nor there twice.
///
/// # Errors
/// What the database says.
pub async fn stream_after(
    db: &MySqlPool,
    filter: &Filter,
    after: Option<Uuid>,
    limit: u32,
) -> sqlx::Result<Vec<Listed>> {
    let mut query = QueryBuilder::<MySql>::new("select ");
    query
        .push(COLUMNS)
        .push(" from failed_order_archives where ");
    filter.push(&mut query);
    if let Some(after) = after {
        query.push(" and id > ").push_bind(after);
    }
    query.push(" order by id limit ").push_bind(limit);
    query.build_query_as().fetch_all(db).await
}

impl Placed for Listed {
    fn place(&self) -> After {
        self.after()
    }
}

impl Filter {
    /// The same in this state.
    pub(super) fn in_state(&self, state: State) -> Self {
        Self {
            state: Some(state),
            ..self.clone()
        }
    }

    pub(crate) fn push(&self, query: &mut QueryBuilder<MySql>) {
        query.push(match self.state {
            None => "true",
            Some(State::Open) => "handled = 0 and operation_id is null",
            Some(State::Replaying) => "handled = 0 and operation_id is not null",
            Some(State::Handled) => "handled = 1",
        });
        if let Some(sale) = self.sale {
            query.push(" and sale_id = ").push_bind(sale);
        }
        if let Some(step) = &self.step {
            query.push(" and step = ").push_bind(step.clone());
        }
        if let Some(fingerprint) = self.fingerprint {
            query.push(" and fingerprint = ");
            query.push_bind(fingerprint.to_number());
        }
        let Some(text) = &self.query else { return };
        if let Ok(id) = text.parse::<Uuid>() {
            query.push(" and (id = ").push_bind(id);
            for column in ["order_id", "gid", "sale_id", "user_id"] {
                query.push(format_args!(" or {column} = ")).push_bind(id);
            }
            query.push(")");
        } else {
            query.push(" and error collate utf8mb4_unicode_ci like ");
            query.push_bind(format!("%{}%", escaped(text)));
        }
    }
}

/// The text as `like` takes it literally.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

impl State {
    /// All of them, what asks for somebody first.
    pub const ALL: [Self; 3] = [Self::Open, Self::Replaying, Self::Handled];

    /// How it is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replaying => "replaying",
            Self::Handled => "handled",
        }
    }

    /// The state these columns stand for.
    #[must_use]
    pub const fn of(handled: bool, replay_under_way: bool) -> Self {
        match (handled, replay_under_way) {
            (true, _) => Self::Handled,
            (false, true) => Self::Replaying,
            (false, false) => Self::Open,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

impl Listed {
    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        State::of(self.handled, self.operation_id.is_some())
    }

    /// What it is about.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        Kind::of(self.order_id, self.gid)
    }

    /// The place after this row.
    #[must_use]
    pub const fn after(&self) -> After {
        After {
            archived_at: self.archived_at,
            id: self.id,
        }
    }
}

impl fmt::Display for After {
    /// Milliseconds since 1970, a dot, the id: all that is needed to go on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{}",
            self.archived_at.timestamp_millis(),
            self.id.simple()
        )
    }
}

/// Not a place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not where a page ended")]
pub struct NoPlace;

impl FromStr for After {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (millis, id) = text.split_once('.').ok_or(NoPlace)?;
        let archived_at = millis
            .parse()
            .ok()
            .and_then(DateTime::from_timestamp_millis)
            .ok_or(NoPlace)?;
        let id = id.parse().map_err(|_| NoPlace)?;
        Ok(Self { archived_at, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_an_address() {
        let after = After {
            archived_at: DateTime::from_timestamp_millis(1_780_000_000_123).expect("a time"),
            id: Uuid::from_u128(7),
        };
        assert_eq!(after.to_string().parse(), Ok(after));
        for none in ["", "1", "1.2", "x.00000000000000000000000000000007", "."] {
            assert_eq!(none.parse::<After>(), Err(NoPlace), "{none}");
        }
    }

    #[test]
    fn wildcards_are_looked_for_literally() {
        assert_eq!(escaped(r"100%_\"), r"100\%\_\\");
    }
}
