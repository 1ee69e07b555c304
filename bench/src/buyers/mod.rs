//! Buyers at a sale: each wants one order and asks until there is a final answer.
//!
//! Closed loop: so many buyers are in flight, and the next comes when one is done. Open model (`rate`): buyers come on a
//! schedule, and latency counts from when they meant to come, even if nobody was free to serve them.

pub mod answers;
mod buyer;
mod progress;
mod remarks;

pub use progress::Progress;
pub use remarks::{BadRemark, Remark};

use crate::{
    http::Connection,
    report::{Report, Tally},
    secrets::Minter,
};
use anyhow::Context;
use auditor::journal::{Intent, Journal};
use buyer::Buyer;
use hyper::body::Bytes;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Intents fsynced together before the load.
const CHUNK: usize = 10_000;

/// What buyers are to do.
#[derive(Debug, Clone)]
pub struct Load {
    /// `http://host:port` of seckill-api.
    pub api: String,
    /// The sale they come to.
    pub sale: Uuid,
    /// Who comes; each wants one order.
    pub buyers: Vec<Uuid>,
    /// Units each asks for.
    pub quantity: u32,
    /// What the first of them write on their orders.
    pub remarks: Vec<Remark>,
    /// Buyers served at the same time at most.
    pub in_flight: usize,
    /// Buyers per second in the open model; none: closed loop.
    pub rate: Option<f64>,
    /// The share of buyers who click twice, 0 to 1: every other one of them at the same moment, the others after their answer.
    pub double_clicks: f64,
    /// What the choice of those who click twice hangs on.
    pub seed: u64,
    /// How long a buyer asks before giving up.
    pub patience: Duration,
}

/// What all workers share.
pub(crate) struct Run {
    load: Load,
    path: String,
    minter: Minter,
    journal: Journal,
    progress: Arc<Progress>,
    next: AtomicUsize,
    start: Instant,
}

/// Notes every intent in the journal, lets the buyers come, and closes the journal.
///
/// # Errors
/// The journal cannot be written, or a worker broke. A server that is away is not an error: buyers come again.
pub async fn run(
    load: Load,
    minter: Minter,
    journal: Journal,
    progress: Arc<Progress>,
) -> anyhow::Result<Report> {
    note_intents(&load, &journal).await?;
    let (sale, requests) = (load.sale, load.buyers.len() as u64);
    let workers = load.in_flight.clamp(1, load.buyers.len().max(1));
    let connection = Connection::new(&load.api)?;
    let run = Arc::new(Run {
        path: format!("/api/v1/sales/{sale}/orders"),
        minter,
        journal,
        progress,
        next: AtomicUsize::new(0),
        start: Instant::now(),
        load,
    });
    let mut working = JoinSet::new();
    for _ in 0..workers {
        working.spawn(work(Arc::clone(&run), connection.another()));
    }
    let mut tally = Tally::new()?;
    while let Some(worker) = working.join_next().await {
        tally.add(&worker.context("a worker broke")??)?;
    }
    let duration = run.start.elapsed();
    Arc::into_inner(run)
        .context("a worker is still running")?
        .journal
        .close()
        .await
        .context("the journal is not complete")?;
    Ok(tally.report(sale, requests, duration))
}

async fn note_intents(load: &Load, journal: &Journal) -> anyhow::Result<()> {
    let mut n = 0;
    for some in load.buyers.chunks(CHUNK) {
        let intents = some.iter().map(|&user| {
            n += 1;
            Intent {
                n,
                sale: load.sale,
                user,
                key: Some(key(load.sale, n)),
                quantity: load.quantity,
            }
        });
        journal.intend(intents.collect()).await?;
    }
    Ok(())
}

impl Run {
    /// What the buyer at place `at` writes on the order.
    fn remark(&self, at: usize) -> Option<&str> {
        remarks::of_buyer(&self.load.remarks, at)
    }

    /// The request of a buyer who writes this.
    fn body(&self, remark: Option<&str>) -> Bytes {
        let mut order = json!({ "quantity": self.load.quantity });
        if let Some(remark) = remark {
            order["remark"] = remark.into();
        }
        Bytes::from(order.to_string())
    }
}

/// The idempotency key of the `n`-th buyer.
fn key(sale: Uuid, n: u64) -> String {
    format!("{}-{n}", sale.simple())
}

/// Serves one buyer after another until all have come.
async fn work(run: Arc<Run>, connection: Connection) -> anyhow::Result<Tally> {
    let mut tally = Tally::new()?;
    let (mut first, mut second) = (connection.another(), connection);
    loop {
        let at = run.next.fetch_add(1, Ordering::Relaxed);
        let Some(&user) = run.load.buyers.get(at) else {
            return Ok(tally);
        };
        let meant = match run.load.rate {
            Some(rate) => run.start + Duration::from_secs_f64(at as f64 / rate),
            None => Instant::now(),
        };
        tokio::time::sleep_until(meant.into()).await;
        Buyer::new(&run, at, user, meant)
            .buy(&mut first, &mut second, &mut tally)
            .await?;
    }
}
