//! What a filter matches now, for a look before anything is asked for.

use crate::archive::{
    Bounds, Found, Kind,
    listing::{After, Filter, State},
    walk::{Order, Placed, Walk},
};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, MySqlPool};
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
    /// The number of its newest version; 0: nobody has edited it.
    pub version: i32,
    archived_at: DateTime<Utc>,
}

const COLUMNS: &str = "id, order_id, gid, held, handled, operation_id, version, archived_at";

impl Matching {
    /// The place after this row.
    #[must_use]
    pub const fn after(&self) -> After {
        After {
            archived_at: self.archived_at,
            id: self.id,
        }
    }

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

impl Placed for Matching {
    fn place(&self) -> After {
        self.after()
    }
}

/// Up to `limit` rows the filter matches, those archived first first, beginning after `after`. Fewer, where what is asked for is rare:
/// see [`Found::stopped_at`].
///
/// # Errors
/// What the database says.
pub async fn matching(
    db: &MySqlPool,
    filter: &Filter,
    after: Option<After>,
    limit: u32,
) -> sqlx::Result<Found<Matching>> {
    Walk::of(db, filter)
        .await?
        .find(COLUMNS, Order::OldestFirst, after, limit, Bounds::default())
        .await
}
