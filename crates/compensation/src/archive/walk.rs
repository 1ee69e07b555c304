//! How lists of a million rows are read: along an index that has the list's own order, and no further than somebody waits.
//!
//! A list is one walk, or one a state, along the index of what the filter names: its group, its sale, its buyer, its step, or nothing.
//! What the filter asks besides is looked at row by row, and whoever looks for what is rare would look at all of them. So a
//! walk looks at so many rows and for so long ([`Bounds`]), and then says how far it came: from there the next one goes on.
//!
//! Which rows a filter means is not said here: [`Filter::push`] says it, and every statement below says that as well.

use super::listing::{After, Filter, State};
use sqlx::{FromRow, MySql, MySqlPool, QueryBuilder, mysql::MySqlRow};
use std::{
    cmp::Ordering,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// More rows than these that have one gid do not exist: an order's and its transaction's.
const ROWS_OF_A_GID: u32 = 10;

/// How far a walk goes before it says how far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Rows looked at between two looks at the clock, one of each lane at least.
    pub window: u32,
    /// Rows looked at in all. The last window is finished.
    pub rows: u32,
    /// Nothing new is begun after this time.
    pub time: Duration,
}

impl Default for Bounds {
    /// For a page within 200 ms also among a million rows: a text that no row has is answered in 110 ms at the 95th percentile
    /// (`cargo xtask bench archive-list`). The clock is looked at after each 600 rows: where none of them is in memory, they take as
    /// long again as the clock allows.
    fn default() -> Self {
        Self {
            window: 600,
            rows: 20_000,
            time: Duration::from_millis(80),
        }
    }
}

/// What a walk found.
#[derive(Debug, Clone)]
pub struct Found<T> {
    /// In the order of the list, no more than were asked for.
    pub rows: Vec<T>,
    /// Where the walk stopped before it had as many as were asked for: there may be others further on. Nothing where it has them, or
    /// came to the end.
    pub stopped_at: Option<After>,
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    NewestFirst,
    OldestFirst,
}

/// A row that knows its place.
pub(crate) trait Placed: for<'r> FromRow<'r, MySqlRow> + Send + Unpin {
    fn place(&self) -> After;
}

/// Which index a filter is followed along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Along {
    /// These rows and no others: somebody looked for an id.
    Rows(Vec<Uuid>),
    Fingerprint(u64),
    Sale(Uuid),
    User(Uuid),
    Step(String),
    /// All of them.
    Time,
}

/// One walk: an index, and the state it is followed in.
#[derive(Debug, Clone, Copy)]
struct Lane<'a> {
    along: &'a Along,
    stands: Option<State>,
}

/// A filter, with the way it is followed.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    db: &'a MySqlPool,
    filter: &'a Filter,
    along: Along,
}

impl<'a> Walk<'a> {
    /// Chooses the way. An id is looked up: what it is of is not to be seen from it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of(db: &'a MySqlPool, filter: &'a Filter) -> sqlx::Result<Self> {
        let id = filter.query.as_deref().and_then(|text| text.parse().ok());
        let along = match id {
            Some(id) => whose(db, id).await?,
            None => Along::of(filter),
        };
        Ok(Self { db, filter, along })
    }

    /// Whether the index alone says which rows match.
    pub fn is_exact(&self) -> bool {
        let Filter {
            query,
            state: _,
            sale,
            step,
            fingerprint,
        } = self.filter;
        let asked = [
            query.is_some(),
            sale.is_some(),
            step.is_some(),
            fingerprint.is_some(),
        ];
        let asked = asked.into_iter().filter(|asked| *asked).count();
        match self.along {
            Along::Rows(_) => false,
            Along::Time => asked == 0,
            _ => asked == 1,
        }
    }

    /// The way, where it is a few rows.
    pub fn rows(&self) -> Option<&[Uuid]> {
        match &self.along {
            Along::Rows(rows) => Some(rows),
            _ => None,
        }
    }

    /// Up to `limit` rows after `after`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn find<T: Placed>(
        &self,
        columns: &str,
        order: Order,
        after: Option<After>,
        limit: u32,
        bounds: Bounds,
    ) -> sqlx::Result<Found<T>> {
        let begun = Instant::now();
        let at_most = usize::try_from(limit).unwrap_or(usize::MAX);
        let lanes = self.lanes();
        let window = u32::try_from(lanes.len()).map_or(1, |lanes| bounds.window / lanes.max(1));
        let window = window.max(1);
        let (mut rows, mut from, mut looked_at) = (Vec::new(), after, 0);
        loop {
            let (mut found, mut reached) = (Vec::new(), None);
            for lane in &lanes {
                let lane = *lane;
                let end = if self.is_exact() || self.rows().is_some() {
                    None
                } else {
                    looked_at += window;
                    lane.end(self.db, order, from, window).await?
                };
                let some: Vec<T> = self.some(lane, columns, order, (from, end), limit).await?;
                let full = some.len() >= at_most;
                let here = if full { some.last().map(T::place) } else { end };
                reached = order.earlier(reached, here);
                found.extend(some);
            }
            // Beyond the nearest end some lane was not looked at: what others have there comes with the next look.
            if let Some(reached) = reached {
                found.retain(|row| order.compare(row.place(), reached) != Ordering::Greater);
            }
            found.sort_by(|one, other| order.compare(one.place(), other.place()));
            rows.extend(found);
            if rows.len() >= at_most {
                rows.truncate(at_most);
                return Ok(Found {
                    rows,
                    stopped_at: None,
                });
            }
            let spent = looked_at >= bounds.rows || begun.elapsed() >= bounds.time;
            if reached.is_none() || spent {
                return Ok(Found {
                    rows,
                    stopped_at: reached,
                });
            }
            from = reached;
        }
    }

    /// How many rows of its index a state has, `limit` at most.
    ///
    /// # Errors
    /// What the database says.
    pub async fn entries(&self, stands: State, limit: u32) -> sqlx::Result<u64> {
        let mut query = QueryBuilder::<MySql>::new("select count(*) from (select 1 as one from ");
        self.lane(stands).push(&mut query);
        query.push(" limit ").push_bind(limit).push(") some");
        number(query, self.db).await
    }

    /// How many of them the filter means: each is looked at.
    ///
    /// # Errors
    /// What the database says.
    pub async fn matching(&self, stands: State) -> sqlx::Result<u64> {
        let mut query = QueryBuilder::<MySql>::new("select count(*) from ");
        self.lane(stands).push(&mut query);
        query.push(" and ");
        self.filter.in_state(stands).push(&mut query);
        number(query, self.db).await
    }

    /// The walks whose rows together are the list's.
    fn lanes(&self) -> Vec<Lane<'_>> {
        match (self.filter.state, &self.along) {
            (None, Along::Time) => vec![Lane {
                along: &self.along,
                stands: None,
            }],
            (None, Along::Rows(_)) => vec![self.lane(State::Open)],
            (None, _) => State::ALL.map(|state| self.lane(state)).to_vec(),
            (Some(state), _) => vec![self.lane(state)],
        }
    }

    fn lane(&self, stands: State) -> Lane<'_> {
        Lane {
            along: &self.along,
            stands: Some(stands),
        }
    }

    async fn some<T: Placed>(
        &self,
        lane: Lane<'_>,
        columns: &str,
        order: Order,
        (after, end): (Option<After>, Option<After>),
        limit: u32,
    ) -> sqlx::Result<Vec<T>> {
        let mut query = QueryBuilder::<MySql>::new("select ");
        query.push(columns).push(" from ");
        lane.push(&mut query);
        query.push(" and ");
        self.filter.push(&mut query);
        order.push_after(&mut query, after);
        order.push_up_to(&mut query, end);
        order.push_by(&mut query);
        query.push(" limit ").push_bind(limit);
        query.build_query_as().fetch_all(self.db).await
    }
}

/// What an id is of. It is of one kind of thing only; where it is of several, what is most particular counts.
async fn whose(db: &MySqlPool, id: Uuid) -> sqlx::Result<Along> {
    let mut query = QueryBuilder::<MySql>::new("select id from failed_order_archives where id = ");
    query.push_bind(id);
    query.push(
        " union select id from (select id from failed_order_archives force index (archives_by_gid) where gid = ",
    );
    query.push_bind(id).push(" limit ").push_bind(ROWS_OF_A_GID);
    query.push(") of_the_gid");
    let rows: Vec<Uuid> = query.build_query_scalar().fetch_all(db).await?;
    if !rows.is_empty() {
        return Ok(Along::Rows(rows));
    }
    let of_a_sale = sqlx::query_scalar!(
        "select 1 as one from failed_order_archives where sale_id = ? limit 1",
        id
    )
    .fetch_optional(db)
    .await?;
    Ok(match of_a_sale {
        Some(_) => Along::Sale(id),
        None => Along::User(id),
    })
}

async fn number(mut query: QueryBuilder<MySql>, db: &MySqlPool) -> sqlx::Result<u64> {
    let number: i64 = query.build_query_scalar().fetch_one(db).await?;
    Ok(number.unsigned_abs())
}

impl Along {
    /// What matches fewest rows, as far as one knows beforehand.
    fn of(filter: &Filter) -> Self {
        if let Some(fingerprint) = filter.fingerprint {
            Self::Fingerprint(fingerprint.to_number())
        } else if let Some(sale) = filter.sale {
            Self::Sale(sale)
        } else if let Some(step) = &filter.step {
            Self::Step(step.clone())
        } else {
            Self::Time
        }
    }
}

impl Lane<'_> {
    /// The table with its index, and what the index is followed for.
    fn push(self, query: &mut QueryBuilder<MySql>) {
        query.push("failed_order_archives force index (");
        query.push(match (self.along, self.stands) {
            (Along::Rows(_), _) => "primary",
            (Along::Fingerprint(_), _) => "archives_by_fingerprint",
            (Along::Sale(_), _) => "archives_by_sale",
            (Along::User(_), _) => "archives_by_user",
            (Along::Step(_), _) => "archives_by_step",
            (Along::Time, Some(_)) => "archives_by_standing",
            (Along::Time, None) => "archives_by_time",
        });
        query.push(") where ");
        match self.along {
            Along::Rows(rows) => {
                query.push("id in (");
                let mut list = query.separated(", ");
                for id in rows {
                    list.push_bind(*id);
                }
                // Which state is the filter's matter.
                query.push(")");
                return;
            }
            Along::Fingerprint(number) => query.push("fingerprint = ").push_bind(*number),
            Along::Sale(id) => query.push("sale_id = ").push_bind(*id),
            Along::User(id) => query.push("user_id = ").push_bind(*id),
            Along::Step(step) => query.push("step = ").push_bind(step.clone()),
            Along::Time => query.push(match self.stands {
                Some(State::Handled) => "handled = 1",
                Some(State::Open | State::Replaying) => "handled = 0",
                None => "true",
            }),
        };
        query.push(match self.stands {
            Some(State::Open) => " and standing = 0",
            Some(State::Replaying) => " and standing = 1",
            Some(State::Handled) => " and standing = 2",
            None => "",
        });
    }

    /// The last of the next `window` rows of the index; none where there are not so many.
    async fn end(
        self,
        db: &MySqlPool,
        order: Order,
        after: Option<After>,
        window: u32,
    ) -> sqlx::Result<Option<After>> {
        let mut query = QueryBuilder::<MySql>::new("select archived_at, id from ");
        self.push(&mut query);
        order.push_after(&mut query, after);
        order.push_by(&mut query);
        query.push(" limit 1 offset ").push_bind(window - 1);
        query.build_query_as().fetch_optional(db).await
    }
}

impl Order {
    fn compare(self, one: After, other: After) -> Ordering {
        match self {
            Self::OldestFirst => one.cmp(&other),
            Self::NewestFirst => other.cmp(&one),
        }
    }

    /// Of two places the one the list comes to first; none is its end.
    fn earlier(self, one: Option<After>, other: Option<After>) -> Option<After> {
        match (one, other) {
            (Some(one), Some(other)) => Some(match self.compare(one, other) {
                Ordering::Greater => other,
                _ => one,
            }),
            (one, other) => one.or(other),
        }
    }

    /// Said so that the index is used: a comparison of rows is not.
    fn push_after(self, query: &mut QueryBuilder<MySql>, after: Option<After>) {
        let (time, first, id) = match self {
            Self::NewestFirst => (" and archived_at <= ", " and (archived_at < ", " or id < "),
            Self::OldestFirst => (" and archived_at >= ", " and (archived_at > ", " or id > "),
        };
        push_place(query, after, (time, first, id));
    }

    /// As far as this place, and with it.
    fn push_up_to(self, query: &mut QueryBuilder<MySql>, end: Option<After>) {
        let (time, first, id) = match self {
            Self::NewestFirst => (" and archived_at >= ", " and (archived_at > ", " or id >= "),
            Self::OldestFirst => (" and archived_at <= ", " and (archived_at < ", " or id <= "),
        };
        push_place(query, end, (time, first, id));
    }

    fn push_by(self, query: &mut QueryBuilder<MySql>) {
        query.push(match self {
            Self::NewestFirst => " order by archived_at desc, id desc",
            Self::OldestFirst => " order by archived_at, id",
        });
    }
}

fn push_place(
    query: &mut QueryBuilder<MySql>,
    place: Option<After>,
    (time, first, id): (&str, &str, &str),
) {
    let Some(place) = place else { return };
    let at = place.archived_at.naive_utc();
    query.push(time).push_bind(at);
    query.push(first).push_bind(at);
    query.push(id).push_bind(place.id).push(")");
}
