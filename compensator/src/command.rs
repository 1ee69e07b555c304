//! `compensator scan NAME`: one scan, once, for whoever wants to know now. It prints what it found and did.
//!
//! It goes by the leases of the scans that run, so it may be used beside them: where one works just now, the command waits for its turn.
//! A scan that says something only after a second look (drift, overdue reservations, figures of traffic) is given it.

use crate::{
    Scans,
    comparison::OnDrift,
    findings::Findings,
    old_records,
    schedule::Scan,
    servers::{Reached, Servers},
    watcher::Watch,
    weekly,
};
use anyhow::{Context as _, bail};
use clap::Subcommand;
use compensation::archive;
use compensation::{report::Week, watch::Bounds};
use ordering::leases::Leases;
use service_kit::settings::Settings;
use sqlx::MySqlPool;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long servers may take to answer: nobody waits at a prompt for one that is away.
const REACHED_WITHIN: Duration = Duration::from_secs(30);
/// How long another process may be at the same scan.
const FREE_WITHIN: Duration = Duration::from_mins(1);
/// Between two tries to have the scan's lease.
const ASKED_EVERY: Duration = Duration::from_millis(200);
/// Between two looks for drift: what is on its way to Redis has arrived by then.
const DRIFT_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Looks of the fence's watch that open a sale again: it believes the second.
const FENCE_LOOKS: usize = 3;
/// How long orders are given to pass the end of the topic.
const PASSED_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at that.
const PASSED_EVERY: Duration = Duration::from_secs(1);
/// How long traffic is looked at: processes write down what they counted every 5 s.
const TRAFFIC: Duration = Duration::from_secs(6);

/// The scans that are commands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Publishes reservations again that nobody decided, once their message cannot still be waiting its turn
    OverdueReservations,
    /// Completes transactions that were decided and left
    UnfinishedTransactions,
    /// Compares Redis with MySQL, sale by sale; changes nothing unless it is told to
    Drift {
        /// Write down what differs at two looks, tell people, and make it anew in Redis from MySQL
        #[arg(long)]
        repair: bool,
    },
    /// Cancels orders nobody paid for in time, where the settings say after how long
    UnpaidOrders,
    /// Removes old records, up to 100 batches
    Retention,
    /// Makes weekly reports that are missing, and prints the last one, or that of a week
    WeeklyReport {
        /// Only print the report of this week, 2026-W47, whether it is stored or not
        #[arg(long)]
        week: Option<Week>,
    },
    /// Prints the figures people are told of, as they are now, with their bounds
    Watcher,
}

impl Command {
    /// Its name, as it is typed.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::OverdueReservations => "overdue-reservations",
            Self::UnfinishedTransactions => "unfinished-transactions",
            Self::Drift { .. } => "drift",
            Self::UnpaidOrders => "unpaid-orders",
            Self::Retention => "retention",
            Self::WeeklyReport { .. } => "weekly-report",
            Self::Watcher => "watcher",
        }
    }

    /// Runs it once.
    ///
    /// # Errors
    /// What kept it from its work; servers that do not answer within 30 s; another process that is at it for longer than a minute.
    pub async fn run(
        self,
        settings: &Settings,
        stop: &CancellationToken,
    ) -> anyhow::Result<Findings> {
        let once = Box::pin(self.once(settings, stop));
        match stop.run_until_cancelled(once).await {
            Some(findings) => findings,
            None => bail!("it was stopped: what was done until then stays done"),
        }
    }

    async fn once(self, settings: &Settings, stop: &CancellationToken) -> anyhow::Result<Findings> {
        match self {
            Self::Retention => {
                let db = mysql(settings, stop).await?;
                let archive = archive::Store::new(&settings.dlq, db.clone())?;
                let mut scan = old_records(settings, &db, &archive, &leases(settings, &db));
                free(&mut scan).await
            }
            Self::WeeklyReport { week } => {
                let db = mysql(settings, stop).await?;
                let mut scan = weekly(settings, &db, &leases(settings, &db));
                let made = match week {
                    None => free(&mut scan).await?,
                    Some(_) => Findings::nothing(),
                };
                Ok(made.and_then(scan.show(week).await?))
            }
            Self::Watcher => {
                let db = mysql(settings, stop).await?;
                let watch = Watch::new(db, Bounds::from(&settings.watch));
                watch.figures(TRAFFIC).await
            }
            Self::OverdueReservations => {
                let scans = scans(settings, stop).await?;
                overdue(scans).await
            }
            Self::UnfinishedTransactions => {
                let mut scan = scans(settings, stop).await?.unfinished;
                let findings = free(&mut scan).await?;
                scan.told().await;
                Ok(findings)
            }
            Self::Drift { repair } => {
                let scans = scans(settings, stop).await?;
                Box::pin(drift(scans, repair)).await
            }
            Self::UnpaidOrders => {
                let mut scan = scans(settings, stop).await?.unpaid;
                let findings = free(&mut scan).await?;
                scan.finish().await;
                Ok(findings)
            }
        }
    }
}

/// Looks again until those that were noted are published, or their messages are there and still wait their turn.
async fn overdue(scans: Scans) -> anyhow::Result<Findings> {
    let mut scan = scans.overdue;
    let mut findings = free(&mut scan).await?;
    let begun = Instant::now();
    while scan.noted() > 0 && begun.elapsed() < PASSED_WITHIN {
        sleep(PASSED_EVERY).await;
        findings = findings.and_then(free(&mut scan).await?);
    }
    Ok(findings)
}

async fn drift(scans: Scans, repair: bool) -> anyhow::Result<Findings> {
    let Scans {
        comparison,
        mut fence_watch,
        ..
    } = scans;
    let mut scan = comparison.with(if repair {
        OnDrift::Fence
    } else {
        OnDrift::Look
    });
    free(&mut scan).await?;
    sleep(DRIFT_AGAIN_AFTER).await;
    let findings = free(&mut scan).await?;
    if findings.did.is_empty() {
        return Ok(findings);
    }
    for _ in 0..FENCE_LOOKS {
        fence_watch.run_once().await?;
    }
    Ok(findings.and_then(free(&mut scan).await?))
}

/// Runs a scan once it is free.
async fn free<S: Scan>(scan: &mut S) -> anyhow::Result<Findings> {
    let begun = Instant::now();
    loop {
        let findings = scan.run_once().await?;
        if !findings.elsewhere {
            return Ok(findings);
        }
        if begun.elapsed() > FREE_WITHIN {
            bail!(
                "another process has been at {} for {} s: try again later, or look at its log",
                S::NAME,
                FREE_WITHIN.as_secs()
            );
        }
        sleep(ASKED_EVERY).await;
    }
}

async fn scans(settings: &Settings, stop: &CancellationToken) -> anyhow::Result<Scans> {
    let servers: Servers = reached(Reached::default().all(settings, stop)).await?;
    Scans::new(settings, &servers)
}

async fn mysql(settings: &Settings, stop: &CancellationToken) -> anyhow::Result<MySqlPool> {
    reached(Reached::default().mysql(settings, stop)).await
}

async fn reached<T>(
    reaching: impl Future<Output = anyhow::Result<Option<T>>>,
) -> anyhow::Result<T> {
    let within = format!(
        "a server did not answer within {} s, see above",
        REACHED_WITHIN.as_secs()
    );
    timeout(REACHED_WITHIN, reaching)
        .await
        .context(within)??
        .context("it was stopped")
}

fn leases(settings: &Settings, db: &MySqlPool) -> Leases {
    Leases::new(db.clone(), &settings.transaction.lock_prefix)
}
