//! Redis against MySQL, sale by sale. What differs at two looks running is told, as an error and as a figure; nothing is changed.

use crate::{
    metrics::{STOCK_CONSERVATION_DRIFT_UNITS, STOCK_UNITS},
    schedule::Scan,
};
use anyhow::Context as _;
use metrics::gauge;
use ordering::{
    SaleId,
    leases::{Held, Leases},
    reconcile::{Compared, Reconciler, Verdict},
};
use std::{collections::HashMap, time::Duration};
use tracing::{error, info};

/// A scan that has not renewed its lease for so long is gone.
const LEASE: Duration = Duration::from_secs(5);

/// Compares all sales.
pub struct Comparison {
    reconciler: Reconciler,
    leases: Leases,
    /// Sales that differed at the last look that could tell, and whether that was told.
    differing: HashMap<SaleId, Drift>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Drift {
    units: i64,
    told: bool,
}

impl Comparison {
    /// Compares with `reconciler`, one process at a time.
    #[must_use]
    pub fn new(reconciler: Reconciler, leases: Leases) -> Self {
        Self {
            reconciler,
            leases,
            differing: HashMap::new(),
        }
    }

    /// Units by which a sale has differed at two looks running; 0 for one that agrees or was seen to differ once only.
    #[must_use]
    pub fn drift(&self, sale: SaleId) -> i64 {
        self.differing
            .get(&sale)
            .filter(|drift| drift.told)
            .map_or(0, |drift| drift.units)
    }

    fn take_in(&mut self, seen: &Compared) {
        let before = self.differing.get(&seen.sale).copied();
        match (seen.verdict, before) {
            (Verdict::Drift(units), Some(drift)) => {
                if !drift.told || drift.units != units {
                    tell(seen, units);
                }
                self.differing
                    .insert(seen.sale, Drift { units, told: true });
            }
            (Verdict::Drift(units), None) => {
                self.differing
                    .insert(seen.sale, Drift { units, told: false });
            }
            (Verdict::Agrees, Some(drift)) => {
                if drift.told {
                    info!(sale.id = %seen.sale, "Redis and MySQL agree again on sale {}", seen.sale);
                }
                self.differing.remove(&seen.sale);
            }
            (Verdict::Agrees, None) | (Verdict::OnTheWay, _) => {}
        }
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

fn tell(seen: &Compared, units: i64) {
    let Compared {
        sale,
        redis,
        mysql_available,
        mysql_sold,
        ..
    } = seen;
    error!(
        sale.id = %sale,
        drift_units = units,
        "Redis and MySQL differ by {units} units on sale {sale}, at two looks running: Redis has {} available, {} held, {} sold, {} \
         owed; MySQL has {mysql_available} available, {mysql_sold} sold. MySQL is right; deleting the sale's hash in Redis has it rebuilt",
        redis.available, redis.held, redis.sold, redis.owed
    );
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
        for seen in &compared {
            self.take_in(seen);
            // A finished campaign's sales are no labels any more.
            if !seen.long_over {
                self.publish(seen);
            }
        }
        Ok(())
    }
}
