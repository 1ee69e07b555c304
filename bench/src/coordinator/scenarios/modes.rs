//! What coordination costs and gives: the same orders written in three ways.
//!
//! - *Local*: one database transaction an order, sixteen at a time; nobody tells Redis.
//! - *Queue*: a queue whose workers write batches of orders and tell Redis afterwards. A crash between the two, or a repeat of a
//!   message, leaves stock that is wrong for ever.
//! - *Coordinator*: the product.
//!
//! The row's rate is the coordinator's, its floor the local transaction's.

use crate::coordinator::{
    engine_load,
    floor::{Floor, Order},
    results::{Compared, Round, Row, histogram, median, micros, rounded},
    rounds::{Budget, alternate},
    stage::Stage,
};
use ordering::message::OrderMessage;
use serde_json::{Map, json};
use sqlx::{Executor, MySql, QueryBuilder};
use std::{sync::Arc, time::Instant};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinSet,
};

const SALES: usize = 8;
const CALLERS: usize = 3_200;
const LOCAL_CALLERS: usize = 16;
const QUEUE_WORKERS: usize = 4;
const QUEUE_BATCH: usize = 200;
const COORDINATED_A_SECOND: f64 = 12_000.0;
const QUEUED_A_SECOND: f64 = 20_000.0;
const LOCAL_A_SECOND: f64 = 1_500.0;

/// All three in turn.
pub async fn run(stage: &Stage, budget: Budget) -> anyhow::Result<Row> {
    let orders = |rate| budget.orders_at(rate);
    let mut queued = Vec::new();
    let rounds = alternate(
        budget,
        async || {
            let lists = stage.reserved(SALES, orders(COORDINATED_A_SECOND)).await?;
            engine_load::saturate(stage, stage.limits(), CALLERS, lists).await
        },
        async || {
            let lists = stage.reserved(SALES, orders(QUEUED_A_SECOND)).await?;
            queued.push(queue(stage, lists).await?);
            let lists = stage.reserved(SALES, orders(LOCAL_A_SECOND)).await?;
            local(stage, lists).await
        },
    )
    .await?;
    let figures = |rounds: &[Round]| {
        json!({
            "rate": rounded(median(rounds.iter().map(Round::rate).collect())),
            "mean_ms": rounded(median(rounds.iter().map(Round::mean_ms).collect())),
        })
    };
    let mut settings = Map::new();
    settings.insert("engine".to_owned(), engine_load::shown(stage.limits()));
    settings.insert(
        "modes".to_owned(),
        json!({
            "local": figures(&rounds.floor),
            "queue": figures(&queued),
            "coordinator": figures(&rounds.product),
        }),
    );
    settings.insert(
        "ratio".to_owned(),
        json!("to one local transaction an order, 16 at a time"),
    );
    Row::of(
        "modes",
        &rounds.product,
        &rounds.floor,
        Compared::ByRate,
        settings,
    )
}

/// An order's rows, guarded, one transaction each.
async fn local(stage: &Stage, lists: Vec<Vec<OrderMessage>>) -> anyhow::Result<Round> {
    let mut hands = vec![Vec::new(); LOCAL_CALLERS];
    for (at, order) in lists.iter().flatten().enumerate() {
        hands[at % LOCAL_CALLERS].push(Order::from(order));
    }
    let mut callers = JoinSet::new();
    let begun = Instant::now();
    for orders in hands {
        let mut db = stage.session().await?;
        callers.spawn(async move {
            let mut latency = histogram()?;
            for order in orders {
                let asked = Instant::now();
                db.execute("start transaction").await?;
                write(&mut db, std::slice::from_ref(&order)).await?;
                db.execute("commit").await?;
                latency.record(micros(asked.elapsed()))?;
            }
            anyhow::Ok(latency)
        });
    }
    gathered(callers, begun).await
}

type Asked = (Order, oneshot::Sender<()>);

/// Batches of what waits, a queue for each worker and its sales; Redis is told after the commit.
async fn queue(stage: &Stage, lists: Vec<Vec<OrderMessage>>) -> anyhow::Result<Round> {
    let mut workers = JoinSet::new();
    let mut queues = Vec::with_capacity(QUEUE_WORKERS);
    for _ in 0..QUEUE_WORKERS {
        let (queue, mut waiting) = mpsc::channel::<Asked>(CALLERS);
        queues.push(queue);
        let mut floor = Floor::open(stage).await?;
        workers.spawn(async move {
            let mut taken = Vec::new();
            while waiting.recv_many(&mut taken, QUEUE_BATCH).await > 0 {
                let (mut batch, callers): (Vec<Order>, Vec<_>) = taken.drain(..).unzip();
                batch.sort_unstable_by_key(|order| (order.sale, order.user));
                floor.db().execute("start transaction").await?;
                write(floor.db(), &batch).await?;
                floor.db().execute("commit").await?;
                for caller in callers {
                    let _ = caller.send(());
                }
                for of_sale in batch.chunk_by(|a, b| a.sale == b.sale) {
                    floor.confirm(of_sale).await?;
                }
            }
            anyhow::Ok(())
        });
    }
    let mut callers = JoinSet::new();
    let begun = Instant::now();
    for (at, list) in lists.iter().enumerate() {
        let orders: Vec<Order> = list.iter().map(Order::from).collect();
        let orders = Arc::new(Mutex::new(orders.into_iter()));
        for _ in 0..CALLERS / SALES {
            let (orders, queue) = (Arc::clone(&orders), queues[at % QUEUE_WORKERS].clone());
            callers.spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let Some(order) = orders.lock().await.next() else {
                        return anyhow::Ok(latencies);
                    };
                    let (caller, answer) = oneshot::channel();
                    let asked = Instant::now();
                    queue.send((order, caller)).await?;
                    answer.await?;
                    latencies.push(asked.elapsed());
                }
            });
        }
    }
    drop(queues);
    let mut latency_us = histogram()?;
    while let Some(latencies) = callers.join_next().await {
        for latency in latencies?? {
            latency_us.record(micros(latency))?;
        }
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(Round {
        done: latency_us.len(),
        errors: 0,
        took: begun.elapsed(),
        latency_us,
    })
}

async fn gathered(
    mut callers: JoinSet<anyhow::Result<hdrhistogram::Histogram<u64>>>,
    begun: Instant,
) -> anyhow::Result<Round> {
    let mut latency_us = histogram()?;
    while let Some(latency) = callers.join_next().await {
        latency_us.add(latency??)?;
    }
    Ok(Round {
        done: latency_us.len(),
        errors: 0,
        took: begun.elapsed(),
        latency_us,
    })
}

/// Order, buyer and sale, the guard in the statement; sorted by sale and user.
async fn write(db: &mut sqlx::MySqlConnection, orders: &[Order]) -> sqlx::Result<()> {
    let mut query = QueryBuilder::<MySql>::new(
        "insert into orders (id, gid, generation, user_id, sale_id, quantity, price, status, created_at, decided_at) ",
    );
    query.push_values(orders, |mut row, order| {
        row.push_bind(order.id)
            .push_bind(order.gid)
            .push("0")
            .push_bind(order.user)
            .push_bind(order.sale)
            .push_bind(order.units)
            .push_bind(order.price)
            .push("'confirmed'")
            .push_bind(order.created_at)
            .push("utc_timestamp(3)");
    });
    query.build().execute(&mut *db).await?;
    let mut query = QueryBuilder::<MySql>::new(
        "insert into sale_buyers (sale_id, user_id, units, last_order_id) ",
    );
    query.push_values(orders, |mut row, order| {
        row.push_bind(order.sale)
            .push_bind(order.user)
            .push_bind(order.units)
            .push_bind(order.id);
    });
    query.push(" on duplicate key update units = units + values(units), last_order_id = values(last_order_id)");
    query.build().execute(&mut *db).await?;
    for of_sale in orders.chunk_by(|a, b| a.sale == b.sale) {
        let units: i32 = of_sale.iter().map(|order| order.units).sum();
        sqlx::query(
            "update sale_inventory set available = available - ?, sold = sold + ? where sale_id = ? and available >= ?",
        )
        .bind(units)
        .bind(units)
        .bind(of_sale[0].sale)
        .bind(units)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}
