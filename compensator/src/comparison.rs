//! Redis against MySQL, sale by sale. What differs at two looks running is written down, told to people, and put right: the sale is
//! fenced, and the fence's watch makes it anew from MySQL.

use crate::{
    findings::Findings,
    metrics::{STOCK_CONSERVATION_DRIFT_UNITS, STOCK_UNITS},
    schedule::{Scan, under_lease},
};
use anyhow::Context as _;
use compensation::alerts::{Alert, Severity, record};
use metrics::gauge;
use ordering::{
    SaleId, drift,
    leases::Leases,
    reconcile::{Compared, Reconciler, Verdict},
};
use redis::aio::ConnectionManager;
use sqlx::MySqlPool;
use std::collections::{HashMap, HashSet};
use tracing::error;

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
    /// How far it goes.
    pub on_drift: OnDrift,
}

/// How far the repair of drift goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDrift {
    /// Nothing is changed, not even written down: for who only asks.
    Look,
    /// It is written down and people are told.
    Tell,
    /// The sale is fenced besides, and made anew.
    Fence,
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

    /// The same, going this far.
    #[must_use]
    pub fn with(mut self, on_drift: OnDrift) -> Self {
        self.repair.on_drift = on_drift;
        self
    }

    /// Units by which a sale has differed at two looks running; 0 for one that agrees or was seen to differ once only.
    #[must_use]
    pub fn drift(&self, sale: SaleId) -> i64 {
        self.differing
            .get(&sale)
            .filter(|differs| differs.again)
            .map_or(0, |differs| differs.units)
    }

    /// What is done about a sale, in words where anything is.
    async fn take_in(
        &mut self,
        seen: &Compared,
        known: &HashSet<SaleId>,
    ) -> anyhow::Result<Option<String>> {
        match seen.verdict {
            Verdict::Drift(units) => {
                let again = self.differing.contains_key(&seen.sale);
                let differs = Differs { units, again };
                self.differing.insert(seen.sale, differs);
                if again {
                    return self.repair.begin(seen, units).await;
                }
            }
            Verdict::Agrees => {
                self.differing.remove(&seen.sale);
                if known.contains(&seen.sale) {
                    return self.repair.end(seen.sale).await;
                }
            }
            Verdict::OnTheWay => {}
        }
        Ok(None)
    }

    async fn look(&mut self) -> anyhow::Result<Findings> {
        let compared = self.reconciler.compare().await?;
        let known = drift::open(&self.repair.db)
            .await
            .context("MySQL does not tell which sales differed")?;
        let known = known.into_iter().collect();
        let (mut on_the_way, mut differing) = (0, 0);
        let mut findings = Findings::nothing();
        let mut trouble = None;
        for seen in &compared {
            match self.take_in(seen, &known).await {
                Ok(Some(done)) => findings = findings.did(done),
                Ok(None) => {}
                // One sale's trouble keeps no other from being looked at.
                Err(cause) => trouble = trouble.or(Some(cause)),
            }
            match seen.verdict {
                Verdict::OnTheWay => on_the_way += 1,
                Verdict::Drift(units) => {
                    differing += 1;
                    findings = findings.found(self.sentence(seen, units));
                }
                Verdict::Agrees => {}
            }
            // A finished campaign's sales are no labels any more.
            if !seen.long_over {
                self.publish(seen);
            }
        }
        if let Some(cause) = trouble {
            return Err(cause);
        }
        let sales = compared.len() as u64;
        Ok(findings
            .found(format!(
                "Compared {sales} sales: {differing} differ, {on_the_way} have decisions on their way and cannot be told"
            ))
            .count("sales", sales)
            .count("differing", differing)
            .count("on_the_way", on_the_way))
    }

    fn sentence(&self, seen: &Compared, units: i64) -> String {
        let often = if self.drift(seen.sale) == 0 {
            "at this look"
        } else {
            "at two looks running"
        };
        format!("{}, {often}: {}", differ(seen.sale, units), numbers(seen))
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

fn differ(sale: SaleId, units: i64) -> String {
    format!("Redis and MySQL differ by {units} units on sale {sale}")
}

fn numbers(seen: &Compared) -> String {
    let Compared {
        redis,
        mysql_available,
        mysql_sold,
        ..
    } = seen;
    format!(
        "Redis has {} available, {} held, {} sold, {} owed; MySQL has {mysql_available} available, {mysql_sold} sold. MySQL is right",
        redis.available, redis.held, redis.sold, redis.owed
    )
}

impl Repair {
    /// Writes it down and tells people, once; then fences the sale, however often it takes.
    pub(crate) async fn begin(
        &self,
        seen: &Compared,
        units: i64,
    ) -> anyhow::Result<Option<String>> {
        if self.on_drift == OnDrift::Look {
            return Ok(None);
        }
        let fences = self.on_drift == OnDrift::Fence;
        let Compared {
            sale,
            redis,
            mysql_available,
            mysql_sold,
            ..
        } = seen;
        let mut tx = self.db.begin().await?;
        if let Some(id) = drift::found(&mut tx, seen, units, fences).await? {
            error!(
                sale.id = %sale,
                drift_units = units,
                "{}, at two looks running: {}",
                differ(*sale, units),
                numbers(seen)
            );
            let next = if fences {
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
            record(&mut tx, &alert).await?;
        } else if fences {
            drift::is_fenced(&mut tx, *sale).await?;
        }
        tx.commit().await?;
        if !fences {
            return Ok(None);
        }
        drift::fence(&self.redis, *sale)
            .await
            .context("Redis does not let a sale be fenced that differs from MySQL")?;
        Ok(Some(format!(
            "Closed sale {sale} for a moment: its numbers in Redis are made anew from MySQL"
        )))
    }

    async fn end(&self, sale: SaleId) -> anyhow::Result<Option<String>> {
        if self.on_drift == OnDrift::Look {
            return Ok(None);
        }
        let mut tx = self.db.begin().await?;
        let over = drift::over(&mut tx, sale).await?;
        if over {
            let title = "Redis and MySQL agree again on a sale";
            let alert = Alert::new("drift", Severity::Info, &sale.to_string(), title).resolves();
            record(&mut tx, &alert).await?;
        }
        tx.commit().await?;
        Ok(over.then(|| format!("Redis and MySQL agree again on sale {sale}")))
    }
}

impl Scan for Comparison {
    const NAME: &'static str = "comparison";

    async fn run_once(&mut self) -> anyhow::Result<Findings> {
        let leases = self.leases.clone();
        under_lease(&leases, Self::NAME, self.look()).await
    }
}
