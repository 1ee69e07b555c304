//! What it costs to claim due work, by how much waits beside it: out of 1,000 rows in a schema of their own, and out of a million beside
//! a million archived ones, in turn. As much is due in both; what was claimed is put back due at once, which is not measured.
//!
//! The row's rate is claims a second out of the many, its floor the same out of the few; the bound is 1.2 times the few's median.

use super::{DUE, Stage};
use crate::{
    coordinator::results::{Row, histogram, median, micros, rounded, spread},
    seed,
};
use anyhow::{Context, ensure};
use compensation::{
    queue::{self, Claimed, Turn},
    state::State,
};
use serde_json::{Map, json};
use service_kit::mysql;
use sqlx::{AssertSqlSafe, MySqlPool};
use std::time::{Duration, Instant};

/// What one claim takes.
const LIMIT: u32 = 100;
const ROUNDS: usize = 150;
const WARM_UP: usize = 5;
/// No further round is begun after this.
const NOT_AFTER: Duration = Duration::from_mins(2);
const LEASE: Duration = Duration::from_mins(1);
/// Rows that wait beside those that are due, in the small schema.
const FEW: u32 = 1_000;

pub async fn run(stage: &Stage<'_>) -> anyhow::Result<Row> {
    let few = Few::make(stage).await?;
    let measured = measure(&few.db, &stage.db).await;
    few.drop(stage).await?;
    row(&measured?)
}

/// Milliseconds: of each way to claim, out of the few and out of the many.
#[derive(Default)]
struct Measured {
    due: [Vec<f64>; 2],
    turn: [Vec<f64>; 2],
}

async fn measure(few: &MySqlPool, many: &MySqlPool) -> anyhow::Result<Measured> {
    let mut measured = Measured::default();
    let begun = Instant::now();
    for round in 0..WARM_UP + ROUNDS {
        if begun.elapsed() > NOT_AFTER {
            break;
        }
        let mut order = [(0, few), (1, many)];
        if round % 2 == 1 {
            order.reverse();
        }
        for (at, db) in order {
            let asked = Instant::now();
            let claimed = queue::claim_due(db, State::Scheduled, LEASE, LIMIT).await?;
            let due = put_back(db, &claimed, asked).await?;
            let asked = Instant::now();
            let claimed = queue::claim_turn(db, State::Scheduled, Turn::Own, LEASE, LIMIT).await?;
            let turn = put_back(db, &claimed, asked).await?;
            if round >= WARM_UP {
                measured.due[at].push(due);
                measured.turn[at].push(turn);
            }
        }
    }
    Ok(measured)
}

/// Milliseconds since it was asked for; puts it back afterwards.
async fn put_back(db: &MySqlPool, claimed: &[Claimed], asked: Instant) -> anyhow::Result<f64> {
    let took = asked.elapsed().as_secs_f64() * 1_000.0;
    ensure!(
        claimed.len() == LIMIT as usize,
        "{} were claimed of {LIMIT} that are due",
        claimed.len()
    );
    queue::put_all_off(db, claimed, Duration::ZERO).await?;
    Ok(took)
}

/// The small schema.
struct Few {
    db: MySqlPool,
    name: String,
}

impl Few {
    async fn make(stage: &Stage<'_>) -> anyhow::Result<Self> {
        let mut settings = stage.settings.database.mysql.clone();
        let name = format!("{}_few", settings.name);
        for text in [
            format!("drop database if exists `{name}`"),
            format!("create database `{name}` character set utf8mb4 collate utf8mb4_bin"),
        ] {
            sqlx::query(AssertSqlSafe(text)).execute(&stage.db).await?;
        }
        settings.name.clone_from(&name);
        let db = mysql::connect(&settings)
            .await
            .context("the small schema")?;
        migrations::run(&db).await?;
        let wanted = seed::Wanted {
            archived: 0,
            waiting: FEW + DUE,
            due: DUE,
            groups: 10,
            seed: 1,
        };
        seed::fill(&db, wanted, |_| ()).await?;
        Ok(Self { db, name })
    }

    async fn drop(self, stage: &Stage<'_>) -> anyhow::Result<()> {
        self.db.close().await;
        sqlx::query(AssertSqlSafe(format!("drop database `{}`", self.name)))
            .execute(&stage.db)
            .await?;
        Ok(())
    }
}

fn row(measured: &Measured) -> anyhow::Result<Row> {
    let [few, many] = &measured.due;
    let mut latency = histogram()?;
    for ms in many {
        latency.record(micros(Duration::from_secs_f64(ms / 1_000.0)))?;
    }
    let ms = |quantile| rounded(latency.value_at_quantile(quantile) as f64 / 1_000.0);
    let ratio = |[few, many]: &[Vec<f64>; 2]| rounded(median(many.clone()) / median(few.clone()));
    let medians = |[few, many]: &[Vec<f64>; 2]| json!({"few_ms": rounded(median(few.clone())), "many_ms": rounded(median(many.clone()))});
    let mut settings = Map::new();
    settings.insert("claim_due".to_owned(), medians(&measured.due));
    settings.insert("claim_turn".to_owned(), medians(&measured.turn));
    settings.insert("claim_due_slower".to_owned(), ratio(&measured.due).into());
    settings.insert("claim_turn_slower".to_owned(), ratio(&measured.turn).into());
    settings.insert("bound".to_owned(), json!("1.2 times slower at most"));
    settings.insert("rows_a_claim".to_owned(), LIMIT.into());
    settings.insert("floor_spread".to_owned(), rounded(spread(few)).into());
    let rate = |of: &[f64]| 1_000.0 / median(of.to_vec());
    Ok(Row {
        scenario: "claim-backlog",
        rate: rounded(rate(many)),
        mean_ms: rounded(latency.mean() / 1_000.0),
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        p999_ms: ms(0.999),
        n: many.len() as u64,
        errors: 0,
        floor_rate: rounded(rate(few)),
        ratio_to_floor: rounded(rate(many) / rate(few)),
        spread: rounded(spread(many)),
        settings,
    })
}
