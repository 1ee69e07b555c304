//! Whether Redis says of each sale what MySQL says, looked at while both are in use.
//!
//! It changes no number. A sale whose hash cannot be used is for the rebuild; terms that did not reach Redis are brought again; what
//! differs although nothing is on its way is told to the caller, who decides when it has been seen often enough to be true.

use crate::{
    ids::SaleId,
    keys,
    stock::{Create, SaleState, SaleTerms, Stock, StockError},
};
use chrono::{DateTime, Utc};
use redis::{RedisError, aio::ConnectionManager};
use sqlx::MySqlPool;
use std::collections::HashMap;

/// Hashes read in one round trip.
const PAGE: usize = 500;

/// Why a comparison ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// MySQL failed.
    #[error("MySQL does not tell what was sold")]
    Mysql(#[from] sqlx::Error),
    /// Redis failed.
    #[error("Redis does not tell its stock")]
    Redis(#[from] RedisError),
}

/// Sales that no script can work on: their hash is missing, closed or suspect, or not at MySQL's epoch. A rebuild opens them.
///
/// # Errors
/// [`ReconcileError`].
pub async fn fenced(
    db: &MySqlPool,
    redis: &ConnectionManager,
) -> Result<Vec<SaleId>, ReconcileError> {
    let sales = sqlx::query!(r#"select sale_id as "sale: SaleId", epoch from sale_inventory"#)
        .fetch_all(db)
        .await?;
    let hashes = read_hashes(redis, sales.iter().map(|row| row.sale)).await?;
    Ok(sales
        .into_iter()
        .zip(hashes)
        .filter(|(row, hash)| hash.open_epoch() != Some(row.epoch))
        .map(|(row, _)| row.sale)
        .collect())
}

/// One sale, in both stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// The sale.
    pub sale: SaleId,
    /// Redis' numbers.
    pub redis: Numbers,
    /// Units MySQL can still sell.
    pub mysql_available: i64,
    /// Units MySQL sold.
    pub mysql_sold: i64,
    /// Whether it ended more than a day ago.
    pub long_over: bool,
    /// What the comparison says.
    pub verdict: Verdict,
}

/// The numbers of a sale's hash, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// Units of the sale.
    pub total: i64,
    /// Units that can be reserved.
    pub available: i64,
    /// Units reserved and not settled.
    pub held: i64,
    /// Units sold.
    pub sold: i64,
    /// Units sold that were not there any more.
    pub owed: i64,
}

/// What a comparison says of a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Both say the same.
    Agrees,
    /// Decisions are on their way to Redis, or were made while it was read: nothing can be said.
    OnTheWay,
    /// They differ by so many units, though nothing was on its way.
    Drift(i64),
}

/// Compares all sales.
#[derive(Clone)]
pub struct Reconciler {
    db: MySqlPool,
    redis: ConnectionManager,
    stock: Stock,
    held_max: u32,
}

impl Reconciler {
    /// Reads through `redis`; terms that did not reach Redis are brought there through `stock`, with this `held_max`.
    #[must_use]
    pub fn new(db: MySqlPool, redis: ConnectionManager, stock: Stock, held_max: u32) -> Self {
        Self {
            db,
            redis,
            stock,
            held_max,
        }
    }

    /// Looks at every sale whose hash can be used. MySQL is read before Redis and after it, so that a sale of which nothing was
    /// decided meanwhile and nothing is unfinished must agree to the unit, however many reservations come and go.
    ///
    /// # Errors
    /// [`ReconcileError`]. Terms that could not be brought to Redis are left to the next look.
    pub async fn compare(&self) -> Result<Vec<Compared>, ReconcileError> {
        let before = self.rows().await?;
        let hashes = read_hashes(&self.redis, before.iter().map(|row| row.sale)).await?;
        let after: HashMap<SaleId, Row> = self
            .rows()
            .await?
            .into_iter()
            .map(|row| (row.sale, row))
            .collect();
        let mut compared = Vec::with_capacity(before.len());
        for (row, hash) in before.into_iter().zip(hashes) {
            let (Some(numbers), Some(epoch), Some(revision)) =
                (hash.numbers(), hash.open_epoch(), hash.revision)
            else {
                continue;
            };
            let Some(now) = after.get(&row.sale) else {
                continue;
            };
            if epoch != now.epoch {
                continue;
            }
            if revision < now.revision {
                self.bring_terms(now).await;
                continue;
            }
            compared.push(Compared {
                sale: row.sale,
                redis: numbers,
                mysql_available: now.available,
                mysql_sold: now.sold,
                long_over: now.long_over,
                verdict: if row == *now {
                    now.verdict(numbers)
                } else {
                    Verdict::OnTheWay
                },
            });
        }
        Ok(compared)
    }

    async fn bring_terms(&self, row: &Row) {
        let terms = SaleTerms {
            sale: row.sale,
            epoch: row.epoch,
            revision: row.revision,
            total: u32::try_from(row.total).unwrap_or_default(),
            per_user_limit: u32::try_from(row.per_user_limit).unwrap_or_default(),
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            state: row.state,
            held_max: self.held_max,
        };
        match self.stock.set(&terms, Create::No).await {
            Ok(_) => {
                tracing::info!(sale.id = %row.sale, revision = row.revision, "Brought the terms of sale {} to Redis", row.sale);
            }
            Err(StockError::Fenced) => {}
            Err(cause) => {
                tracing::warn!(sale.id = %row.sale, "The terms of sale {} did not reach Redis: {cause}", row.sale);
            }
        }
    }

    /// One statement, so one moment.
    async fn rows(&self) -> sqlx::Result<Vec<Row>> {
        sqlx::query_as!(
            Row,
            r#"select s.id as "sale: SaleId", cast(i.total as signed) as "total!: i64",
                      cast(i.available as signed) as "available!: i64", cast(i.sold as signed) as "sold!: i64", i.epoch, s.revision,
                      s.per_user_limit, s.starts_at as "starts_at: _", s.ends_at as "ends_at: _", s.state as "state: SaleState",
                      s.ends_at < utc_timestamp(3) - interval 1 day as "long_over!: bool",
                      coalesce(u.unfinished, 0) as "unfinished!: i64"
               from sale_inventory i join sales s on s.id = i.sale_id
               left join (select label, count(*) as unfinished from transactions
                          where state in ('begun', 'prepared', 'committing', 'rolling_back', 'stuck_committing', 'stuck_rolling_back')
                          group by label) u on u.label = i.sale_id"#
        )
        .fetch_all(&self.db)
        .await
    }
}

/// A sale as MySQL has it at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub sale: SaleId,
    pub total: i64,
    pub available: i64,
    pub sold: i64,
    pub epoch: i64,
    revision: i64,
    per_user_limit: i32,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    state: SaleState,
    long_over: bool,
    unfinished: i64,
}

impl Row {
    /// One sale. Of very many unfinished transactions it does not look for those that are the sale's: then it counts as having some.
    pub(crate) async fn of(db: &MySqlPool, sale: SaleId) -> sqlx::Result<Option<Self>> {
        sqlx::query_as!(
            Self,
            r#"select s.id as "sale: SaleId", cast(i.total as signed) as "total!: i64",
                      cast(i.available as signed) as "available!: i64", cast(i.sold as signed) as "sold!: i64", i.epoch, s.revision,
                      s.per_user_limit, s.starts_at as "starts_at: _", s.ends_at as "ends_at: _", s.state as "state: SaleState",
                      s.ends_at < utc_timestamp(3) - interval 1 day as "long_over!: bool",
                      cast(if(u.looked_at > 10000, u.looked_at, coalesce(u.unfinished, 0)) as signed) as "unfinished!: i64"
               from sale_inventory i join sales s on s.id = i.sale_id
               join (select count(*) as looked_at, sum(label = ?) as unfinished from
                         (select label from transactions
                          where state in ('begun', 'prepared', 'committing', 'rolling_back', 'stuck_committing', 'stuck_rolling_back')
                          limit 10001) some) u
               where i.sale_id = ?"#,
            sale,
            sale
        )
        .fetch_optional(db)
        .await
    }

    /// What the hash says of the sale, seen between two looks at MySQL: `self` was the first of them.
    pub(crate) fn compare(&self, hash: &Hash, now: &Self) -> Option<Verdict> {
        let (numbers, revision) = (hash.numbers()?, hash.revision?);
        if hash.open_epoch()? != now.epoch {
            return None;
        }
        // Terms that have not reached Redis are on their way there.
        Some(if self == now && revision >= now.revision {
            now.verdict(numbers)
        } else {
            Verdict::OnTheWay
        })
    }

    /// What must hold while nothing is unfinished: the same units sold, and what MySQL calls available is available, held or
    /// already promised in Redis.
    fn verdict(&self, redis: Numbers) -> Verdict {
        let broken = redis.total - redis.available - redis.held - redis.sold + redis.owed;
        if broken != 0 {
            return Verdict::Drift(broken.abs());
        }
        if self.unfinished > 0 {
            return Verdict::OnTheWay;
        }
        let sold = (self.sold - redis.sold).abs();
        let left = (self.available - (redis.available + redis.held - redis.owed)).abs();
        match sold.max(left) {
            0 => Verdict::Agrees,
            units => Verdict::Drift(units),
        }
    }
}

/// What is read of a sale's hash.
pub(crate) const FIELDS: [&str; 9] = [
    "epoch",
    "closed",
    "suspect",
    "revision",
    "total",
    "available",
    "held",
    "sold",
    "owed",
];

/// The values of [`FIELDS`], as Redis gives them.
pub(crate) type HashFields = (
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);

/// A sale's hash.
pub(crate) struct Hash {
    epoch: Option<i64>,
    closed: Option<i64>,
    suspect: Option<i64>,
    revision: Option<i64>,
    units: [Option<i64>; 5],
}

impl Hash {
    /// Its epoch, when scripts may work on it.
    pub(crate) fn open_epoch(&self) -> Option<i64> {
        self.epoch
            .filter(|_| self.closed.is_none() && self.suspect.is_none())
    }

    /// Its units, when all of them are there.
    pub(crate) fn numbers(&self) -> Option<Numbers> {
        let [total, available, held, sold, owed] = self.units;
        Some(Numbers {
            total: total?,
            available: available?,
            held: held?,
            sold: sold?,
            owed: owed?,
        })
    }
}

impl From<HashFields> for Hash {
    fn from(
        (epoch, closed, suspect, revision, total, available, held, sold, owed): HashFields,
    ) -> Self {
        Self {
            epoch,
            closed,
            suspect,
            revision,
            units: [total, available, held, sold, owed],
        }
    }
}

async fn read_hashes(
    redis: &ConnectionManager,
    sales: impl Iterator<Item = SaleId>,
) -> Result<Vec<Hash>, RedisError> {
    let sales: Vec<SaleId> = sales.collect();
    let mut hashes = Vec::with_capacity(sales.len());
    for page in sales.chunks(PAGE) {
        let mut ask = redis::pipe();
        for sale in page {
            ask.cmd("HMGET").arg(keys::stock(*sale)).arg(&FIELDS);
        }
        let read: Vec<HashFields> = ask.query_async(&mut redis.clone()).await?;
        hashes.extend(read.into_iter().map(Hash::from));
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(available: i64, sold: i64, unfinished: i64) -> Row {
        let now = Utc::now();
        Row {
            sale: SaleId::fresh(),
            total: available + sold,
            available,
            sold,
            epoch: 1,
            revision: 1,
            per_user_limit: 1,
            starts_at: now,
            ends_at: now,
            state: SaleState::Open,
            long_over: false,
            unfinished,
        }
    }

    fn numbers(available: i64, held: i64, sold: i64, owed: i64) -> Numbers {
        Numbers {
            total: available + held + sold - owed,
            available,
            held,
            sold,
            owed,
        }
    }

    #[test]
    fn held_and_owed_units_are_no_drift() {
        assert_eq!(row(6, 4, 0).verdict(numbers(3, 3, 4, 0)), Verdict::Agrees);
        assert_eq!(row(2, 8, 0).verdict(numbers(0, 5, 8, 3)), Verdict::Agrees);
    }

    #[test]
    fn a_difference_counts_once_nothing_is_unfinished() {
        assert_eq!(row(6, 4, 1).verdict(numbers(7, 0, 3, 0)), Verdict::OnTheWay);
        assert_eq!(row(6, 4, 0).verdict(numbers(7, 0, 3, 0)), Verdict::Drift(1));
    }

    #[test]
    fn a_hash_that_is_not_conserved_is_drift_whatever_is_on_its_way() {
        let mut broken = numbers(6, 0, 4, 0);
        broken.available -= 2;
        assert_eq!(row(6, 4, 1).verdict(broken), Verdict::Drift(2));
    }
}
