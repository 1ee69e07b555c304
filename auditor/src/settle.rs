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
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// What is still under way at one look; all empty when settled.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// Messages the consumer groups have not committed.
    pub lag: i64,
    /// Transactions that go on by themselves (stuck ones do not, and are not waited for).
    pub transactions: i64,
    /// Orders that wait to be tried again, or to be given up.
    pub compensations: i64,
    /// Replays that are not finished.
    pub replays: i64,
    /// Alerts that were not tried yet.
    pub alerts: i64,
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

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "lag {}, {} transactions unfinished, {} orders to be tried again, {} replays, {} alerts, {} reservations pending, {} sales \
             fenced",
            self.lag,
            self.transactions,
            self.compensations,
            self.replays,
            self.alerts,
            self.pending,
            self.fenced
        )
    }
}

/// The topics as each of the consumer groups stands on them.
pub struct Readers {
    /// As those who write orders.
    pub orders: Arc<Topics>,
    /// As those who take in what failed.
    failures: Arc<Topics>,
}

impl Readers {
    /// Prepares to read as both groups.
    ///
    /// # Errors
    /// The clients cannot be made; the broker is not asked yet.
    pub fn new(brokers: &str, names: &Names) -> anyhow::Result<Self> {
        Ok(Self {
            orders: Arc::new(Topics::new(brokers, &names.group)?),
            failures: Arc::new(Topics::new(brokers, &names.compensators)?),
        })
    }

    /// How each partition of each topic stands, with the topic's name. A topic nobody has made yet has none, but for the orders'.
    async fn progress(&self, names: &Names) -> anyhow::Result<Vec<(String, Progress)>> {
        let mut all = Vec::new();
        for (topics, topic) in [
            (&self.orders, &names.orders),
            (&self.failures, &names.compensation),
            (&self.failures, &names.dead_letters),
        ] {
            let (topics, name) = (Arc::clone(topics), topic.clone());
            let partitions = tokio::task::spawn_blocking(move || topics.progress(&name))
                .await
                .context("reading the group's offsets failed")??;
            if topic == &names.orders {
                partitions
                    .as_ref()
                    .with_context(|| format!("there is no topic {topic}"))?;
            }
            let partitions = partitions.into_iter().flatten();
            all.extend(partitions.map(|partition| (topic.clone(), partition)));
        }
        Ok(all)
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
    readers: &Readers,
    tally: &mut Tally,
    mut progress: impl FnMut(&str),
) -> anyhow::Result<Duration> {
    let start = Instant::now();
    loop {
        let look = look(endpoints, names, readers).await;
        let over = start.elapsed() >= *settle_within;
        match look {
            Ok(left) if left.is_settled() || over => {
                tally.note(Check::SettledInTime, left.is_settled(), || {
                    format!("after {} s: {left}", settle_within.as_secs())
                });
                return Ok(start.elapsed());
            }
            Ok(left) => progress(&format!("not settled: {left}")),
            Err(cause) if over => return Err(cause),
            Err(cause) => progress(&format!("cannot look: {cause:#}")),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Notes for each partition whether its group is caught up.
///
/// # Errors
/// Kafka does not answer.
pub async fn check_lag(readers: &Readers, names: &Names, tally: &mut Tally) -> anyhow::Result<()> {
    for (topic, at) in readers.progress(names).await? {
        let Progress {
            partition,
            end,
            committed,
        } = at;
        tally.note(Check::NoLag, committed >= end, || {
            format!("{topic} partition {partition}: committed {committed} of {end}")
        });
    }
    Ok(())
}

async fn look(
    endpoints: &Endpoints,
    names: &Names,
    readers: &Readers,
) -> anyhow::Result<Unsettled> {
    let mut left = Unsettled::default();
    for (_, partition) in readers.progress(names).await? {
        left.lag += (partition.end - partition.committed).max(0);
    }
    let mut db = database::connect(&endpoints.mysql).await?;
    (
        left.transactions,
        left.compensations,
        left.replays,
        left.alerts,
    ) = database::unfinished(&mut db).await?;
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
