//! The MySQL side of a rebuild: the line that is drawn under the sale row's lock, and what lies before it.

use super::{
    open_work::OpenWork,
    survivors::{Record, Survivor},
};
use crate::{
    ids::{OrderId, SaleId},
    keys::Names,
    message::{Idempotency, OrderMessage},
    stock::SaleState,
};
use chrono::{DateTime, TimeDelta, Utc};
use coordinator::{Gid, statement::push_list};
use identity::UserId;
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder, Transaction};
use std::collections::HashSet;
use tracing::error;
use uuid::Uuid;

/// How far back orders may still own a buyer's key: its 24 h, and what clocks may differ.
const KEYS_SINCE: TimeDelta = TimeDelta::hours(25);
/// Survivors looked up in one statement.
const LOOK_UP: usize = 500;

/// The first read of such a transaction draws its line.
const VIEW: &str = "set transaction isolation level repeatable read; start transaction";

/// What MySQL held at one moment, and the epoch every later decision will read.
pub(super) struct Snapshot {
    view: View,
    /// The same moment once more, for a sale of which much is read.
    beside: Option<View>,
    sale: SaleRow,
}

/// One session that sees a sale as it was at the snapshot's moment.
pub(super) struct View {
    db: Transaction<'static, MySql>,
    names: Names,
}

/// How many sessions read a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    One,
    /// One reads the buyers while the other reads their keys.
    Two,
}

struct SaleRow {
    total: i32,
    available: i32,
    sold: i32,
    per_user_limit: i32,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    state: SaleState,
    revision: i64,
}

/// A buyer with what was sold to them.
pub(super) struct Buyer {
    pub user: UserId,
    pub units: i32,
    pub last_order: Option<OrderId>,
}

/// A buyer's key, and the order that owns it.
pub(super) struct OwnedKey {
    pub order: OrderId,
    pub user: UserId,
    pub idempotency: Idempotency,
    pub created_at: DateTime<Utc>,
}

impl Snapshot {
    /// Locks the sale row, raises its epoch, reads from one or two other sessions what stood before, commits. Every decision reads
    /// the epoch under that lock, so it is either in the snapshot or carries the new epoch: never both, never neither. Both
    /// sessions see the same of this sale, for no decision on it commits while the row is locked.
    ///
    /// Connections are there before the row is locked: decisions wait for nothing but four statements.
    ///
    /// The new epoch is above Redis' own, too: after MySQL was put back from a backup its count may be the lower one.
    pub async fn open(
        db: &MySqlPool,
        sale: SaleId,
        in_redis: Option<i64>,
        readers: Readers,
    ) -> sqlx::Result<Option<Self>> {
        let mut first = db.begin_with(VIEW).await?;
        let mut second = match readers {
            Readers::One => None,
            Readers::Two => Some(db.begin_with(VIEW).await?),
        };
        let mut lock = db.begin().await?;
        let old = sqlx::query_scalar!(
            "select epoch from sale_inventory where sale_id = ? for update",
            sale
        )
        .fetch_optional(&mut *lock)
        .await?;
        let Some(old) = old else { return Ok(None) };
        let epoch = old.max(in_redis.unwrap_or_default()) + 1;
        sqlx::query!(
            "update sale_inventory set epoch = ? where sale_id = ?",
            epoch,
            sale
        )
        .execute(&mut *lock)
        .await?;
        let row = SaleRow::read(&mut first, sale).await?;
        if let Some(second) = &mut second {
            SaleRow::read(second, sale).await?;
        }
        lock.commit().await?;
        let names = Names { sale, epoch };
        Ok(Some(Self {
            view: View { db: first, names },
            beside: second.map(|db| View { db, names }),
            sale: row,
        }))
    }

    /// The sessions that see it.
    pub fn views(&mut self) -> (&mut View, Option<&mut View>) {
        (&mut self.view, self.beside.as_mut())
    }

    pub fn names(&self) -> Names {
        self.view.names
    }

    /// Units neither sold nor, in MySQL's eyes, held.
    pub fn available(&self) -> i64 {
        i64::from(self.sale.available)
    }

    /// The hash's fields that MySQL alone knows.
    pub fn rules(&self) -> [(&'static str, String); 7] {
        let sale = &self.sale;
        [
            ("total", sale.total.to_string()),
            ("sold", sale.sold.to_string()),
            ("per_user_limit", sale.per_user_limit.to_string()),
            ("starts_at", sale.starts_at.timestamp_millis().to_string()),
            ("ends_at", sale.ends_at.timestamp_millis().to_string()),
            ("state", sale.state.as_str().to_owned()),
            ("revision", sale.revision.to_string()),
        ]
    }

    /// Adds what waits in `open_work` and did not survive: its record is made anew from its message.
    pub async fn add_waiting(
        &mut self,
        open_work: &dyn OpenWork,
        survivors: &mut Vec<Survivor>,
    ) -> sqlx::Result<()> {
        const PAGE: u32 = 500;
        let survived: HashSet<Gid> = survivors.iter().map(|survivor| survivor.gid).collect();
        let mut after = Gid::from_uuid(Uuid::nil());
        loop {
            let page = open_work
                .of_sale(&mut self.view.db, self.view.names.sale, after, PAGE)
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.gid;
            for waiting in page {
                if survived.contains(&waiting.gid) {
                    continue;
                }
                match OrderMessage::parse(&waiting.message) {
                    Ok(order) => survivors.push(Survivor {
                        gid: waiting.gid,
                        order: order.order_id,
                        user: order.user_id,
                        units: i64::from(order.quantity.get()),
                        look_at: Utc::now().timestamp_millis() as f64,
                        record: Record::Lost(waiting.message),
                    }),
                    Err(cause) => {
                        error!(gid = %waiting.gid, "The message of transaction {} cannot be read, its units are not held: {cause}", waiting.gid);
                    }
                }
            }
        }
    }

    /// Those of `survivors` that have no decision here. Where retention removed a transaction, the order's row tells.
    pub async fn undecided(&mut self, survivors: Vec<Survivor>) -> sqlx::Result<Vec<Survivor>> {
        let mut undecided = Vec::with_capacity(survivors.len());
        for page in survivors.chunks(LOOK_UP) {
            let mut decided = QueryBuilder::<MySql>::new(
                "select gid from transactions where state not in ('begun', 'prepared') and gid in ",
            );
            push_list(&mut decided, page.iter().map(|survivor| survivor.gid));
            decided.push(" union select gid from orders where id in ");
            push_list(&mut decided, page.iter().map(|survivor| survivor.order));
            let decided: HashSet<Gid> = decided
                .build_query_scalar()
                .fetch_all(&mut *self.view.db)
                .await?
                .into_iter()
                .collect();
            undecided.extend(
                page.iter()
                    .filter(|survivor| !decided.contains(&survivor.gid))
                    .cloned(),
            );
        }
        Ok(undecided)
    }

    /// Ends the snapshot. Dropping it does too.
    pub async fn close(self) -> sqlx::Result<()> {
        if let Some(beside) = self.beside {
            beside.db.rollback().await?;
        }
        self.view.db.rollback().await
    }
}

impl SaleRow {
    async fn read(db: &mut MySqlConnection, sale: SaleId) -> sqlx::Result<Self> {
        sqlx::query_as!(
            Self,
            r#"select i.total, i.available, i.sold, s.per_user_limit, s.starts_at as "starts_at: _", s.ends_at as "ends_at: _",
                      s.state as "state: SaleState", s.revision
               from sales s join sale_inventory i on i.sale_id = s.id where s.id = ?"#,
            sale
        )
        .fetch_one(db)
        .await
    }
}

impl View {
    /// Rows read at once.
    pub const PAGE: usize = 2_000;

    pub const fn names(&self) -> Names {
        self.names
    }

    /// The next page of buyers with units, in the order of their ids.
    pub async fn buyers(&mut self, after: Option<UserId>) -> sqlx::Result<Vec<Buyer>> {
        let after = after.unwrap_or_else(|| UserId::from_uuid(Uuid::nil()));
        sqlx::query_as!(
            Buyer,
            r#"select user_id as "user: UserId", units, last_order_id as "last_order: OrderId"
               from sale_buyers where sale_id = ? and user_id > ? and units > 0 order by user_id limit ?"#,
            self.names.sale,
            after,
            Self::PAGE as u64
        )
        .fetch_all(&mut *self.db)
        .await
    }

    /// The next page of keys of the last 24 h's orders, in the order of the orders' ids, which are in the order of time.
    pub async fn keys(&mut self, after: Option<OrderId>) -> sqlx::Result<Vec<OwnedKey>> {
        let after = after.unwrap_or_else(|| first_order_of(Utc::now() - KEYS_SINCE));
        let rows = sqlx::query!(
            r#"select id as "order: OrderId", user_id as "user: UserId", idempotency_key as "key!", body_hash as "body_hash!",
                      created_at as "created_at: DateTime<Utc>"
               from orders
               where sale_id = ? and id > ? and idempotency_key is not null and body_hash is not null
                 and (reason is null or reason <> 'duplicate')
               order by id limit ?"#,
            self.names.sale,
            after,
            Self::PAGE as u64
        )
        .fetch_all(&mut *self.db)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| OwnedKey {
                order: row.order,
                user: row.user,
                idempotency: Idempotency {
                    key: row.key,
                    body_hash: row.body_hash,
                },
                created_at: row.created_at,
            })
            .collect())
    }
}

/// No order minted since `time` has a lower id.
fn first_order_of(time: DateTime<Utc>) -> OrderId {
    let ms = u128::try_from(time.timestamp_millis()).unwrap_or_default();
    OrderId::from_uuid(Uuid::from_u128(ms << 80))
}
