//! Waiting until nothing is under way any more, or the time for it is over.

use crate::{
    Scope,
    checks::Check,
    database,
    endpoints::{Endpoints, Names},
    kafka::{Progress, Topics},
    redis_node::Node,
    verdict::Tally,
};
use anyhow::Context;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// What is still under way at one look; all empty when settled.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// Messages the consumer group has not committed.
    pub lag: i64,
    /// Transactions that go on by themselves (stuck ones do not, and are not waited for).
    pub transactions: i64,
    /// Reservations in the pending indexes.
    pub pending: u64,
    /// Sales that are fenced.
    pub fenced: usize,
}

impl Unsettled {
    fn is_settled(&self) -> bool {
        *self == Self::default()
    }
}

/// Looks again and again until everything is settled or the time for it is over; `progress` is told what each look found.
/// Returns how long it took; what is left after that is noted against promise 6.
///
/// # Errors
/// A server could not be asked, at the end of the time either.
pub async fn wait(
    Scope {
        endpoints,
        names,
        settle_within,
        ..
    }: &Scope,
    topics: &Arc<Topics>,
    tally: &mut Tally,
    mut progress: impl FnMut(&str),
) -> anyhow::Result<Duration> {
    let start = Instant::now();
    loop {
        let look = look(endpoints, names, topics).await;
        let over = start.elapsed() >= *settle_within;
        match look {
            Ok(left) if left.is_settled() || over => {
                tally.note(Check::SettledInTime, left.is_settled(), || {
                    format!(
                        "after {} s: lag {}, {} transactions unfinished, {} reservations pending, {} sales fenced",
                        settle_within.as_secs(),
                        left.lag,
                        left.transactions,
                        left.pending,
                        left.fenced
                    )
                });
                return Ok(start.elapsed());
            }
            Ok(left) => progress(&format!(
                "not settled: lag {}, {} transactions, {} pending, {} fenced",
                left.lag, left.transactions, left.pending, left.fenced
            )),
            Err(cause) if over => return Err(cause),
            Err(cause) => progress(&format!("cannot look: {cause:#}")),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Notes for each partition whether the group is caught up.
///
/// # Errors
/// Kafka does not answer.
pub async fn check_lag(
    topics: &Arc<Topics>,
    names: &Names,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    for Progress {
        partition,
        end,
        committed,
    } in progress(topics, &names.orders).await?
    {
        tally.note(Check::NoLag, committed >= end, || {
            format!(
                "{} partition {partition}: committed {committed} of {end}",
                names.orders
            )
        });
    }
    Ok(())
}

async fn progress(topics: &Arc<Topics>, topic: &str) -> anyhow::Result<Vec<Progress>> {
    let (topics, topic) = (Arc::clone(topics), topic.to_owned());
    tokio::task::spawn_blocking(move || topics.progress(&topic))
        .await
        .context("reading the group's offsets failed")?
}

async fn look(
    endpoints: &Endpoints,
    names: &Names,
    topics: &Arc<Topics>,
) -> anyhow::Result<Unsettled> {
    let mut left = Unsettled::default();
    for partition in progress(topics, &names.orders).await? {
        left.lag += (partition.end - partition.committed).max(0);
    }
    let mut db = database::connect(&endpoints.mysql).await?;
    left.transactions = database::unfinished(&mut db).await?;
    let mut node = Node::connect(&endpoints.redis_stock).await?;
    for sale in database::sales(&mut db).await? {
        match node.levels(sale.id).await? {
            Some(levels) if !levels.fenced && levels.epoch == sale.epoch => {
                left.pending += node.pending(sale.id, levels.epoch).await?.0;
            }
            _ => left.fenced += 1,
        }
    }
    Ok(left)
}
