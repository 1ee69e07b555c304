//! A sale's numbers and rules in Redis: brought there after MySQL has them, and read as they stand.

use super::{Stock, StockError, scripts};
use crate::{ids::SaleId, keys};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Whether a sale takes orders while its window is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(rename_all = "snake_case")]
pub enum SaleState {
    /// It does.
    Open,
    /// Staff stopped it for now.
    Paused,
}

impl SaleState {
    /// How it is stored, in MySQL and in Redis.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paused => "paused",
        }
    }
}

/// A sale as MySQL has it.
#[derive(Debug, Clone)]
pub struct SaleTerms {
    /// The sale.
    pub sale: SaleId,
    /// Its epoch in MySQL.
    pub epoch: i64,
    /// Its revision: a hash that has this one or a newer one is left as it is.
    pub revision: i64,
    /// Units.
    pub total: u32,
    /// Units one user may hold.
    pub per_user_limit: u32,
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// When it is over.
    pub ends_at: DateTime<Utc>,
    /// Whether it takes orders.
    pub state: SaleState,
    /// Units reserved and not settled, at most.
    pub held_max: u32,
}

/// Whether a missing hash is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// By the request that creates the sale, and by nobody else.
    Yes,
    /// A missing hash has been lost: the rebuild makes it.
    No,
}

/// What became of [`Stock::set`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOutcome {
    /// The hash was made.
    Created,
    /// The hash was changed.
    Set,
    /// The hash had this revision or a newer one.
    Known,
}

/// A sale's numbers at one instant. `total = available + held + sold − owed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// How often its Redis state was rebuilt.
    pub epoch: i64,
    /// Units of the sale.
    pub total: i64,
    /// Units that can be reserved.
    pub available: i64,
    /// Units reserved and not settled.
    pub held: i64,
    /// Units sold.
    pub sold: i64,
    /// Units sold that were not there any more: the next ones given back pay them.
    pub owed: i64,
}

impl Stock {
    /// Brings a sale's terms to Redis. KEYS and ARGV as `lua/set.lua` lists them.
    ///
    /// # Errors
    /// When the sale is fenced or Redis does not answer; the rebuild brings the terms then.
    pub async fn set(&self, terms: &SaleTerms, create: Create) -> Result<SetOutcome, StockError> {
        let mut call = scripts::SET.call(&[keys::stock(terms.sale)]);
        call.arg(terms.epoch)
            .arg(u8::from(create == Create::Yes))
            .arg(terms.revision)
            .arg(terms.total)
            .arg(terms.per_user_limit)
            .arg(terms.starts_at.timestamp_millis())
            .arg(terms.ends_at.timestamp_millis())
            .arg(terms.state.as_str())
            .arg(terms.held_max);
        let reply = self.send(&call).await?;
        match reply.code() {
            "created" => Ok(SetOutcome::Created),
            "set" => Ok(SetOutcome::Set),
            "known" => Ok(SetOutcome::Known),
            _ => Err(reply.unexpected()),
        }
    }

    /// A sale's numbers; `None` when Redis has no such sale.
    ///
    /// # Errors
    /// When the sale is fenced or Redis does not answer.
    pub async fn levels(&self, sale: SaleId) -> Result<Option<Levels>, StockError> {
        let fields = [
            "epoch",
            "closed",
            "suspect",
            "total",
            "available",
            "held",
            "sold",
            "owed",
        ];
        let read: Vec<Option<i64>> = redis::cmd("HMGET")
            .arg(keys::stock(sale))
            .arg(&fields)
            .query_async(&mut self.redis.clone())
            .await?;
        let [epoch, closed, suspect, total, available, held, sold, owed] = read.as_slice() else {
            return Err(StockError::UnknownReply(format!(
                "{} fields of a hash",
                read.len()
            )));
        };
        if closed.is_some() || suspect.is_some() {
            return Err(StockError::Fenced);
        }
        Ok((|| {
            Some(Levels {
                epoch: (*epoch)?,
                total: (*total)?,
                available: (*available)?,
                held: (*held)?,
                sold: (*sold)?,
                owed: (*owed)?,
            })
        })())
    }
}
