//! The process: `order-consumer --config FILE`.

use anyhow::{Context as _, anyhow};
use clap::Parser;
use coordinator::metrics::KEY_FIGURES;
use order_consumer::{Consumer, membership::Membership, metrics, start::wait_for};
use ordering::{faults::Faults, stock::Stock};
use redis::aio::ConnectionManager;
use service_kit::{
    exit,
    health::{self, Health},
    heartbeat::Heartbeat,
    mysql,
    redis::{self as stock_node, Role},
    serve,
    settings::Settings,
    stop, telemetry,
};
use sqlx::MySqlPool;
use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, OnceLock},
};
use tokio_util::sync::CancellationToken;

/// Settles admitted orders.
#[derive(Parser)]
struct Arguments {
    /// The settings file; ./config.yaml when it is not given.
    #[arg(long)]
    config: Option<PathBuf>,
}

/// What was reached since the start; health is served from the beginning.
#[derive(Clone, Default)]
struct Reached {
    mysql: Arc<OnceLock<MySqlPool>>,
    kafka: Arc<OnceLock<Membership>>,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit::code("order-consumer", run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let settings = Settings::load(arguments.config.as_deref())?;
    // Before any server is waited for: a wrong fault stops the start.
    Faults::parse(&settings.faults)?;
    let rendered = telemetry::init(&settings.log, "order-consumer")?;
    metrics::describe();
    let stop = stop::token()?;
    let reached = Reached::default();
    let listener = serve::listen(settings.order_consumer.listen).await?;
    let routes = health::router(health(&reached), rendered.clone());
    let heartbeat = Heartbeat::new(
        "order-consumer",
        &settings.database.mysql,
        rendered,
        &KEY_FIGURES,
    );
    let heartbeat = tokio::spawn(heartbeat.run(stop.clone()));
    let served = tokio::spawn(serve::serve(listener, routes, stop.clone()));
    let ended = settle_orders(&settings, &reached, &stop).await;
    stop.cancel();
    served.await.context("the HTTP server's task")??;
    heartbeat.await.context("the heartbeat's task")?;
    ended
}

fn health(reached: &Reached) -> Health {
    let Reached { mysql, kafka } = reached.clone();
    Health::new()
        .with("mysql", move || {
            let pool = mysql.get().cloned();
            async move { Ok::<_, anyhow::Error>(mysql::ping(&pool.context("not reached yet")?).await?) }
        })
        .with("kafka", move || {
            let state = kafka.get().map_or_else(|| Err(anyhow!("not reached yet")), Membership::health);
            async move { state }
        })
}

/// Waits for MySQL and Kafka, then takes orders until `stop`.
async fn settle_orders(
    settings: &Settings,
    reached: &Reached,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let options = mysql::options(&settings.database.mysql);
    let connect = || {
        let pool = mysql::pool(options.clone(), 2);
        async move { Ok(pool.connect().await?) }
    };
    let Some(db) = wait_for("MySQL", stop, connect).await else {
        return Ok(());
    };
    mysql::check_durability(&db).await?;
    reached.mysql.get_or_init(|| db);

    let url = settings
        .redis
        .stock
        .urls
        .first()
        .context("redis.stock.urls is empty")?;
    let node = stock_node::connect_lazily(url)?;
    let stock = Stock::new(node.clone());
    let checked = tokio::spawn(check_stock_node(node, stop.clone()));

    let start = || Consumer::start(settings, stock.clone());
    let Some(consumer) = wait_for("Kafka", stop, start).await else {
        return Ok(());
    };
    reached.kafka.get_or_init(|| consumer.membership());
    let ended = consumer.run(stop.clone()).await;
    stop.cancel();
    checked.await.context("the stock node's check")??;
    ended
}

/// While Redis is down orders are decided by MySQL alone and completed by recovery, so nobody waits for it. A node that answers
/// and would lose reservations stops the process.
async fn check_stock_node(
    mut node: ConnectionManager,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let ping = || {
        let mut node = node.clone();
        async move { Ok(stock_node::ping(&mut node).await?) }
    };
    if wait_for(
        "the stock node (orders are decided without it)",
        &stop,
        ping,
    )
    .await
    .is_none()
    {
        return Ok(());
    }
    let checked = stock_node::check(&mut node, Role::Stock).await;
    if checked.is_err() {
        stop.cancel();
    }
    checked
}
