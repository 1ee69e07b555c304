//! What an operator waits for over a million archived rows: pages of the archive and of its groups under every kind of filter, each
//! with the numbers on its tabs, through the admin's HTTP, one request after the other.
//!
//! The floor is the plainest statement there is: a page by the primary key. The ratio is the floor's median to that of the first page.
//! The bound is 200 ms for 95 of 100, of each kind; what misses it is named in the row.

use super::{
    Stage,
    admin::{Admin, encoded},
};
use crate::{
    coordinator::results::{Row, histogram, median, micros, rounded, spread},
    seed,
};
use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};
use sqlx::FromRow;
use std::time::Instant;
use uuid::Uuid;

/// Of each kind.
const REQUESTS: usize = 100;
const WARM_UP: usize = 3;
/// 95 of 100 take no longer.
const BOUND_MS: f64 = 200.0;

/// A row somewhere in the archive: what is asked for hangs on it.
#[derive(Debug, FromRow)]
struct Sample {
    id: Uuid,
    gid: Option<Uuid>,
    sale_id: Option<Uuid>,
    user_id: Option<Uuid>,
    fingerprint: u64,
    archived_at: DateTime<Utc>,
}

/// Kinds of requests: their names, and the address of one.
type Asked = (&'static str, fn(&Sample) -> String);

fn after(sample: &Sample) -> String {
    format!(
        "{}.{}",
        sample.archived_at.timestamp_millis(),
        sample.id.simple()
    )
}

fn sale(sample: &Sample) -> Uuid {
    sample.sale_id.unwrap_or_default()
}

const KINDS: [Asked; 27] = [
    ("first page, open", |_| "/archives".to_owned()),
    ("first page, replaying", |_| {
        "/archives?state=replaying".to_owned()
    }),
    ("first page, handled", |_| {
        "/archives?state=handled".to_owned()
    }),
    ("first page, all", |_| "/archives?state=all".to_owned()),
    ("from a date on, open", |it| {
        format!("/archives?after={}", after(it))
    }),
    ("from a date on, all", |it| {
        format!("/archives?state=all&after={}", after(it))
    }),
    ("first page, JSON", |_| "/api/v1/archives".to_owned()),
    ("from a date on, JSON", |it| {
        format!("/api/v1/archives?state=handled&after={}", after(it))
    }),
    ("step decide", |_| "/archives?step=decide".to_owned()),
    ("step complete, deep", |it| {
        format!("/archives?state=all&step=complete&after={}", after(it))
    }),
    ("text in many rows", |_| {
        "/archives?state=all&q=timeout".to_owned()
    }),
    ("text in few rows", |_| {
        "/archives?state=all&q=warranty%20unlocked".to_owned()
    }),
    ("text in no row", |_| {
        format!("/archives?q={}", encoded("nobody wrote this"))
    }),
    ("text in no row, deep", |it| {
        format!("/archives?state=all&q=nothing&after={}", after(it))
    }),
    ("text and step", |_| {
        "/archives?state=all&step=reserve&q=upstream".to_owned()
    }),
    ("text and sale", |it| {
        format!("/archives?state=all&q=nothing&sale={}", sale(it))
    }),
    ("sale", |it| format!("/archives?sale={}", sale(it))),
    ("sale, deep", |it| {
        format!("/archives?state=all&sale={}&after={}", sale(it), after(it))
    }),
    ("sale and step", |it| {
        format!("/archives?state=all&sale={}&step=complete", sale(it))
    }),
    ("order id", |it| format!("/archives?state=all&q={}", it.id)),
    ("transaction id", |it| {
        format!("/archives?state=all&q={}", it.gid.unwrap_or(it.id))
    }),
    ("buyer id", |it| {
        format!("/archives?state=all&q={}", it.user_id.unwrap_or(it.id))
    }),
    ("rows of a group", |it| {
        format!("/archives?fingerprint={:016x}", it.fingerprint)
    }),
    ("rows of a group, deep", |it| {
        format!(
            "/archives?state=all&fingerprint={:016x}&after={}",
            it.fingerprint,
            after(it)
        )
    }),
    ("one of them", |it| format!("/archives/{}", it.id)),
    ("groups", |_| "/groups".to_owned()),
    ("groups, latest first, all", |_| {
        "/groups?show=all&sort=last_seen".to_owned()
    }),
];

pub async fn run(stage: &Stage<'_>) -> anyhow::Result<Row> {
    let samples = samples(stage).await?;
    let program = stage.wanted.admin.as_deref();
    let program = program.context("--admin does not name the program it clicks through")?;
    let mut admin = Admin::start(program, &stage.wanted.config, &stage.settings).await?;
    let mut all = histogram()?;
    let (mut by_kind, mut missed, mut first) = (Map::new(), Vec::new(), Vec::new());
    for (name, path) in KINDS {
        let paths = samples.iter().map(path).collect();
        let took = ask(&mut admin, paths).await?;
        if first.is_empty() {
            first.clone_from(&took);
        }
        note(name, &took, &mut all, &mut by_kind, &mut missed)?;
    }
    let deep = deep_groups(&mut admin).await?;
    let took = ask(&mut admin, deep).await?;
    note("groups, deep", &took, &mut all, &mut by_kind, &mut missed)?;
    let floor = floor(stage, &samples).await?;
    row(&all, by_kind, &missed, &first, &floor)
}

/// Spread evenly over the archive, the newest last.
async fn samples(stage: &Stage<'_>) -> anyhow::Result<Vec<Sample>> {
    let mut samples = Vec::with_capacity(REQUESTS);
    for at in 0..REQUESTS + WARM_UP {
        let at = u32::try_from(at)?;
        // 61 goes through all places before it comes to one again.
        let number = u64::from(stage.wanted.rows) * u64::from((at * 61) % 103) / 103;
        let sample = sqlx::query_as(
            "select id, gid, sale_id, user_id, fingerprint, archived_at from failed_order_archives where id >= ? order by id limit 1",
        )
        .bind(seed::archived_from(u32::try_from(number)?))
        .fetch_one(&stage.db)
        .await?;
        samples.push(sample);
    }
    Ok(samples)
}

/// Milliseconds of each but the first few.
async fn ask(admin: &mut Admin, paths: Vec<String>) -> anyhow::Result<Vec<f64>> {
    let mut took = Vec::with_capacity(paths.len());
    for path in paths {
        let begun = Instant::now();
        admin.page(&path).await?;
        took.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(took.split_off(WARM_UP.min(took.len())))
}

/// The addresses of pages of groups, as somebody comes to them page by page.
async fn deep_groups(admin: &mut Admin) -> anyhow::Result<Vec<String>> {
    let (mut paths, mut next) = (Vec::new(), String::new());
    while paths.len() < REQUESTS + WARM_UP {
        let after = if next.is_empty() {
            String::new()
        } else {
            format!("&after={next}")
        };
        let reply = admin
            .page(&format!("/api/v1/groups?show=all{after}"))
            .await?;
        let page: Value = serde_json::from_slice(&reply.body)?;
        page["next"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut next);
        ensure!(
            !next.is_empty() || !paths.is_empty(),
            "there is one page of groups only"
        );
        if next.is_empty() {
            continue;
        }
        paths.push(format!("/groups?show=all&after={next}"));
    }
    Ok(paths)
}

fn note(
    name: &str,
    took: &[f64],
    all: &mut Histogram<u64>,
    by_kind: &mut Map<String, Value>,
    missed: &mut Vec<String>,
) -> anyhow::Result<()> {
    let mut kind = histogram()?;
    for ms in took {
        kind.record(micros(std::time::Duration::from_secs_f64(ms / 1_000.0)))?;
    }
    all.add(&kind)?;
    let ms = |quantile| rounded(kind.value_at_quantile(quantile) as f64 / 1_000.0);
    let (p50, p95, p99) = (ms(0.5), ms(0.95), ms(0.99));
    by_kind.insert(
        name.to_owned(),
        json!({"p50_ms": p50, "p95_ms": p95, "p99_ms": p99}),
    );
    if p95 > BOUND_MS {
        missed.push(name.to_owned());
    }
    Ok(())
}

/// Milliseconds of a page by the primary key.
async fn floor(stage: &Stage<'_>, samples: &[Sample]) -> anyhow::Result<Vec<f64>> {
    let mut took = Vec::with_capacity(samples.len());
    for sample in samples {
        let begun = Instant::now();
        let rows = sqlx::query(
            "select id, order_id, gid, sale_id, user_id, step, error, attempts, archived_at from failed_order_archives \
             where id > ? order by id limit 51",
        )
        .bind(sample.id)
        .fetch_all(&stage.db)
        .await?;
        took.push(begun.elapsed().as_secs_f64() * 1_000.0);
        ensure!(rows.len() <= 51);
    }
    Ok(took.split_off(WARM_UP))
}

fn row(
    all: &Histogram<u64>,
    by_kind: Map<String, Value>,
    missed: &[String],
    first: &[f64],
    floor: &[f64],
) -> anyhow::Result<Row> {
    let ms = |quantile| rounded(all.value_at_quantile(quantile) as f64 / 1_000.0);
    let mut settings = Map::new();
    settings.insert("by_kind".to_owned(), by_kind.into());
    settings.insert(
        "bound".to_owned(),
        format!("p95 at most {BOUND_MS} ms, each").into(),
    );
    settings.insert("missed".to_owned(), json!(missed));
    settings.insert("floor_spread".to_owned(), rounded(spread(floor)).into());
    let rate = 1_000.0 / (all.mean() / 1_000.0);
    let (first, floor) = (median(first.to_vec()), median(floor.to_vec()));
    ensure!(first > 0.0 && floor > 0.0, "nothing was measured");
    Ok(Row {
        scenario: "archive-list",
        rate: rounded(rate),
        mean_ms: rounded(all.mean() / 1_000.0),
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        p999_ms: ms(0.999),
        n: all.len(),
        errors: 0,
        floor_rate: rounded(1_000.0 / floor),
        ratio_to_floor: rounded(floor / first),
        spread: 0.0,
        settings,
    })
}
