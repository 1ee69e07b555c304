//! How long one order takes: alone, and while others come at a given rate.

use crate::coordinator::{
    bare_load::Shape,
    completions::Completions,
    engine_load::{self, WARM_UP, is_confirmed, warm_up},
    floor::{Floor, Order},
    results::{Compared, Round, Row, histogram, micros, rounded},
    rounds::{Budget, alternate},
    stage::Stage,
};
use anyhow::ensure;
use ordering::{engine::OrderEngine, foreign::Foreign, message::OrderMessage};
use serde_json::{Map, json};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Orders a second that are offered, and how many of them may wait for their outcome.
const OFFERED: f64 = 1_200.0;
const IN_FLIGHT: usize = 500;
/// Offered before the clock runs, at the same rate: sessions are new in each round, and each prepares its statements first.
const RAMP: Duration = Duration::from_secs(1);
/// So many are [`OFFERED`] within it.
const RAMP_ORDERS: usize = 1_200;
/// A first guess of how many go one after the other.
const ALONE_A_SECOND: f64 = 300.0;

/// One order after the other, each until all its branches are complete.
pub async fn one_alone(stage: &Stage, budget: Budget) -> anyhow::Result<Row> {
    let completions = Completions::watched();
    let trial = one_list(stage, budget.trial_at(ALONE_A_SECOND)).await?;
    let orders = budget.orders_at(alone_bare(stage, &trial).await?.rate());
    let rounds = alternate(
        budget,
        async || alone_in_the_engine(stage, completions, one_list(stage, orders).await?).await,
        async || alone_bare(stage, &one_list(stage, orders).await?).await,
    )
    .await?;
    let mut settings = Map::new();
    settings.insert("engine".to_owned(), engine_load::shown(stage.limits()));
    settings.insert("floor".to_owned(), Shape::new(1, 1).shown());
    settings.insert(
        "latency".to_owned(),
        json!("submission to all branches complete"),
    );
    settings.insert("ratio".to_owned(), json!("of mean latencies"));
    let row = Row::of(
        "latency-1",
        &rounds.product,
        &rounds.floor,
        Compared::ByLatency,
        settings,
    )?;
    Ok(with_added(row, &rounds.product))
}

/// So many a second, whatever becomes of them; the time runs from when each was to be sent.
pub async fn offered(stage: &Stage, budget: Budget) -> anyhow::Result<Row> {
    let trial = budget.trial_at(OFFERED);
    let mut best = (Shape::ALL[0], f64::MAX);
    for shape in Shape::ALL {
        let tried = offer_bare(stage, shape, &with_ramp(stage, trial).await?).await?;
        if tried.mean_ms() < best.1 {
            best = (shape, tried.mean_ms());
        }
    }
    let (shape, orders) = (best.0, budget.orders_at(OFFERED));
    let rounds = alternate(
        budget,
        async || offer_to_engine(stage, with_ramp(stage, orders).await?).await,
        async || offer_bare(stage, shape, &with_ramp(stage, orders).await?).await,
    )
    .await?;
    let mut settings = Map::new();
    settings.insert("engine".to_owned(), engine_load::shown(stage.limits()));
    settings.insert("floor".to_owned(), shape.shown());
    settings.insert("offered".to_owned(), json!(OFFERED));
    settings.insert("in_flight".to_owned(), json!(IN_FLIGHT));
    settings.insert("sales".to_owned(), json!(1));
    settings.insert("ramp_s".to_owned(), json!(RAMP.as_secs()));
    settings.insert(
        "latency".to_owned(),
        json!("intended time of sending to outcome"),
    );
    settings.insert("ratio".to_owned(), json!("of mean latencies"));
    let row = Row::of(
        "latency-500",
        &rounds.product,
        &rounds.floor,
        Compared::ByLatency,
        settings,
    )?;
    Ok(with_added(row, &rounds.product))
}

/// Says how many milliseconds the engine adds to the bare calls.
fn with_added(mut row: Row, product: &[Round]) -> Row {
    let of_product =
        crate::coordinator::results::median(product.iter().map(Round::mean_ms).collect());
    let of_floor = of_product * row.ratio_to_floor;
    row.settings
        .insert("adds_ms".to_owned(), json!(rounded(of_product - of_floor)));
    row
}

/// Orders of one fresh sale, those of the warm-up besides.
async fn one_list(stage: &Stage, orders: usize) -> anyhow::Result<Vec<OrderMessage>> {
    let mut lists = stage.reserved(1, orders + WARM_UP).await?;
    Ok(lists.swap_remove(0))
}

/// As many orders to be counted, and those of the ramp before them.
async fn with_ramp(stage: &Stage, orders: usize) -> anyhow::Result<Vec<OrderMessage>> {
    one_list(stage, RAMP_ORDERS + orders).await
}

/// An engine whose sessions are open, and the orders that are left.
async fn warm_engine(
    stage: &Stage,
    mut orders: Vec<OrderMessage>,
) -> anyhow::Result<(OrderEngine, Vec<OrderMessage>)> {
    let engine = OrderEngine::start(
        stage.limits(),
        stage.mysql(),
        stage.stock.clone(),
        Foreign::default(),
    );
    let rest = orders.split_off(WARM_UP);
    let together = orders.split_off(WARM_UP / 2);
    warm_up(&engine, together).await?;
    for order in orders {
        warm_up(&engine, vec![order]).await?;
    }
    Ok((engine, rest))
}

async fn alone_in_the_engine(
    stage: &Stage,
    completions: &Completions,
    orders: Vec<OrderMessage>,
) -> anyhow::Result<Round> {
    let (engine, orders) = warm_engine(stage, orders).await?;
    // The last of the warm-up may still be on its way.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut latency_us = histogram()?;
    let begun = Instant::now();
    for order in orders {
        let mut seen = completions.since_now();
        let asked = Instant::now();
        let outcome = engine.submit(order).await?;
        seen.next().await?;
        latency_us.record(micros(asked.elapsed()))?;
        ensure!(is_confirmed(&outcome), "an order was not confirmed");
    }
    let took = begun.elapsed();
    engine.drain().await;
    Ok(Round {
        done: latency_us.len(),
        errors: 0,
        took,
        latency_us,
    })
}

async fn alone_bare(stage: &Stage, orders: &[OrderMessage]) -> anyhow::Result<Round> {
    let mut floor = Floor::open(stage).await?;
    let orders: Vec<Order> = orders.iter().map(Order::from).collect();
    let (warm, orders) = orders.split_at(WARM_UP);
    for order in warm.chunks(1) {
        floor.settle(order).await?;
    }
    let mut latency_us = histogram()?;
    let begun = Instant::now();
    for order in orders.chunks(1) {
        let asked = Instant::now();
        floor.settle(order).await?;
        latency_us.record(micros(asked.elapsed()))?;
    }
    Ok(Round {
        done: latency_us.len(),
        errors: 0,
        took: begun.elapsed(),
        latency_us,
    })
}

async fn offer_to_engine(stage: &Stage, orders: Vec<OrderMessage>) -> anyhow::Result<Round> {
    let (engine, orders) = warm_engine(stage, orders).await?;
    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut callers = JoinSet::new();
    let begun = Instant::now();
    for (order, intended) in orders.into_iter().zip(timetable(begun)) {
        sleep_until(intended).await;
        let (engine, room) = (engine.clone(), Arc::clone(&room).acquire_owned().await?);
        callers.spawn(async move {
            let outcome = engine.submit(order).await;
            drop(room);
            let confirmed = outcome.is_ok_and(|outcome| is_confirmed(&outcome));
            (intended, confirmed.then(|| intended.elapsed()))
        });
    }
    let mut latency_us = histogram()?;
    let mut errors = 0;
    while let Some(called) = callers.join_next().await {
        match called? {
            (_, None) => errors += 1,
            (intended, Some(latency)) if counts(begun, intended) => {
                latency_us.record(micros(latency))?;
            }
            _ => {}
        }
    }
    let took = begun.elapsed().saturating_sub(RAMP);
    engine.drain().await;
    Ok(Round {
        done: latency_us.len(),
        errors,
        took,
        latency_us,
    })
}

/// The plainest server of a queue: so many workers, each takes what waits and settles it.
async fn offer_bare(stage: &Stage, shape: Shape, orders: &[OrderMessage]) -> anyhow::Result<Round> {
    let mut orders: Vec<Order> = orders.iter().map(Order::from).collect();
    let rest = orders.split_off(WARM_UP);
    let (queue, waiting) = mpsc::channel::<(Order, Instant)>(IN_FLIGHT);
    let waiting = Arc::new(Mutex::new(waiting));
    let mut workers = JoinSet::new();
    let mut floors = Vec::new();
    for warm in orders.chunks(WARM_UP.div_ceil(shape.in_flight)) {
        let mut floor = Floor::open(stage).await?;
        floor.settle(warm).await?;
        floors.push(floor);
    }
    let begun = Instant::now();
    for mut floor in floors {
        let waiting = Arc::clone(&waiting);
        workers.spawn(async move {
            let mut latency = histogram()?;
            let mut taken = Vec::new();
            loop {
                let mut waiting = waiting.lock().await;
                // Few sizes, for each prepares its statements once: see coordinator::statement.
                let whole = waiting.len().clamp(1, shape.batch).ilog2();
                if waiting.recv_many(&mut taken, 1 << whole).await == 0 {
                    return anyhow::Ok(latency);
                }
                drop(waiting);
                let (batch, intended): (Vec<_>, Vec<_>) = taken.drain(..).unzip();
                floor.prepare(&batch).await?;
                floor.decide(&batch).await?;
                for intended in intended.into_iter().filter(|at| counts(begun, *at)) {
                    latency.record(micros(intended.elapsed()))?;
                }
                floor.complete(&batch).await?;
            }
        });
    }
    for (order, intended) in rest.into_iter().zip(timetable(begun)) {
        sleep_until(intended).await;
        queue.send((order, intended)).await?;
    }
    drop(queue);
    let mut latency_us = histogram()?;
    while let Some(latency) = workers.join_next().await {
        latency_us.add(latency??)?;
    }
    Ok(Round {
        done: latency_us.len(),
        errors: 0,
        took: begun.elapsed().saturating_sub(RAMP),
        latency_us,
    })
}

fn counts(begun: Instant, intended: Instant) -> bool {
    intended - begun >= RAMP
}

/// When each is to be sent.
fn timetable(begun: Instant) -> impl Iterator<Item = Instant> {
    (0_u32..).map(move |at| begun + Duration::from_secs_f64(f64::from(at) / OFFERED))
}
