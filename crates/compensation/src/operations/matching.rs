//! What a filter matches now, for a look before anything is asked for.

use crate::archive::{
    Kind,
    listing::{Filter, State},
};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, MySql, MySqlPool, QueryBuilder};
use uuid::Uuid;

/// One row of the archive, as far as it matters to an operation.
#[derive(Debug, Clone, FromRow)]
pub struct Matching {
    /// Of an order its id.
    pub id: Uuid,
    order_id: Option<Uuid>,
    gid: Option<Uuid>,
    /// Whether its units are still held.
    pub held: bool,
    handled: bool,
    operation_id: Option<Uuid>,
    archived_at: DateTime<Utc>,
}

impl Matching {
    /// What it is about.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        Kind::of(self.order_id, self.gid)
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        State::of(self.handled, self.operation_id.is_some())
    }
}

/// Up to `limit` rows the filter matches, those archived first first, beginning after `after`.
///
/// # Errors
/// What the database says.
pub async fn matching(
    db: &MySqlPool,
    filter: &Filter,
    after: Option<&Matching>,
    limit: u32,
) -> sqlx::Result<Vec<Matching>> {
    let mut query = QueryBuilder::<MySql>::new(
        "select id, order_id, gid, held, handled, operation_id, archived_at from failed_order_archives where ",
    );
    filter.push(&mut query);
    if let Some(after) = after {
        let at = after.archived_at.naive_utc();
        query.push(" and archived_at >= ").push_bind(at);
        query.push(" and (archived_at > ").push_bind(at);
        query.push(" or id > ").push_bind(after.id).push(")");
    }
    query.push(" order by archived_at, id limit ");
    query.push_bind(limit).build_query_as().fetch_all(db).await
}
