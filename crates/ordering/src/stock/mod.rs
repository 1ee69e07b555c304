//! Reservations of stock in Redis, one atomic script an operation. They admit; they decide nothing.
//!
//! Every call carries the sale's epoch. A script that is not there, a hash that is missing, closed or suspect, and another epoch
//! are all the *fence*: the caller reads the epoch once more, tries again if it is another, and else gives up for now. Nothing
//! here ever loads a script: that is the rebuild's right alone.

mod completion;
pub(crate) mod looks;
pub mod measures;
mod reply;
mod reserve;
pub(crate) mod scripts;
mod terms;

pub use completion::{Completed, Completion, Op, Vote};
pub use reserve::{
    OverdueReservation, Refusal, Reservation, ReservationState, Reserve, ReserveError, Reserved,
    Window, Withdrawn,
};
pub use terms::{Create, Levels, SaleState, SaleTerms, SetOutcome};

use crate::{
    ids::SaleId,
    keys::{self, Names},
};
use redis::{Cmd, RedisError, Value, aio::ConnectionManager};
use reply::Reply;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

/// Sales whose epochs are remembered; beyond it all are forgotten and read again.
const EPOCHS_AT_MOST: usize = 100_000;
/// What one call takes at most: 200 gids keep Redis busy for about 1 ms.
const GIDS_A_CALL: usize = 200;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum StockError {
    /// The sale is being rebuilt, or has to be. Nothing was written.
    #[error("the sale's stock is being rebuilt")]
    Fenced,
    /// Redis' memory is full. Nothing was written.
    #[error("Redis has no memory left")]
    Full,
    /// Redis did not answer: the call may have been applied.
    #[error("Redis did not answer")]
    NoAnswer(#[source] RedisError),
    /// A reply this build does not know.
    #[error("unknown reply of a stock script: {0}")]
    UnknownReply(String),
}

/// The stock node, as every process uses it. Cloning shares the connection.
#[derive(Clone)]
pub struct Stock {
    redis: ConnectionManager,
    epochs: Arc<RwLock<HashMap<SaleId, i64>>>,
}

impl Stock {
    /// Uses `redis` for every call.
    #[must_use]
    pub fn new(redis: ConnectionManager) -> Self {
        Self {
            redis,
            epochs: Arc::default(),
        }
    }

    /// Calls a script of a sale at the epoch known here; fenced, once more at the epoch the hash has.
    async fn at_epoch(
        &self,
        sale: SaleId,
        call: impl Fn(Names) -> Cmd,
    ) -> Result<Reply, StockError> {
        let remembered = self.remembered(sale);
        let epoch = match remembered {
            Some(epoch) => epoch,
            None => self.read_epoch(sale).await?,
        };
        match self.send(&call(Names { sale, epoch })).await {
            Err(StockError::Fenced) if remembered.is_some() => {
                let fresh = self.read_epoch(sale).await?;
                if fresh == epoch {
                    Err(StockError::Fenced)
                } else {
                    self.send(&call(Names { sale, epoch: fresh })).await
                }
            }
            answer => answer,
        }
    }

    async fn send(&self, call: &Cmd) -> Result<Reply, StockError> {
        Reply::of(
            call.query_async::<Vec<Value>>(&mut self.redis.clone())
                .await,
        )
    }

    async fn read_epoch(&self, sale: SaleId) -> Result<i64, StockError> {
        let mut read = redis::cmd("HGET");
        read.arg(keys::stock(sale)).arg("epoch");
        let epoch: Option<i64> = match read.query_async(&mut self.redis.clone()).await {
            Ok(epoch) => epoch,
            // Only a read went unanswered: nothing was asked of the sale, which is all that fenced says.
            Err(_) => return Err(StockError::Fenced),
        };
        let mut epochs = self.epochs.write().unwrap_or_else(PoisonError::into_inner);
        let Some(epoch) = epoch else {
            epochs.remove(&sale);
            return Err(StockError::Fenced);
        };
        if epochs.len() >= EPOCHS_AT_MOST {
            epochs.clear();
        }
        epochs.insert(sale, epoch);
        Ok(epoch)
    }

    fn remembered(&self, sale: SaleId) -> Option<i64> {
        self.epochs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&sale)
            .copied()
    }
}
