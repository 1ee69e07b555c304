//! The verdict on what Redress promises, from outside: raw SQL, raw Redis reads, the topics read from their beginning, and a log
//! of its own of every request and answer. It shares no code with the product, so that it cannot share its mistakes.
//!
//! What it leaves out: it repairs nothing, and it judges only what is stored; whether an alert was read, and pages, are somebody else's.
//!
//! Memory: some 200 bytes for each order and request, in compact tables (`orders`, `witness`), and one sale's buyers at a time;
//! everything else is streamed. A million accepted orders in one sale were audited in 270 MiB.

pub mod checks;
pub mod endpoints;
pub mod journal;
pub mod table;
pub mod verdict;

mod database;
mod failures;
mod kafka;
mod messages;
mod orders;
mod redis_node;
mod settle;
mod stock;
mod watch;
mod witness;

pub use watch::Watch;

use anyhow::Context;
use endpoints::{Endpoints, Names};
use redis_node::Node;
use settle::Readers;
use std::{path::PathBuf, time::Duration};
use verdict::{Report, Tally};
use witness::Witness;

/// What is to be audited.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Where the servers are.
    pub endpoints: Endpoints,
    /// The names of topics and group.
    pub names: Names,
    /// The journals of every load that ran.
    pub journals: Vec<PathBuf>,
    /// How long the stack may take to settle.
    pub settle_within: Duration,
}

/// Waits until the stack is settled, then looks at everything and judges. `watch` is ended once the stack is settled.
///
/// # Errors
/// Something could not be read, so that no verdict is possible.
pub async fn audit(
    scope: &Scope,
    watch: Option<Watch>,
    progress: impl FnMut(&str),
) -> anyhow::Result<Report> {
    let mut tally = Tally::default();
    let mut witness = Witness::read(&scope.journals, &mut tally)?;
    let Scope {
        endpoints, names, ..
    } = scope;
    let readers = Readers::new(&endpoints.kafka, names)?;
    let settled_after = settle::wait(scope, &readers, &mut tally, progress).await?;
    if let Some(watch) = watch {
        watch.finish(&mut tally).await?;
    }
    settle::check_lag(&readers, names, &mut tally).await?;

    let mut db = database::snapshot(&endpoints.mysql).await?;
    let mut node = Node::connect(&endpoints.redis_stock).await?;
    let sales = database::sales(&mut db).await?;
    database::check_sales(&mut db, &sales, &mut tally).await?;
    stock::compare(&mut node, &mut db, &sales, &mut tally).await?;
    let mut orders = database::walk_orders(&mut db, &mut witness, &mut tally).await?;
    database::walk_transactions(&mut db, &orders, &mut tally).await?;
    let mut failures = failures::check(&mut db, &mut tally).await?;

    let names = names.clone();
    let failed = failures.counts();
    let (tally, orders, topics) = tokio::task::spawn_blocking(move || {
        let topics = &readers.orders;
        let counts = messages::compare(topics, &names, &mut orders, &mut failures, &mut tally)?;
        anyhow::Ok((tally, orders.counts(), counts))
    })
    .await
    .context("reading the topics failed")??;
    Ok(Report {
        verdicts: tally.verdicts(),
        orders,
        failures: failed,
        topics,
        journal: witness.counts(),
        settled_after_s: settled_after.as_secs_f64(),
    })
}
