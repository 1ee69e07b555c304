//! Orders nobody paid for in time: taken back like any other, by the decision a buyer's own cancellation is, so that of the two, and of a
//! payment, one wins. Whoever takes payments sets an order to `paid` with `where status = 'confirmed'`, and looks whether it did.
//!
//! They are found by an index, the oldest first, a page at a time; how often, and whether at all, is the caller's to say.

use crate::{
    cancel::Placed,
    engine::OrderEngine,
    ids::OrderId,
    status::{OrderOutcome, OrderStatus},
    work::TakenBack,
};
use chrono::{DateTime, NaiveDateTime, Utc};
use coordinator::SubmitError;
use futures::future::join_all;
use sqlx::MySqlPool;
use std::time::Duration;
use tracing::{error, info};
use uuid::Uuid;

/// Orders a page: the engine decides them in a few batches.
const PAGE: u32 = 200;

/// Takes them back.
pub struct Unpaid {
    db: MySqlPool,
    engine: OrderEngine,
    after: Duration,
    /// Where the next page begins: what cannot be taken back now does not keep the others waiting.
    place: Place,
}

/// An order's place among those that are confirmed.
#[derive(Debug, Clone, Copy)]
struct Place {
    decided_at: NaiveDateTime,
    id: Uuid,
}

impl Place {
    /// Before all orders.
    const FIRST: Self = Self {
        decided_at: DateTime::UNIX_EPOCH.naive_utc(),
        id: Uuid::nil(),
    };
}

/// What became of a page.
#[derive(Debug, Default)]
pub struct Page {
    /// Orders that are cancelled now; perhaps by somebody else in the same moment.
    pub cancelled: u64,
    /// The units of these.
    pub units: u64,
    /// Orders that somebody paid for, or settled otherwise, meanwhile.
    pub too_late: u64,
    /// Orders that are still being settled: they are looked at in the next round.
    pub not_settled: u64,
    /// Orders that cannot be taken back, see the log.
    pub failed: u64,
    /// Whether there may be more of them; otherwise the next page is the first again.
    pub more: bool,
    /// Why the rest of the page has to wait. The next page is then the same one.
    pub trouble: Option<SubmitError>,
}

impl Unpaid {
    /// Those that have been confirmed for longer than `after`, by the database's clock.
    #[must_use]
    pub const fn new(db: MySqlPool, engine: OrderEngine, after: Duration) -> Self {
        Self {
            db,
            engine,
            after,
            place: Place::FIRST,
        }
    }

    /// Takes back one page of them. Call it again while there are more. Any number may run at once: an order is taken back once.
    ///
    /// # Errors
    /// What the database says; nothing was begun.
    pub async fn run_page(&mut self) -> sqlx::Result<Page> {
        let found = unpaid(&self.db, self.after, self.place).await?;
        let more = found.len() == PAGE as usize;
        let next = found.last().filter(|_| more).map(|(place, _)| *place);
        let answers = join_all(found.into_iter().map(|(_, order)| self.take_back(order))).await;
        let mut page = Page {
            more,
            ..Page::default()
        };
        for answer in answers {
            match answer? {
                End::Cancelled(units) => {
                    page.cancelled += 1;
                    page.units += u64::from(units);
                }
                End::TooLate => page.too_late += 1,
                End::NotSettled => page.not_settled += 1,
                End::Failed => page.failed += 1,
                End::NotNow(cause) => page.trouble = Some(cause),
            }
        }
        if page.trouble.is_none() {
            self.place = next.unwrap_or(Place::FIRST);
        }
        Ok(page)
    }

    /// Returns once Redis was told of all that was taken back, or recovery has to tell it.
    pub async fn finish(self) {
        self.engine.drain().await;
    }

    async fn take_back(&self, order: Placed) -> sqlx::Result<End> {
        if !order.is_finished() {
            return Ok(End::NotSettled);
        }
        let (id, units) = (order.id, order.quantity);
        Ok(
            match self
                .engine
                .cancel(order.message()?, TakenBack::Unpaid)
                .await
            {
                Ok(OrderOutcome::Confirmed) => {
                    info!(order.id = %id, "Order {id} was cancelled: nobody paid in time");
                    End::Cancelled(units)
                }
                Ok(_) => End::TooLate,
                Err(SubmitError::Unavailable(cause)) => {
                    End::NotNow(SubmitError::Unavailable(cause))
                }
                Err(SubmitError::Stopped) => End::NotNow(SubmitError::Stopped),
                Err(cause) => failed(id, &cause),
            },
        )
    }
}

/// What became of one order.
enum End {
    Cancelled(u32),
    TooLate,
    NotSettled,
    Failed,
    NotNow(SubmitError),
}

fn failed(id: OrderId, cause: &SubmitError) -> End {
    error!(order.id = %id, "Order {id}, which nobody paid for, cannot be cancelled: {cause}");
    End::Failed
}

/// A page of confirmed orders that are old enough, behind `place`.
async fn unpaid(
    db: &MySqlPool,
    after: Duration,
    place: Place,
) -> sqlx::Result<Vec<(Place, Placed)>> {
    let rows = sqlx::query!(
        r#"select o.id as "id: OrderId", o.gid as "gid: coordinator::Gid", o.generation as "generation: u32",
                  o.user_id as "user_id: identity::UserId", o.sale_id as "sale_id: crate::SaleId", o.quantity as "quantity: u32", o.price,
                  o.created_at as "created_at: DateTime<Utc>", o.decided_at as "decided_at: NaiveDateTime", t.state as "tx_state?"
           from orders o force index (orders_by_status) left join transactions t on t.gid = o.gid
           where o.status = 'confirmed' and o.decided_at < utc_timestamp(3) - interval ? second
             and o.decided_at >= ? and (o.decided_at > ? or o.id > ?)
           order by o.decided_at, o.id limit ?"#,
        i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        place.decided_at,
        place.decided_at,
        place.id,
        PAGE
    )
    .fetch_all(db)
    .await?;
    let placed = rows.into_iter().map(|row| {
        let place = Place {
            decided_at: row.decided_at,
            id: row.id.as_uuid(),
        };
        let placed = Placed {
            id: row.id,
            gid: row.gid,
            generation: row.generation,
            user_id: row.user_id,
            sale_id: row.sale_id,
            quantity: row.quantity,
            price: row.price,
            status: OrderStatus::Confirmed.as_str().to_owned(),
            created_at: row.created_at,
            tx_state: row.tx_state,
        };
        (place, placed)
    });
    Ok(placed.collect())
}
