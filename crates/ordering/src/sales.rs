//! Sales in MySQL: their terms, and the inventory row every decision of them counts in.
//!
//! How the terms come to Redis is `stock`'s; units sold are changed by decisions alone.

mod change;
mod standing;

pub use crate::stock::SaleState;
pub use change::{Change, ChangeError, change, change_in};
pub use standing::{Standing, one, page};

use crate::{
    ids::{ProductId, SaleId, SaleTag},
    paging::Paging,
    stock::SaleTerms,
};
use chrono::{DateTime, SubsecRound as _, Utc};
use sqlx::MySqlPool;
use uuid::Uuid;

/// What a sale's Redis state starts with, here and in its hash.
const FIRST_EPOCH: i64 = 1;
const FIRST_REVISION: i64 = 1;

/// One flash sale of one product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sale {
    /// The sale.
    pub id: SaleId,
    /// What it sells.
    pub product_id: ProductId,
    /// Of one unit, in minor units.
    pub price: i64,
    /// Units sold at most.
    pub total: u32,
    /// Units one buyer may have.
    pub per_user_limit: u32,
    /// Orders are taken from here on.
    pub starts_at: DateTime<Utc>,
    /// Orders are taken until here.
    pub ends_at: DateTime<Utc>,
    /// Whether it takes orders in that time.
    pub state: SaleState,
    /// Raised by every change.
    pub revision: i64,
    /// By the clock of the process that made it.
    pub created_at: DateTime<Utc>,
}

impl Sale {
    /// Whether it takes orders at `now`.
    #[must_use]
    pub fn is_open_at(&self, now: DateTime<Utc>) -> bool {
        self.state == SaleState::Open && self.starts_at <= now && now < self.ends_at
    }

    /// What Redis is told of a sale that was just made, never of an older one: it is at its first epoch. `held_max` bounds the
    /// units it may hold undecided.
    #[must_use]
    pub const fn terms(&self, held_max: u32) -> SaleTerms {
        self.terms_at(FIRST_EPOCH, held_max)
    }

    /// What Redis is told of a sale that is at this epoch.
    #[must_use]
    pub const fn terms_at(&self, epoch: i64, held_max: u32) -> SaleTerms {
        SaleTerms {
            sale: self.id,
            epoch,
            revision: self.revision,
            total: self.total,
            per_user_limit: self.per_user_limit,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            state: self.state,
            held_max,
        }
    }
}

/// A sale to be made. The columns refuse what contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSale {
    /// Must be there.
    pub product_id: ProductId,
    /// Of one unit, at least 0, in minor units.
    pub price: i64,
    /// Units, `1..=i32::MAX`.
    pub total: u32,
    /// Units one buyer may have, `1..=i32::MAX`.
    pub per_user_limit: u32,
    /// May lie in the past. Cut to milliseconds.
    pub starts_at: DateTime<Utc>,
    /// After `starts_at`; may lie in the past. Cut to milliseconds.
    pub ends_at: DateTime<Utc>,
}

/// Which sales, by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Every one.
    All,
    /// Begun and not over, paused or not.
    Live,
    /// Not begun.
    Upcoming,
    /// Over.
    Ended,
    /// Redis was found to say something else of them than MySQL, and not to agree since. For those who look after sales.
    Drifting,
}

impl Filter {
    /// What the statements compare with; nothing means all.
    pub(crate) const fn phase(self) -> Option<&'static str> {
        match self {
            Self::All => None,
            Self::Live => Some("live"),
            Self::Upcoming => Some("upcoming"),
            Self::Ended => Some("ended"),
            Self::Drifting => Some("drifting"),
        }
    }
}

/// Makes a sale with all its units available, open, at its first epoch.
///
/// # Errors
/// What the database says; a product that is not there is a violated foreign key.
pub async fn create(db: &MySqlPool, new: NewSale) -> sqlx::Result<Sale> {
    let sale = Sale {
        id: SaleId::fresh(),
        product_id: new.product_id,
        price: new.price,
        total: new.total,
        per_user_limit: new.per_user_limit,
        starts_at: new.starts_at.trunc_subsecs(3),
        ends_at: new.ends_at.trunc_subsecs(3),
        state: SaleState::Open,
        revision: FIRST_REVISION,
        created_at: Utc::now().trunc_subsecs(3),
    };
    let tag = sale.id.tag();
    let mut tx = db.begin().await?;
    sqlx::query!(
        "insert into sales (id, tag, product_id, price, total, per_user_limit, starts_at, ends_at, state, revision, created_at)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        sale.id,
        tag.as_slice(),
        sale.product_id,
        sale.price,
        sale.total,
        sale.per_user_limit,
        // As DATETIME: a TIMESTAMP parameter ends in 2038.
        sale.starts_at.naive_utc(),
        sale.ends_at.naive_utc(),
        sale.state.as_str(),
        sale.revision,
        sale.created_at
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "insert into sale_inventory (sale_id, total, available, sold, epoch) values (?, ?, ?, 0, ?)",
        sale.id,
        sale.total,
        sale.total,
        FIRST_EPOCH
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(sale)
}

/// One sale.
///
/// # Errors
/// What the database says.
pub async fn get(db: &MySqlPool, sale: SaleId) -> sqlx::Result<Option<Sale>> {
    sqlx::query_as!(
        Sale,
        r#"select id as "id: SaleId", product_id as "product_id: ProductId", price, total as "total: u32",
                  per_user_limit as "per_user_limit: u32", starts_at as "starts_at: DateTime<Utc>",
                  ends_at as "ends_at: DateTime<Utc>", state as "state: SaleState", revision,
                  created_at as "created_at: DateTime<Utc>"
           from sales where id = ?"#,
        sale
    )
    .fetch_optional(db)
    .await
}

/// A page of the sales `filter` lets through, newest first, and how many there are of them.
///
/// # Errors
/// What the database says.
pub async fn list(db: &MySqlPool, filter: Filter, page: Paging) -> sqlx::Result<(Vec<Sale>, u64)> {
    let phase = filter.phase();
    let sales = sqlx::query_as!(
        Sale,
        r#"select id as "id: SaleId", product_id as "product_id: ProductId", price, total as "total: u32",
                  per_user_limit as "per_user_limit: u32", starts_at as "starts_at: DateTime<Utc>",
                  ends_at as "ends_at: DateTime<Utc>", state as "state: SaleState", revision,
                  created_at as "created_at: DateTime<Utc>"
           from sales
           where ? is null or ? = case when utc_timestamp(3) < starts_at then 'upcoming'
                                       when utc_timestamp(3) < ends_at then 'live' else 'ended' end
           order by id desc limit ? offset ?"#,
        phase,
        phase,
        page.per_page,
        page.offset()
    )
    .fetch_all(db)
    .await?;
    let total = sqlx::query_scalar!(
        "select count(*) from sales
         where ? is null or ? = case when utc_timestamp(3) < starts_at then 'upcoming'
                                     when utc_timestamp(3) < ends_at then 'live' else 'ended' end",
        phase,
        phase
    )
    .fetch_one(db)
    .await?;
    Ok((sales, total.unsigned_abs()))
}

/// The sales an order with this tag may belong to: nearly always one.
///
/// # Errors
/// What the database says.
pub async fn by_tag(db: &MySqlPool, tag: SaleTag) -> sqlx::Result<Vec<SaleId>> {
    sqlx::query_scalar!(
        r#"select id as "id: SaleId" from sales where tag = ?"#,
        tag.as_slice()
    )
    .fetch_all(db)
    .await
}

/// Up to `limit` sales whose ids come after `last`, in the order of their ids: how scans walk over all of them.
///
/// # Errors
/// What the database says.
pub async fn after(db: &MySqlPool, last: Option<SaleId>, limit: u32) -> sqlx::Result<Vec<SaleId>> {
    let last = last.unwrap_or(SaleId::from_uuid(Uuid::nil()));
    sqlx::query_scalar!(
        r#"select id as "id: SaleId" from sales where id > ? order by id limit ?"#,
        last,
        limit
    )
    .fetch_all(db)
    .await
}
