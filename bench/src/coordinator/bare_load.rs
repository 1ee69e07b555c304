//! Load for the floor: so many batches in flight, each worker with its own session.

use super::{
    floor::{Floor, Order},
    results::{Round, histogram, micros},
    stage::Stage,
};
use ordering::message::OrderMessage;
use serde_json::{Value, json};
use std::{sync::Arc, time::Instant};
use tokio::{sync::Barrier, task::JoinSet};

/// How bare calls are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Orders in one batch.
    pub batch: usize,
    /// Batches at the same time.
    pub in_flight: usize,
}

impl Shape {
    /// What the floor is tried at; its best counts.
    pub const ALL: [Self; 9] = [
        Self::new(100, 1),
        Self::new(100, 2),
        Self::new(100, 4),
        Self::new(200, 1),
        Self::new(200, 2),
        Self::new(200, 4),
        Self::new(500, 1),
        Self::new(500, 2),
        Self::new(500, 4),
    ];

    /// So many orders a batch, so many batches in flight.
    #[must_use]
    pub const fn new(batch: usize, in_flight: usize) -> Self {
        Self { batch, in_flight }
    }

    /// For the results file.
    #[must_use]
    pub fn shown(self) -> Value {
        json!({ "batch": self.batch, "in_flight": self.in_flight })
    }
}

/// Settles `lists`, one a sale, as fast as bare calls go in this shape. Each worker has sales of its own where there are enough;
/// the first batch of each is warm-up.
///
/// # Errors
/// What the servers say.
pub async fn saturate(
    stage: &Stage,
    shape: Shape,
    lists: &[Vec<OrderMessage>],
) -> anyhow::Result<Round> {
    let start = Arc::new(Barrier::new(shape.in_flight + 1));
    let mut workers = JoinSet::new();
    for batches in deal(shape, lists) {
        let mut floor = Floor::open(stage).await?;
        let start = Arc::clone(&start);
        workers.spawn(async move {
            let mut latency = histogram()?;
            let mut batches = batches.into_iter();
            let warmed = match batches.next() {
                Some(batch) => floor.settle(&batch).await,
                None => Ok(()),
            };
            start.wait().await;
            warmed?;
            let mut done = 0;
            for batch in batches {
                let begun = Instant::now();
                floor.settle(&batch).await?;
                latency.record_n(micros(begun.elapsed()), batch.len() as u64)?;
                done += batch.len() as u64;
            }
            anyhow::Ok((done, latency))
        });
    }
    start.wait().await;
    let begun = Instant::now();
    let mut round = Round {
        done: 0,
        errors: 0,
        took: begun.elapsed(),
        latency_us: histogram()?,
    };
    while let Some(worker) = workers.join_next().await {
        let (done, latency) = worker??;
        round.done += done;
        round.latency_us.add(latency)?;
    }
    round.took = begun.elapsed();
    Ok(round)
}

/// Batches of one sale each, a list for every worker.
fn deal(shape: Shape, lists: &[Vec<OrderMessage>]) -> Vec<Vec<Vec<Order>>> {
    let mut hands = vec![Vec::new(); shape.in_flight];
    let own_sales = lists.len() >= shape.in_flight;
    for (sale, list) in lists.iter().enumerate() {
        for (at, batch) in list.chunks(shape.batch).enumerate() {
            let worker = if own_sales { sale } else { at } % shape.in_flight;
            hands[worker].push(batch.iter().map(Order::from).collect());
        }
    }
    hands
}
