//! How long sales are closed when Redis lost them: hundreds of them, among them one with a million buyers.
//!
//! The row's rate is sales opened a second, all together; its floor the same sales but the large one, each rebuilt by itself, one
//! after the other. A sale's latency is from the begin of the rebuild until that sale is open. What a process needs to notice the
//! loss is left out.

use crate::coordinator::{
    results::{Row, histogram, median, micros, rounded, spread},
    rounds::Budget,
    stage::Stage,
};
use anyhow::{Context, ensure};
use ordering::{
    SaleId,
    rebuild::{Rebuilder, Step},
};
use serde_json::{Map, json};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

const SALES: u32 = 300;
/// Every tenth sale has so many buyers.
const SOME: u32 = 1_000;
/// The others.
const FEW: u32 = 20;
const MANY: u32 = 1_000_000;
/// Rows written by one statement.
const ROWS: u32 = 50_000;
const ROUNDS: usize = 3;
/// Held at most, in each sale.
const HELD_MAX: u32 = 10_000;

/// When each sale was open, since the round began.
type Opened = Arc<Mutex<Vec<(SaleId, Duration)>>>;

/// Empties Redis and rebuilds it, all at once and one by one.
pub async fn run(stage: &Stage, _budget: Budget) -> anyhow::Result<Row> {
    let large = sold(stage, MANY).await?;
    let mut small = Vec::new();
    for number in 0..SALES {
        small.push(sold(stage, if number % 10 == 0 { SOME } else { FEW }).await?);
    }
    let all: Vec<SaleId> = small.iter().copied().chain([large]).collect();
    let mut latency = histogram()?;
    let (mut of_large, mut last_small, mut rates, mut floors) = (vec![], vec![], vec![], vec![]);
    let mut last_alone = vec![];
    for _ in 0..ROUNDS {
        empty(stage).await?;
        let begun = Instant::now();
        for sale in &small {
            rebuild(stage, &[*sale]).await?;
        }
        floors.push(f64::from(SALES) / begun.elapsed().as_secs_f64());
        empty(stage).await?;
        let alone = rebuild(stage, &small)
            .await?
            .into_iter()
            .map(|(_, after)| after);
        last_alone.push(alone.max().unwrap_or_default().as_secs_f64() * 1_000.0);
        empty(stage).await?;
        let begun = Instant::now();
        let opened = rebuild(stage, &all).await?;
        rates.push(f64::from(SALES + 1) / begun.elapsed().as_secs_f64());
        let mut last = Duration::ZERO;
        for (sale, after) in opened {
            latency.record(micros(after))?;
            if sale == large {
                of_large.push(after.as_secs_f64() * 1_000.0);
            } else {
                last = last.max(after);
            }
        }
        last_small.push(last.as_secs_f64() * 1_000.0);
    }
    stage.clear().await?;
    let mut settings = Map::new();
    settings.insert(
        "last_small_ms".to_owned(),
        json!(rounded(median(last_small))),
    );
    settings.insert(
        "last_small_without_large_ms".to_owned(),
        json!(rounded(median(last_alone))),
    );
    settings.insert(
        "million_buyers_ms".to_owned(),
        json!(rounded(median(of_large))),
    );
    settings.insert(
        "ratio".to_owned(),
        json!("sales opened a second, together to one by one"),
    );
    settings.insert("floor_spread".to_owned(), rounded(spread(&floors)).into());
    let (rate, floor_rate) = (median(rates.clone()), median(floors));
    let ms = |quantile| rounded(latency.value_at_quantile(quantile) as f64 / 1_000.0);
    Ok(Row {
        scenario: "rebuild",
        rate: rounded(rate),
        mean_ms: rounded(latency.mean() / 1_000.0),
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        p999_ms: ms(0.999),
        n: latency.len(),
        errors: 0,
        floor_rate: rounded(floor_rate),
        ratio_to_floor: rounded(rate / floor_rate),
        spread: rounded(spread(&rates)),
        settings,
    })
}

/// FLUSHDB: the scripts stay, the data goes.
async fn empty(stage: &Stage) -> anyhow::Result<()> {
    redis::cmd("FLUSHDB")
        .exec_async(&mut stage.redis.clone())
        .await?;
    Ok(())
}

/// As the fence's watch does it.
async fn rebuild(stage: &Stage, sales: &[SaleId]) -> anyhow::Result<Vec<(SaleId, Duration)>> {
    let url = stage.settings.redis.stock.urls.first().context("no node")?;
    let client = redis::Client::open(url.as_str())?;
    let opened = Opened::default();
    let (seen, begun) = (Arc::clone(&opened), Instant::now());
    let rebuilder = Rebuilder::new(stage.db.clone(), client, HELD_MAX).observed_by(Arc::new(
        move |sale, step| {
            if step == Step::Flipped {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.push((sale, begun.elapsed()));
            }
            Box::pin(async {})
        },
    ));
    let rebuilt = rebuilder.sales(sales).await?;
    ensure!(
        rebuilt.opened.len() == sales.len(),
        "{:?} stay closed",
        rebuilt.failed
    );
    let opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(opened.clone())
}

/// A sale with so many buyers, one unit each, in MySQL alone.
async fn sold(stage: &Stage, buyers: u32) -> anyhow::Result<SaleId> {
    let sale = stage.sale().await?;
    let digits = "(select 0 as d union all select 1 union all select 2 union all select 3 union all select 4 \
                  union all select 5 union all select 6 union all select 7 union all select 8 union all select 9)";
    let numbers = format!(
        "(select a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d + 100000 * g.d as n \
         from {digits} a, {digits} b, {digits} c, {digits} e, {digits} f, {digits} g) numbers where n >= ? and n < ?"
    );
    let id = sale.as_uuid().simple();
    let user = "unhex(concat('01900000', lpad(hex(n), 24, '0')))";
    let order =
        format!("unhex(concat('0190000000007000', lpad(hex(n), 8, '0'), right('{id}', 8)))");
    let statements = [
        format!(
            "insert into sale_buyers (sale_id, user_id, units, last_order_id) select unhex('{id}'), {user}, 1, {order} from {numbers}"
        ),
        format!(
            "insert into orders (id, gid, generation, user_id, sale_id, quantity, price, status, created_at, decided_at) \
             select {order}, {order}, 0, {user}, unhex('{id}'), 1, 100, 'confirmed', utc_timestamp(3), utc_timestamp(3) from {numbers}"
        ),
    ];
    for from in (0..buyers).step_by(ROWS as usize) {
        for statement in &statements {
            sqlx::query(sqlx::AssertSqlSafe(statement.clone()))
                .bind(from)
                .bind(buyers.min(from + ROWS))
                .execute(&stage.db)
                .await?;
        }
    }
    sqlx::query("update sale_inventory set available = available - ?, sold = ? where sale_id = ?")
        .bind(buyers)
        .bind(buyers)
        .bind(sale)
        .execute(&stage.db)
        .await?;
    Ok(sale)
}
