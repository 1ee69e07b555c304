//! The process that takes orders: reads its settings, serves, and finishes what was begun when it is told to stop.

use anyhow::Context as _;
use clap::Parser;
use seckill_api::App;
use service_kit::{exit, serve, settings::Settings, stop, telemetry};
use std::{path::PathBuf, process::ExitCode};
use tracing::info;

/// Takes flash-sale orders over HTTP.
#[derive(Parser)]
struct Arguments {
    /// The settings; ./config.yaml without it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit::code("seckill-api", run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let settings = Settings::load(arguments.config.as_deref())?;
    let metrics = telemetry::init(&settings.log, "seckill-api")?;
    seckill_api::metrics::describe();
    let stop = stop::token()?;
    let Some(app) = stop
        .run_until_cancelled(App::start(&settings))
        .await
        .transpose()
        .context("starting")?
    else {
        return Ok(());
    };
    let listener = serve::listen(settings.seckill_api.listen).await?;
    serve::serve(listener, seckill_api::router(app.clone(), metrics), stop).await?;
    app.drain().await;
    info!("Stopped");
    Ok(())
}
