//! The process: `order-consumer --config FILE`.

use anyhow::{Context as _, anyhow};
use clap::Parser;
use order_consumer::{Consumer, metrics};
use ordering::stock::Stock;
use service_kit::{
    health::{self, Health},
    mysql,
    redis::{self, Role},
    serve, settings::Settings,
    stop, telemetry,
};
use std::path::PathBuf;
use tracing::warn;

/// Settles admitted orders.
#[derive(Parser)]
struct Arguments {
    /// The settings file; ./config.yaml when it is not given.
    #[arg(long)]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::load(Arguments::parse().config.as_deref())?;
    let rendered = telemetry::init(&settings.log, "order-consumer")?;
    metrics::describe();
    let stop = stop::token()?;

    let db = mysql::pool(mysql::options(&settings.database.mysql), 2).connect().await.context("connecting to MySQL")?;
    mysql::check_durability(&db).await?;
    let url = settings.redis.stock.urls.first().context("redis.stock.urls is empty")?;
    let mut connection = redis::connect(url).await?;
    // Without Redis orders are decided by MySQL alone; recovery completes them. A wrongly configured one is refused.
    match redis::ping(&mut connection).await {
        Ok(()) => redis::check(&mut connection, Role::Stock).await?,
        Err(cause) => warn!("The stock node does not answer, orders are decided without it: {cause}"),
    }

    let consumer = Consumer::start(&settings, Stock::new(connection)).await?;
    let membership = consumer.membership();
    let health = Health::new()
        .with("mysql", move || {
            let db = db.clone();
            async move { mysql::ping(&db).await }
        })
        .with("kafka", move || {
            let joined = membership.has_joined();
            async move { joined.then_some(()).ok_or_else(|| anyhow!("the group has assigned nothing yet")) }
        });
    let listener = serve::listen(settings.order_consumer.listen).await?;
    let served = tokio::spawn(serve::serve(listener, health::router(health, rendered), stop.clone()));
    let ended = consumer.run(stop.clone()).await;
    stop.cancel();
    served.await.context("the HTTP server's task")??;
    ended
}
