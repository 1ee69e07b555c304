//! The sales that are asked for, so that an order costs no call to MySQL.
//!
//! A sale is read on the first request for it and again, at most once a second, while requests for it come in; while MySQL does
//! not answer, what is known stays good. A sale that is not there is asked for again every time: it may be made at any moment.
//! There is one entry per sale that exists, so memory is bounded by the catalogue.
//!
//! A changed sale may have units again: its new terms are also what makes the memory of its being sold out worthless.

use crate::{every_second::EverySecond, problems, sold_out::SoldOut};
use ordering::{
    SaleId,
    sales::{self, Sale},
};
use service_kit::problem::Problem;
use sqlx::MySqlPool;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{sync::Semaphore, time::timeout};
use tracing::warn;

/// How long a request may wait for news of a sale it already knows.
const REFRESH_WITHIN: Duration = Duration::from_millis(300);
/// First requests for sales that ask MySQL at the same time: when a sale opens, thousands come at once.
const LOADS_AT_ONCE: usize = 4;

/// All sales this process was asked for. Cloning shares them.
#[derive(Clone)]
pub(crate) struct SaleCache {
    db: MySqlPool,
    sales: Arc<RwLock<HashMap<SaleId, Arc<Cached>>>>,
    loads: Arc<Semaphore>,
}

/// One sale as last read, and what is known of its stock.
pub(crate) struct Cached {
    sale: RwLock<Arc<Sale>>,
    refresh: EverySecond,
    pub sold_out: SoldOut,
}

impl Cached {
    pub fn sale(&self) -> Arc<Sale> {
        Arc::clone(&self.sale.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes in `sale` unless it was changed since it was `before`.
    fn replace(&self, before: &Arc<Sale>, sale: Sale) {
        let changed = before.revision != sale.revision;
        let mut known = self.sale.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&known, before) {
            return;
        }
        *known = Arc::new(sale);
        drop(known);
        if changed {
            self.sold_out.forget();
        }
    }
}

impl SaleCache {
    pub fn new(db: MySqlPool) -> Self {
        Self {
            db,
            sales: Arc::default(),
            loads: Arc::new(Semaphore::new(LOADS_AT_ONCE)),
        }
    }

    /// The sale, 404 when there is none, 503 when it is not known yet and MySQL does not answer.
    pub async fn get(&self, sale: SaleId) -> Result<Arc<Cached>, Problem> {
        let Some(cached) = self.known(sale) else {
            return self.load(sale).await;
        };
        if cached.refresh.claim() {
            self.refresh(sale, &cached).await;
        }
        Ok(cached)
    }

    /// Takes in a sale that was just changed here. Other processes see it at their next look, a second later at most.
    pub fn changed(&self, sale: Sale) {
        let Some(cached) = self.known(sale.id) else {
            return;
        };
        let mut known = cached.sale.write().unwrap_or_else(PoisonError::into_inner);
        // Of two changes at the same time the earlier one may come here last.
        if known.revision < sale.revision {
            *known = Arc::new(sale);
        }
        drop(known);
        cached.sold_out.forget();
    }

    async fn load(&self, id: SaleId) -> Result<Arc<Cached>, Problem> {
        let _turn = self
            .loads
            .acquire()
            .await
            .map_err(|_| problems::unavailable())?;
        if let Some(cached) = self.known(id) {
            return Ok(cached);
        }
        let sale = sales::get(&self.db, id)
            .await
            .map_err(problems::database)?
            .ok_or_else(|| problems::sale_not_found(id))?;
        let cached = Cached {
            sale: RwLock::new(Arc::new(sale)),
            refresh: EverySecond::new(),
            sold_out: SoldOut::new(),
        };
        cached.refresh.restart();
        let mut sales = self.sales.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(
            sales.entry(id).or_insert_with(|| Arc::new(cached)),
        ))
    }

    async fn refresh(&self, id: SaleId, cached: &Cached) {
        let before = cached.sale();
        match timeout(REFRESH_WITHIN, sales::get(&self.db, id)).await {
            Ok(Ok(Some(sale))) => cached.replace(&before, sale),
            Ok(Ok(None)) => {
                warn!(sale.id = %id, "Sale {id} is gone from MySQL; it is still served as it was");
            }
            Ok(Err(cause)) => {
                warn!(sale.id = %id, "Sale {id} is served as it was: {:#}", anyhow::Error::new(cause));
            }
            Err(_) => warn!(sale.id = %id, "Sale {id} is served as it was: MySQL does not answer"),
        }
    }

    fn known(&self, sale: SaleId) -> Option<Arc<Cached>> {
        self.sales
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&sale)
            .cloned()
    }
}
