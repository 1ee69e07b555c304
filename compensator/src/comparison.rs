//! Redis against MySQL, sale by sale. What differs at two looks running is written down, told to people, and put right: the sale is
//! fenced, and the fence's watch makes it anew from MySQL.

use crate::{
    metrics::{STOCK_CONSERVATION_DRIFT_UNITS, STOCK_UNITS},
    schedule::Scan,
};
use anyhow::Context as _;
use compensation::alerts::{Alert, Severity, outbox};
use metrics::gauge;
use ordering::{
    SaleId, drift,
    leases::{Held, Leases},
    reconcile::{Compared, Reconciler, Verdict},
};
use redis::aio::ConnectionManager;
use sqlx::MySqlPool;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use tracing::{error, info};

/// A scan that has not renewed its lease for so long is gone.
const LEASE: Duration = Duration::from_secs(5);

/// Compares all sales.
pub struct Comparison {
    reconciler: Reconciler,
    leases: Leases,
    repair: Repair,
    /// Sales that differed at the last look that could tell, by how much, and whether they had before.
    differing: HashMap<SaleId, Differs>,
}

/// What is done about drift.
pub struct Repair {
    /// Where it is written down.
    pub db: MySqlPool,
    /// Where it is fenced.
    pub redis: ConnectionManager,
    /// Who is told.
    pub channels: Vec<String>,
    /// Whether the sale is fenced and made anew; otherwise people are told only.
    pub fences: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Differs {
    units: i64,
    again: bool,
}

impl Comparison {
    /// Compares with `reconciler`, one process at a time.
    #[must_use]
    pub fn new(reconciler: Reconciler, leases: Leases, repair: Repair) -> Self {
        Self {
            reconciler,
            leases,
            repair,
            differing: HashMap::new(),
        }
    }

    /// Units by which a sale has differed at two looks running; 0 for one that agrees or was seen to differ once only.
    #[must_use]
    pub fn drift(&self, sale: SaleId) -> i64 {
        self.differing
            .get(&sale)
            .filter(|differs| differs.again)
            .map_or(0, |differs| differs.units)
    }

    async fn take_in(&mut self, seen: &Compared, known: &HashSet<SaleId>) -> anyhow::Result<()> {
        match seen.verdict {
            Verdict::Drift(units) => {
                let again = self.differing.contains_key(&seen.sale);
                let differs = Differs { units, again };
                self.differing.insert(seen.sale, differs);
                if again {
                    self.repair.begin(seen, units).await?;
                }
            }
            Verdict::Agrees => {
                self.differing.remove(&seen.sale);
                if known.contains(&seen.sale) {
                    self.repair.end(seen.sale).await?;
                }
            }
            Verdict::OnTheWay => {}
        }
        Ok(())
    }

    fn publish(&self, seen: &Compared) {
        let (sale, redis) = (seen.sale.to_string(), seen.redis);
        for (state, units) in [
            ("available", redis.available),
            ("held", redis.held),
            ("sold", redis.sold),
            ("owed", redis.owed),
        ] {
            gauge!(STOCK_UNITS, "sale" => sale.clone(), "state" => state).set(units as f64);
        }
        gauge!(STOCK_CONSERVATION_DRIFT_UNITS, "sale" => sale).set(self.drift(seen.sale) as f64);
    }
}

impl Repair {
    /// Writes it down and tells people, once; then fences the sale, however often it takes.
    async fn begin(&self, seen: &Compared, units: i64) -> anyhow::Result<()> {
        let Compared {
            sale,
            redis,
            mysql_available,
            mysql_sold,
            ..
        } = seen;
        let mut tx = self.db.begin().await?;
        if let Some(id) = drift::found(&mut tx, seen, units, self.fences).await? {
            error!(
                sale.id = %sale,
                drift_units = units,
                "Redis and MySQL differ by {units} units on sale {sale}, at two looks running: Redis has {} available, {} held, {} sold, {} \
                 owed; MySQL has {mysql_available} available, {mysql_sold} sold. MySQL is right",
                redis.available, redis.held, redis.sold, redis.owed
            );
            let next = if self.fences {
                "Redis' numbers of this sale are made anew from MySQL; orders for it are refused for a moment. No order is lost or doubled."
            } else {
                "MySQL is right. Setting the field `suspect` of the sale's hash in Redis to 1 has it made anew; never delete the hash, for what is \
                 reserved is found through it. scans.repair_drift would have done it."
            };
            let title = format!("Redis and MySQL differ by {units} units on a sale");
            let alert = Alert::new("drift", Severity::Warning, &sale.to_string(), &title)
                .text(next)
                .fact(
                    "Redis",
                    format!(
                        "{} available, {} held, {} sold, {} owed",
                        redis.available, redis.held, redis.sold, redis.owed
                    ),
                )
                .fact(
                    "MySQL",
                    format!("{mysql_available} available, {mysql_sold} sold"),
                )
                .once(&id.to_string());
            outbox::insert(&mut tx, &self.channels, &alert).await?;
        }
        tx.commit().await?;
        if self.fences {
            drift::fence(&self.redis, *sale)
                .await
                .context("Redis does not let a sale be fenced that differs from MySQL")?;
        }
        Ok(())
    }

    async fn end(&self, sale: SaleId) -> anyhow::Result<()> {
        if drift::over(&mut *self.db.acquire().await?, sale).await? {
            info!(sale.id = %sale, "Redis and MySQL agree again on sale {sale}");
        }
        Ok(())
    }
}

impl Scan for Comparison {
    const NAME: &'static str = "comparison";

    async fn run_once(&mut self) -> anyhow::Result<()> {
        let compared = match self
            .leases
            .under(Self::NAME, LEASE, self.reconciler.compare())
            .await
            .context("MySQL gives no lease")?
        {
            Held::Done(compared) => compared?,
            Held::Busy | Held::Lost => return Ok(()),
        };
        let known = drift::open(&self.repair.db)
            .await
            .context("MySQL does not tell which sales differed")?;
        let known = known.into_iter().collect();
        let mut trouble = None;
        for seen in &compared {
            // One sale's trouble keeps no other from being looked at.
            if let Err(cause) = self.take_in(seen, &known).await {
                trouble.get_or_insert(cause);
            }
            // A finished campaign's sales are no labels any more.
            if !seen.long_over {
                self.publish(seen);
            }
        }
        trouble.map_or(Ok(()), Err)
    }
}
