//! Orders nobody paid for in time are cancelled, where `scans.unpaid_after_s` says after how long.
//!
//! It is off unless that is set: nothing here takes payments, and to a shop that does not mark its paid orders every order is unpaid.

use crate::{
    findings::Findings,
    metrics::ORDERS_UNPAID_CANCELLED_TOTAL,
    schedule::{Scan, under_lease},
};
use anyhow::Context as _;
use metrics::counter;
use ordering::{leases::Leases, unpaid::Unpaid};

/// Pages a turn, at most: 10,000 orders in ten seconds, and live orders have room beside them.
const PAGES: usize = 50;

/// Cancels what nobody paid for.
pub struct UnpaidOrders {
    /// `None`: orders may wait for ever.
    unpaid: Option<Box<Unpaid>>,
    leases: Leases,
}

impl UnpaidOrders {
    /// One process at a time.
    #[must_use]
    pub fn new(unpaid: Option<Unpaid>, leases: Leases) -> Self {
        Self {
            unpaid: unpaid.map(Box::new),
            leases,
        }
    }

    /// Whether it does anything at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.unpaid.is_some()
    }

    /// Returns once Redis was told of what was cancelled.
    pub async fn finish(self) {
        if let Some(unpaid) = self.unpaid {
            unpaid.finish().await;
        }
    }
}

impl Scan for UnpaidOrders {
    const NAME: &'static str = "unpaid_orders";

    async fn run_once(&mut self) -> anyhow::Result<Findings> {
        let Some(unpaid) = &mut self.unpaid else {
            return Ok(Findings::nothing().found(
                "Orders may stay unpaid for ever: scans.unpaid_after_s is 0, so nothing was looked at.",
            ));
        };
        let leases = self.leases.clone();
        under_lease(&leases, Self::NAME, cancel(unpaid)).await
    }
}

async fn cancel(unpaid: &mut Unpaid) -> anyhow::Result<Findings> {
    let (mut cancelled, mut units, mut too_late, mut waiting, mut failed) = (0, 0, 0, 0, 0);
    let mut more = false;
    for _ in 0..PAGES {
        let page = unpaid
            .run_page()
            .await
            .context("MySQL does not tell which orders are unpaid")?;
        counter!(ORDERS_UNPAID_CANCELLED_TOTAL).increment(page.cancelled);
        cancelled += page.cancelled;
        units += page.units;
        too_late += page.too_late;
        waiting += page.not_settled;
        failed += page.failed;
        if let Some(cause) = page.trouble {
            return Err(cause)
                .with_context(|| format!("unpaid orders wait, {cancelled} were cancelled before"));
        }
        more = page.more;
        if !more {
            break;
        }
    }
    let mut findings = Findings::nothing()
        .count("cancelled", cancelled)
        .count("units", units)
        .count("settled_meanwhile", too_late)
        .count("not_settled_yet", waiting)
        .count("failed", failed);
    if cancelled > 0 {
        findings = findings.did(format!(
            "Cancelled {cancelled} orders nobody paid for in time: {units} units are for sale again"
        ));
    }
    for (orders, what) in [
        (too_late, "were paid for or settled otherwise meanwhile"),
        (waiting, "are still being settled, and looked at again"),
        (failed, "cannot be cancelled: the log says why"),
    ] {
        if orders > 0 {
            findings = findings.found(format!("{orders} unpaid orders {what}"));
        }
    }
    Ok(if more {
        findings.found("There are more: the next turn goes on")
    } else if cancelled + too_late + waiting + failed == 0 {
        findings.found("No order is unpaid for too long")
    } else {
        findings
    })
}
