//! Orders that were decided and have a participant outside that takes its time: how long until recovery has settled all of them. Calls
//! under way at once are bounded, so that the participant sets the pace: what is measured is how much of it is lost.

use crate::{
    coordinator::{
        floor::{Floor, Order, list},
        results::{Compared, Round, Row, histogram, micros},
        rounds::{Budget, alternate},
        scenarios::recover::claim,
        stage::Stage,
    },
    http::Connection,
};
use anyhow::{Context, ensure};
use coordinator::Pace;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use ordering::{engine::Recovery, foreign::Foreign};
use serde_json::{Map, json};
use service_kit::settings::{ParticipantSales, ParticipantSettings, ParticipantStyle, Secret};
use sqlx::{MySql, QueryBuilder};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

const UNFINISHED: usize = 1_000;
/// How long the participant takes.
const TAKES: Duration = Duration::from_millis(300);
/// Calls under way at once: what a participant is given that says nothing else.
const IN_FLIGHT: usize = 64;
/// Longer than anybody may take over a round.
const PATIENCE: Duration = Duration::from_mins(1);
const NAME: &str = "slow";

/// Settles as many orders over and over, made anew each time.
pub async fn run(stage: &Stage, budget: Budget) -> anyhow::Result<Row> {
    let slow = Slow::start().await?;
    let foreign = Foreign::from_settings(&[slow.settings()])?;
    let rounds = alternate(
        budget,
        async || recovery(stage, &foreign, &slow).await,
        async || bare(stage, &slow).await,
    )
    .await?;
    let mut settings = Map::new();
    settings.insert("unfinished".to_owned(), json!(UNFINISHED));
    settings.insert("branch_takes_ms".to_owned(), json!(micros(TAKES) / 1_000));
    settings.insert("calls_in_flight".to_owned(), json!(IN_FLIGHT));
    settings.insert("latency".to_owned(), json!("until all are settled"));
    Row::of(
        "recover-foreign",
        &rounds.product,
        &rounds.floor,
        Compared::ByRate,
        settings,
    )
}

/// Decided and due; neither Redis nor the participant, which promised, was told.
async fn leave_unfinished(stage: &Stage) -> anyhow::Result<()> {
    let lists = stage.reserved(1, UNFINISHED).await?;
    let batch: Vec<Order> = lists[0].iter().map(Order::from).collect();
    let mut floor = Floor::open(stage).await?;
    floor.prepare(&batch).await?;
    floor.decide(&batch).await?;
    sqlx::query(
        "insert into transaction_branches \
         (gid, participant, is_foreign, state, attempts, history, created_at, changed_at) \
         select gid, ?, 1, 'promised', 1, '', created_at, created_at from transactions where state = 'committing'",
    )
    .bind(NAME)
    .execute(&stage.db)
    .await?;
    sqlx::query(
        "update transactions set branches = 1, due_at = utc_timestamp(3) where state = 'committing'",
    )
    .execute(&stage.db)
    .await?;
    Ok(())
}

/// As the compensator does it.
async fn recovery(stage: &Stage, foreign: &Foreign, slow: &Slow) -> anyhow::Result<Round> {
    leave_unfinished(stage).await?;
    slow.forget();
    let recovery = Recovery::new(
        stage.db.clone(),
        stage.stock.clone(),
        foreign,
        Pace::default(),
    );
    let begun = Instant::now();
    while left(stage).await? > 0 {
        let recovered = recovery.run_batch().await?;
        if recovered.finished + recovered.telling == 0 {
            recovery.told().await;
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "not settled within {PATIENCE:?}"
        );
    }
    round(begun.elapsed(), slow)
}

async fn left(stage: &Stage) -> sqlx::Result<i64> {
    sqlx::query_scalar("select count(*) from transactions where state = 'committing'")
        .fetch_one(&stage.db)
        .await
}

fn round(took: Duration, slow: &Slow) -> anyhow::Result<Round> {
    let told = slow.calls.load(Ordering::Relaxed);
    ensure!(
        told >= UNFINISHED,
        "the participant was told of {told} of {UNFINISHED} transactions"
    );
    let mut latency_us = histogram()?;
    latency_us.record(micros(took))?;
    Ok(Round {
        done: UNFINISHED as u64,
        errors: 0,
        took,
        latency_us,
    })
}

/// Claims all, tells Redis, lets as many workers tell the participant as calls may be under way, and marks all.
async fn bare(stage: &Stage, slow: &Slow) -> anyhow::Result<Round> {
    leave_unfinished(stage).await?;
    slow.forget();
    let mut floor = Floor::open(stage).await?;
    let connection = Connection::new(&slow.url)?;
    let begun = Instant::now();
    let batch = claim(&mut floor, UNFINISHED).await?;
    ensure!(batch.len() == UNFINISHED, "{} were claimed", batch.len());
    floor.confirm(&batch).await?;
    let batch = Arc::new(batch);
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (batch, next) = (Arc::clone(&batch), Arc::clone(&next));
        let mut connection = connection.another();
        workers.spawn(async move {
            while let Some(order) = batch.get(next.fetch_add(1, Ordering::Relaxed)) {
                tell(&mut connection, order).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    let mut query = QueryBuilder::<MySql>::new(
        "update transaction_branches set state = 'done', attempts = attempts + 1, changed_at = utc_timestamp(3) where gid in ",
    );
    list(&mut query, batch.iter().map(|order| order.gid));
    query.build().execute(&mut *floor.db()).await?;
    floor.mark(&batch).await?;
    round(begun.elapsed(), slow)
}

async fn tell(connection: &mut Connection, order: &Order) -> anyhow::Result<()> {
    let gid = order.gid.to_string();
    let headers = [
        ("redress-gid", &*gid),
        ("redress-branch", NAME),
        ("redress-op", "confirm"),
    ];
    let body =
        json!({ "sale": order.sale, "order": order.id, "user": order.user, "units": order.units });
    let reply = connection
        .post("/confirm", &headers, body.to_string().into())
        .await?;
    ensure!(reply.status == 200, "HTTP {}", reply.status);
    Ok(())
}

/// A participant that does whatever it is asked, and takes its time over it.
struct Slow {
    url: String,
    calls: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Slow {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port")?;
        let url = format!("http://{}", listener.local_addr()?);
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let counted = Arc::clone(&counted);
                let answer = service_fn(move |request| answer(request, Arc::clone(&counted)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Ok(Self { url, calls, task })
    }

    fn settings(&self) -> ParticipantSettings {
        ParticipantSettings {
            name: NAME.to_owned(),
            style: ParticipantStyle::Tcc,
            url: Secret::new(&*self.url),
            sales: ParticipantSales::All,
            timeout_ms: 2_000,
            in_flight: IN_FLIGHT,
            breaker_failures: 5,
            allow_private: false,
        }
    }

    fn forget(&self) {
        self.calls.store(0, Ordering::Relaxed);
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    request: Request<Incoming>,
    counted: Arc<AtomicUsize>,
) -> hyper::Result<Response<Empty<Bytes>>> {
    request.into_body().collect().await?;
    sleep(TAKES).await;
    counted.fetch_add(1, Ordering::Relaxed);
    Ok(Response::new(Empty::new()))
}
