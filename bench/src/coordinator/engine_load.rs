//! Load for the product: callers of an [`OrderEngine`], each of whom waits for the outcome before asking for the next.

use super::{
    results::{Round, histogram, micros},
    stage::Stage,
};
use anyhow::ensure;
use coordinator::Limits;
use futures::future::join_all;
use ordering::{OrderOutcome, engine::OrderEngine, foreign::Foreign, message::OrderMessage};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
    vec,
};
use tokio::task::JoinSet;

/// Orders of each sale that are settled before anything is measured: the engine opens its sessions with them.
pub const WARM_UP: usize = 100;

type Orders = Arc<Mutex<vec::IntoIter<OrderMessage>>>;

/// For the results file.
#[must_use]
pub fn shown(limits: Limits) -> Value {
    json!({
        "batch_size": limits.batch_size,
        "batch_at_most": limits.batch_at_most,
        "batch_wait_ms": micros(limits.batch_wait) as f64 / 1_000.0,
        "batches_in_flight": limits.batches_in_flight,
        "queue": limits.queue,
    })
}

/// Settles `lists`, one a sale, by `callers` at the same time. Ends when every branch of every order was completed.
///
/// # Errors
/// An order that should have been confirmed was not, or one could not be completed.
pub async fn saturate(
    stage: &Stage,
    limits: Limits,
    callers: usize,
    lists: Vec<Vec<OrderMessage>>,
) -> anyhow::Result<Round> {
    let engine = OrderEngine::start(
        limits,
        stage.mysql(),
        stage.stock.clone(),
        Foreign::default(),
    );
    let callers_a_sale = callers.div_ceil(lists.len());
    let mut sales = Vec::with_capacity(lists.len());
    for mut list in lists {
        let rest = list.split_off(WARM_UP.min(list.len() / 10));
        warm_up(&engine, list).await?;
        sales.push(rest);
    }

    let total: usize = sales.iter().map(Vec::len).sum();
    let mut latencies = JoinSet::new();
    let begun = Instant::now();
    for orders in sales {
        let orders: Orders = Arc::new(Mutex::new(orders.into_iter()));
        for _ in 0..callers_a_sale {
            latencies.spawn(call(engine.clone(), Arc::clone(&orders)));
        }
    }
    let mut latency_us = histogram()?;
    let mut done = 0;
    while let Some(caller) = latencies.join_next().await {
        for took in caller? {
            latency_us.record(micros(took))?;
            done += 1;
        }
    }
    engine.drain().await;
    let took = begun.elapsed();
    let unfinished: i64 = sqlx::query_scalar(
        "select count(*) from transactions where state in ('begun', 'prepared', 'committing', 'rolling_back')",
    )
    .fetch_one(&stage.db)
    .await?;
    ensure!(unfinished == 0, "{unfinished} transactions are unfinished");
    Ok(Round {
        done,
        errors: total as u64 - done,
        took,
        latency_us,
    })
}

/// Settles these, so that sessions are open and statements prepared.
///
/// # Errors
/// One was not confirmed.
pub async fn warm_up(engine: &OrderEngine, orders: Vec<OrderMessage>) -> anyhow::Result<()> {
    let answers = join_all(orders.into_iter().map(|order| engine.submit(order))).await;
    ensure!(
        answers
            .iter()
            .all(|answer| answer.as_ref().is_ok_and(is_confirmed)),
        "an order of the warm-up was not confirmed"
    );
    Ok(())
}

/// One after the other; how long each confirmed one took.
async fn call(engine: OrderEngine, orders: Orders) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while let Some(order) = next(&orders) {
        let asked = Instant::now();
        if engine
            .submit(order)
            .await
            .is_ok_and(|outcome| is_confirmed(&outcome))
        {
            latencies.push(asked.elapsed());
        }
    }
    latencies
}

fn next(orders: &Orders) -> Option<OrderMessage> {
    orders.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// Whether the buyer has the units.
#[must_use]
pub fn is_confirmed(outcome: &OrderOutcome) -> bool {
    *outcome == OrderOutcome::Confirmed
}
