//! What Redis says of a sale. The page never waits for it: an answer that does not come at once is none, and that is said.

use crate::App;
use ordering::{
    SaleId,
    sales::Sale,
    stock::{Create, Levels, StockError},
};
use std::time::Duration;
use tokio::time::timeout;
use tracing::warn;

/// How long a page waits for Redis.
const LOOKED_UP_WITHIN: Duration = Duration::from_millis(300);
/// How long an act waits until Redis has its terms.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// What is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RedisSide {
    Levels(Levels),
    /// Its state is being made anew from MySQL, or has to be; no order is taken meanwhile.
    BeingRebuilt,
    /// Redis has no such sale.
    Missing,
    /// Redis does not answer.
    Away,
}

/// Looks it up.
pub(super) async fn look(app: &App, sale: SaleId) -> RedisSide {
    let Some(stock) = &app.stock else {
        return RedisSide::Away;
    };
    match timeout(LOOKED_UP_WITHIN, stock.levels(sale)).await {
        Ok(Ok(Some(levels))) => RedisSide::Levels(levels),
        Ok(Ok(None)) => RedisSide::Missing,
        Ok(Err(StockError::Fenced)) => RedisSide::BeingRebuilt,
        Ok(Err(_)) | Err(_) => RedisSide::Away,
    }
}

/// Tells Redis a sale's terms. `false`: it does not have them yet, and the compensator's comparison brings them there.
pub(super) async fn tell(app: &App, sale: &Sale, epoch: i64) -> bool {
    let Some(stock) = &app.stock else {
        return false;
    };
    let terms = sale.terms_at(epoch, app.held_max);
    match timeout(TOLD_WITHIN, stock.set(&terms, Create::No)).await {
        Ok(Ok(_)) => true,
        Ok(Err(cause)) => {
            warn!(sale.id = %sale.id, "The change of sale {} is not in Redis yet: {:#}", sale.id, anyhow::Error::new(cause));
            false
        }
        Err(_) => {
            warn!(sale.id = %sale.id, "The change of sale {} is not in Redis yet: it does not answer", sale.id);
            false
        }
    }
}
