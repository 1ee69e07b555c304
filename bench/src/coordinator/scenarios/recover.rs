//! Orders that were decided and whose branches nobody completed, as an engine leaves them that died or had no Redis: how long until
//! recovery has settled all of them.

use crate::coordinator::{
    bare_load::Shape,
    floor::{Floor, Order, list},
    results::{Compared, Round, Row, histogram, micros},
    rounds::{Budget, alternate},
    stage::Stage,
};
use anyhow::ensure;
use chrono::Utc;
use coordinator::Pace;
use ordering::{engine::Recovery, foreign::Foreign};
use serde::Deserialize;
use serde_json::{Map, json};
use sqlx::{Executor, MySql, QueryBuilder, Row as _};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

const UNFINISHED: usize = 10_000;
/// Orders decided at once while the backlog is made.
const DECIDED_AT_ONCE: usize = 500;

/// Settles the same backlog over and over, made anew each time.
pub async fn run(stage: &Stage, budget: Budget) -> anyhow::Result<Row> {
    recovery(stage).await?;
    let mut best = (Shape::ALL[0], Duration::MAX);
    for shape in Shape::ALL {
        let took = bare(stage, shape).await?.took;
        if took < best.1 {
            best = (shape, took);
        }
    }
    let rounds = alternate(
        budget,
        async || recovery(stage).await,
        async || bare(stage, best.0).await,
    )
    .await?;
    let mut settings = Map::new();
    settings.insert("unfinished".to_owned(), json!(UNFINISHED));
    settings.insert("floor".to_owned(), best.0.shown());
    settings.insert("latency".to_owned(), json!("until all are settled"));
    Row::of(
        "recover",
        &rounds.product,
        &rounds.floor,
        Compared::ByRate,
        settings,
    )
}

/// Decided, due, and not told to Redis.
async fn leave_unfinished(stage: &Stage) -> anyhow::Result<()> {
    let lists = stage.reserved(1, UNFINISHED).await?;
    let mut floor = Floor::open(stage).await?;
    for batch in lists[0].chunks(DECIDED_AT_ONCE) {
        let batch: Vec<Order> = batch.iter().map(Order::from).collect();
        floor.prepare(&batch).await?;
        floor.decide(&batch).await?;
    }
    sqlx::query("update transactions set due_at = utc_timestamp(3) where state = 'committing'")
        .execute(&stage.db)
        .await?;
    Ok(())
}

/// As the compensator does it.
async fn recovery(stage: &Stage) -> anyhow::Result<Round> {
    leave_unfinished(stage).await?;
    let recovery = Recovery::new(
        stage.db.clone(),
        stage.stock.clone(),
        &Foreign::default(),
        Pace::default(),
    );
    let begun = Instant::now();
    let mut settled = 0;
    loop {
        let recovered = recovery.run_batch().await?;
        settled += recovered.finished;
        if recovered.finished == 0 {
            break;
        }
    }
    round(settled, begun.elapsed())
}

fn round(settled: usize, took: Duration) -> anyhow::Result<Round> {
    ensure!(
        settled == UNFINISHED,
        "{settled} of {UNFINISHED} transactions were settled"
    );
    let mut latency_us = histogram()?;
    latency_us.record(micros(took))?;
    Ok(Round {
        done: settled as u64,
        errors: 0,
        took,
        latency_us,
    })
}

/// Workers that claim, tell Redis and mark, until nothing is left.
async fn bare(stage: &Stage, shape: Shape) -> anyhow::Result<Round> {
    leave_unfinished(stage).await?;
    let mut floors = Vec::with_capacity(shape.in_flight);
    for _ in 0..shape.in_flight {
        floors.push(Floor::open(stage).await?);
    }
    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for mut floor in floors {
        workers.spawn(async move {
            let mut settled = 0;
            loop {
                let batch = claim(&mut floor, shape.batch).await?;
                if batch.is_empty() {
                    return anyhow::Ok(settled);
                }
                floor.complete(&batch).await?;
                settled += batch.len();
            }
        });
    }
    let mut settled = 0;
    while let Some(worker) = workers.join_next().await {
        settled += worker??;
    }
    round(settled, begun.elapsed())
}

#[derive(Deserialize)]
struct Branch {
    sale: Uuid,
    order: Uuid,
    user: Uuid,
    units: i32,
}

/// Claims what is due, as recovery does.
pub(super) async fn claim(floor: &mut Floor, limit: usize) -> anyhow::Result<Vec<Order>> {
    let db = floor.db();
    db.execute("start transaction").await?;
    let rows = sqlx::query(
        "select gid, epoch, payload from transactions \
         where state = ? and due_at <= utc_timestamp(3) order by due_at limit ? for update skip locked",
    )
    .bind("committing")
    .bind(limit as u64)
    .fetch_all(&mut *db)
    .await?;
    let mut batch = Vec::with_capacity(rows.len());
    for row in rows {
        let branch: Branch = serde_json::from_str(row.try_get("payload")?)?;
        batch.push(Order {
            gid: row.try_get("gid")?,
            id: branch.order,
            sale: branch.sale,
            user: branch.user,
            units: branch.units,
            price: 0,
            created_at: Utc::now(),
        });
    }
    if !batch.is_empty() {
        let mut query = QueryBuilder::<MySql>::new(
            "update transactions set due_at = utc_timestamp(3) + interval 10000000 microsecond \
             where state in ('committing', 'rolling_back') and gid in ",
        );
        list(&mut query, batch.iter().map(|order| order.gid));
        query.build().execute(&mut *db).await?;
    }
    db.execute("commit").await?;
    Ok(batch)
}
