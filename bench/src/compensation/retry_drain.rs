//! Failed orders that are due and now succeed: how fast one compensator's lane settles them, from the first claim until the last is
//! closed. It begins as after a start, few at once.
//!
//! The floor: the statements and commands for the same orders issued bare, one batch after the other on one session.

use crate::coordinator::{
    bare_load::Shape,
    floor::{Floor, Order},
    results::{Compared, Round, Row, histogram, micros},
    stage::Stage,
};
use anyhow::ensure;
use chrono::Utc;
use compensation::{
    alerts::Spool,
    archive::Store,
    attempt::{Attempt, FAILED, History, Lane},
    headers::Headers,
    queue::{self, NewWork},
    state::State,
};
use compensator::{repair::Repair, servers::Servers};
use ordering::{foreign::Foreign, message::OrderMessage};
use serde_json::{Map, Value, json};
use service_kit::kafka::Producer;
use sqlx::{Executor as _, Row as _};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use uuid::Uuid;

const ORDERS: usize = 20_000;
const SALES: usize = 4;
/// Rounds of each.
const ROUNDS: usize = 3;
/// Work written by one statement.
const ROWS: usize = 500;
/// What the bare calls take at once, one batch after the other.
const BARE: Shape = Shape::new(ROWS, 1);
const ERROR: &str = "coupon has not promised: HTTP 500";

/// In turn with the floor, each on a backlog of its own.
pub async fn run(stage: &Stage) -> anyhow::Result<Row> {
    let (mut product, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floor.push(bare(stage).await?);
        product.push(lane(stage).await?);
    }
    forget(stage).await?;
    let mut settings = Map::new();
    settings.insert("orders".to_owned(), json!(ORDERS));
    settings.insert("sales".to_owned(), json!(SALES));
    settings.insert("floor".to_owned(), BARE.shown());
    settings.insert("latency".to_owned(), json!("of a batch"));
    Row::of("retry-drain", &product, &floor, Compared::ByRate, settings)
}

async fn forget(stage: &Stage) -> sqlx::Result<()> {
    for table in [
        "compensations",
        "compensation_messages",
        "compensation_logs",
    ] {
        sqlx::query(sqlx::AssertSqlSafe(format!("truncate table {table}")))
            .execute(&stage.db)
            .await?;
    }
    Ok(())
}

/// All of it waits, and is due.
async fn backlog(stage: &Stage) -> anyhow::Result<Vec<OrderMessage>> {
    forget(stage).await?;
    let orders = stage.reserved(SALES, ORDERS).await?.concat();
    for orders in orders.chunks(ROWS) {
        let works: Vec<NewWork> = orders.iter().map(failed_once).collect();
        let mut tx = stage.db.begin().await?;
        ensure!(
            queue::enqueue_all(&mut tx, &works).await?,
            "the queue is not empty"
        );
        tx.commit().await?;
    }
    sqlx::query("analyze table compensations, compensation_messages")
        .execute(&stage.db)
        .await?;
    Ok(orders)
}

fn failed_once(order: &OrderMessage) -> NewWork {
    let mut history = History::default();
    history.push(Attempt {
        generation: 0,
        attempt: 1,
        lane: Lane::First,
        started_at: Utc::now(),
        duration_ms: 0,
        worker: "order-consumer".to_owned(),
        outcome: FAILED.to_owned(),
        error: Some(ERROR.to_owned()),
        next_after_ms: Some(10_000),
    });
    NewWork {
        gid: order.gid.as_uuid(),
        kind: "order",
        order_id: order.order_id.as_uuid(),
        generation: 0,
        sale_id: order.sale_id.as_uuid(),
        user_id: order.user_id.as_uuid(),
        state: State::Scheduled,
        attempts: 1,
        due_after: Duration::ZERO,
        payload: order.to_bytes(),
        headers: Headers::default(),
        history,
        error: Some(ERROR.to_owned()),
    }
}

/// As the compensator does it.
async fn lane(stage: &Stage) -> anyhow::Result<Round> {
    backlog(stage).await?;
    let url = stage.settings.redis.stock.urls.first();
    let db = service_kit::mysql::connect(&stage.settings.database.mysql).await?;
    let servers = Servers {
        archive: Store::new(&stage.settings.dlq, db.clone())?,
        db,
        redis: service_kit::redis::connect(url.map_or("", String::as_str)).await?,
        producer: Producer::new(&stage.settings.kafka.brokers)?,
        foreign: Foreign::default(),
        spool: Spool::new(&stage.settings.alerts.spool),
    };
    let repair = Repair::new(&stage.settings, &servers)?;
    let mut latency_us = histogram()?;
    let begun = Instant::now();
    let mut found = 0;
    loop {
        let asked = Instant::now();
        let batch = repair.retry_lane.run_batch().await?;
        if batch == 0 {
            break;
        }
        found += batch;
        latency_us.record_n(micros(asked.elapsed()), batch as u64)?;
    }
    let took = begun.elapsed();
    let closed = closed(stage).await?;
    ensure!(
        closed == ORDERS && found == ORDERS,
        "{closed} of {ORDERS} are closed, {found} were tried"
    );
    Ok(Round {
        done: closed as u64,
        errors: 0,
        took,
        latency_us,
    })
}

async fn closed(stage: &Stage) -> anyhow::Result<usize> {
    let closed: i64 = sqlx::query_scalar(
        "select count(*) from compensations where state = 'closed' and outcome = 'confirmed' and json_length(history) = 2",
    )
    .fetch_one(&stage.db)
    .await?;
    Ok(usize::try_from(closed)?)
}

/// Claims, settles and closes until nothing is due.
async fn bare(stage: &Stage) -> anyhow::Result<Round> {
    let orders = backlog(stage).await?;
    let of_gid: HashMap<Uuid, Order> = orders
        .iter()
        .map(|order| (order.gid.as_uuid(), Order::from(order)))
        .collect();
    let mut floor = Floor::open(stage).await?;
    let mut latency_us = histogram()?;
    let begun = Instant::now();
    let mut done = 0;
    loop {
        let asked = Instant::now();
        let claimed = claim(&mut floor).await?;
        if claimed.is_empty() {
            break;
        }
        let mut by_sale: HashMap<Uuid, Vec<Order>> = HashMap::new();
        for gid in &claimed {
            let order = of_gid[gid].clone();
            by_sale.entry(order.sale).or_default().push(order);
        }
        for batch in by_sale.values() {
            floor.settle(batch).await?;
        }
        close(&mut floor, &claimed, &of_gid).await?;
        done += claimed.len();
        latency_us.record_n(micros(asked.elapsed()), claimed.len() as u64)?;
    }
    let took = begun.elapsed();
    let closed = closed(stage).await?;
    ensure!(
        closed == ORDERS && done == ORDERS,
        "{closed} of {ORDERS} are closed"
    );
    Ok(Round {
        done: done as u64,
        errors: 0,
        took,
        latency_us,
    })
}

async fn claim(floor: &mut Floor) -> anyhow::Result<Vec<Uuid>> {
    let db = floor.db();
    db.execute("start transaction").await?;
    let rows = sqlx::query(
        "select gid, order_id, generation, sale_id, user_id, attempts, message_id, history, last_error, published_at, given_up \
         from compensations as due force index (compensations_by_turn) where state = ? and is_replay = 0 and due_at <= utc_timestamp(3) \
         and not exists (select 1 from compensations as other force index (compensations_by_order) where other.order_id = due.order_id \
         and other.gid <> due.gid and other.state in ('scheduled', 'dead', 'archiving') and (other.generation < due.generation \
         or (other.is_claimed and other.due_at > utc_timestamp(3)))) order by due_at limit ? for update skip locked",
    )
    .bind("scheduled")
    .bind(ROWS as u64)
    .fetch_all(&mut *db)
    .await?;
    let gids = rows
        .iter()
        .map(|row| row.try_get("gid"))
        .collect::<sqlx::Result<Vec<Uuid>>>()?;
    sqlx::query(
        "update json_table(?, '$[*]' columns (gid char(32) path '$')) as found straight_join compensations as held \
         force index (primary) on held.gid = unhex(found.gid) set held.claim = ?, held.due_at = utc_timestamp(3) + interval 20 second",
    )
    .bind(json!(gids.iter().map(hex).collect::<Vec<_>>()).to_string())
    .bind(Uuid::max())
    .execute(&mut *db)
    .await?;
    let messages = rows
        .iter()
        .map(|row| row.try_get("message_id"))
        .collect::<sqlx::Result<Vec<Uuid>>>()?;
    sqlx::query(
        "select came.payload, came.headers from json_table(?, '$[*]' columns (id char(32) path '$')) as asked \
         straight_join compensation_messages as came force index (primary) on came.id = unhex(asked.id)",
    )
    .bind(json!(messages.iter().map(hex).collect::<Vec<_>>()).to_string())
    .fetch_all(&mut *db)
    .await?;
    db.execute("commit").await?;
    Ok(gids)
}

async fn close(
    floor: &mut Floor,
    gids: &[Uuid],
    of_gid: &HashMap<Uuid, Order>,
) -> anyhow::Result<()> {
    let now = Utc::now().format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    let rows: Vec<Value> = gids
        .iter()
        .map(|gid| {
            let history = format!("[{{\"error\":\"{ERROR}\"}},{{\"lane\":\"retry\",\"outcome\":\"confirmed\",\"started_at\":\"{now}\"}}]");
            json!({ "gid": hex(gid), "order": hex(&of_gid[gid].id), "history": history, "at": now })
        })
        .collect();
    let rows = Value::Array(rows).to_string();
    let db = floor.db();
    db.execute("start transaction").await?;
    sqlx::query(
        "update json_table(?, '$[*]' columns (gid char(32) path '$.gid', history longtext character set utf8mb4 path '$.history')) \
         as ended straight_join compensations as held force index (primary) on held.gid = unhex(ended.gid) and held.claim = ? \
         set held.state = 'closed', held.attempts = held.attempts + 1, held.due_at = utc_timestamp(3), held.claim = default, \
         held.history = ended.history, held.outcome = 'confirmed', held.closed_at = utc_timestamp(3)",
    )
    .bind(&rows)
    .bind(Uuid::max())
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "insert into compensation_logs (gid, order_id, generation, attempt, lane, outcome, started_at, duration_ms, worker) \
         select unhex(made.gid), unhex(made.order_id), 0, 2, 'retry', 'confirmed', made.at, 0, 'bench' \
         from json_table(?, '$[*]' columns (gid char(32) path '$.gid', order_id char(32) path '$.order', at varchar(40) path '$.at')) \
         as made",
    )
    .bind(&rows)
    .execute(&mut *db)
    .await?;
    db.execute("commit").await?;
    Ok(())
}

fn hex(id: &Uuid) -> String {
    id.simple().to_string()
}
