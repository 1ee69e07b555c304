//! What it costs recovery to pick its next transactions, by how many are unfinished. The participant answers at once that it is not
//! yet done and all are due again at once, so that the backlog stays as long as it was made.
//!
//! The row's rate is picks a second out of the longest backlog, its floor the same out of the shortest: half of it is allowed.

use crate::coordinator::{
    results::{Row, histogram, median, micros, rounded, spread},
    rounds::Budget,
    stage::Stage,
};
use anyhow::{Context, ensure};
use coordinator::{
    Answer, Completion, Pace, Participant, Recovery, RetryPolicy, Transaction, Vote, Work,
};
use futures::{FutureExt as _, future::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

const LENGTHS: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Rows written by one statement.
const ROWS: u32 = 50_000;
const WARM_UP: usize = 3;
/// Picks of one length, at least and at most.
const PICKS: std::ops::RangeInclusive<usize> = 20..=500;

/// Work that is nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Nothing;

impl Work for Nothing {
    type Branch = ();

    fn kind(&self) -> &'static str {
        "nothing"
    }

    fn branch(&self) {}
}

/// Notes when it is called: then the pick is over.
#[derive(Debug, Default)]
struct Bystander(Mutex<Option<Instant>>);

impl Bystander {
    fn called_at(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Participant<Nothing> for Bystander {
    fn name(&self) -> &'static str {
        "bystander"
    }

    fn prepare<'a>(&'a self, batch: &'a [Transaction<Nothing>]) -> BoxFuture<'a, Vec<Vote>> {
        async { vec![Vote::Yes; batch.len()] }.boxed()
    }

    fn complete<'a>(&'a self, batch: &'a [Completion<()>]) -> BoxFuture<'a, Vec<Answer>> {
        if !batch.is_empty() {
            let mut called = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *called = Some(Instant::now());
        }
        async { vec![Answer::NotYet("not yet".to_owned()); batch.len()] }.boxed()
    }
}

/// From the shortest to the longest.
pub async fn run(stage: &Stage, budget: Budget) -> anyhow::Result<Row> {
    let bystander = Arc::new(Bystander::default());
    let at_once = Pace {
        lease: Duration::ZERO,
        lanes: 1,
        retry: RetryPolicy {
            first_wait: Duration::ZERO,
            jitter: 0.0,
            ..RetryPolicy::default()
        },
    };
    let bystanders: Vec<Arc<dyn Participant<Nothing>>> = vec![bystander.clone()];
    let recovery = Recovery::new(stage.db.clone(), bystanders, at_once);
    let each = Duration::from_secs_f64(budget.seconds / LENGTHS.len() as f64);
    let mut there = 0;
    let mut by_length = Vec::with_capacity(LENGTHS.len());
    for length in LENGTHS {
        grow(stage, there, length).await?;
        there = length;
        by_length.push(pick(&recovery, &bystander, each).await?);
    }
    stage.clear().await?;
    row(&by_length)
}

/// Milliseconds of each pick, for so long.
async fn pick(
    recovery: &Recovery<Nothing>,
    bystander: &Bystander,
    within: Duration,
) -> anyhow::Result<Vec<f64>> {
    let begun = Instant::now();
    let mut picks = Vec::new();
    for at in 0..WARM_UP + PICKS.end() {
        if at >= WARM_UP + PICKS.start() && begun.elapsed() > within {
            break;
        }
        let asked = Instant::now();
        recovery.run_batch().await?;
        let called = bystander.called_at().context("nothing was picked")?;
        if at >= WARM_UP {
            picks.push((called - asked).as_secs_f64() * 1_000.0);
        }
    }
    Ok(picks)
}

/// Unfinished transactions up to `length`, all due.
async fn grow(stage: &Stage, there: u32, length: u32) -> anyhow::Result<()> {
    let digits = "(select 0 as d union all select 1 union all select 2 union all select 3 union all select 4 \
                  union all select 5 union all select 6 union all select 7 union all select 8 union all select 9)";
    let statement = format!(
        "insert into transactions (gid, kind, label, state, token, epoch, payload, attempts, due_at, created_at) \
         select unhex(lpad(hex(n), 32, '0')), 'nothing', repeat('\\0', 16), 'committing', repeat('\\0', 16), 1, 'null', 0, \
         utc_timestamp(3), utc_timestamp(3) from \
         (select a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d + 100000 * g.d as n \
         from {digits} a, {digits} b, {digits} c, {digits} e, {digits} f, {digits} g) numbers where n >= ? and n < ?"
    );
    let mut from = there;
    while from < length {
        let to = length.min(from + ROWS);
        sqlx::query(sqlx::AssertSqlSafe(statement.clone()))
            .bind(from)
            .bind(to)
            .execute(&stage.db)
            .await?;
        from = to;
    }
    let unfinished: i64 =
        sqlx::query_scalar("select count(*) from transactions where state = 'committing'")
            .fetch_one(&stage.db)
            .await?;
    ensure!(
        unfinished == i64::from(length),
        "{unfinished} transactions instead of {length}"
    );
    sqlx::query("analyze table transactions")
        .execute(&stage.db)
        .await?;
    Ok(())
}

fn row(by_length: &[Vec<f64>]) -> anyhow::Result<Row> {
    let (shortest, longest) = (&by_length[0], &by_length[by_length.len() - 1]);
    let mut latency = histogram()?;
    for pick in longest {
        latency.record(micros(Duration::from_secs_f64(pick / 1_000.0)))?;
    }
    let rate = |picks: &[f64]| 1_000.0 / median(picks.to_vec());
    let quantile = |quantile| rounded(latency.value_at_quantile(quantile) as f64 / 1_000.0);
    let medians: Map<String, Value> = LENGTHS
        .iter()
        .zip(by_length)
        .map(|(length, picks)| (length.to_string(), rounded(median(picks.clone())).into()))
        .collect();
    let mut settings = Map::new();
    settings.insert("pick_ms".to_owned(), medians.into());
    settings.insert(
        "picks".to_owned(),
        json!(by_length.iter().map(Vec::len).collect::<Vec<_>>()),
    );
    settings.insert(
        "ratio".to_owned(),
        json!("picks out of 1,000,000 to picks out of 1,000"),
    );
    settings.insert("floor_spread".to_owned(), rounded(spread(shortest)).into());
    Ok(Row {
        scenario: "backlog",
        rate: rounded(rate(longest)),
        mean_ms: rounded(latency.mean() / 1_000.0),
        p50_ms: quantile(0.5),
        p99_ms: quantile(0.99),
        p999_ms: quantile(0.999),
        n: longest.len() as u64,
        errors: 0,
        floor_rate: rounded(rate(shortest)),
        ratio_to_floor: rounded(rate(longest) / rate(shortest)),
        spread: rounded(spread(longest)),
        settings,
    })
}
