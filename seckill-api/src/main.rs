//! The process that takes orders: reads its settings, serves, and finishes what was begun when it is told to stop.

use anyhow::{Context as _, anyhow};
use clap::Parser;
use seckill_api::App;
use service_kit::{serve, settings::Settings, stop, telemetry};
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
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            tell(&cause);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the log may not have begun")]
fn tell(cause: &anyhow::Error) {
    eprintln!("seckill-api: {cause:#}");
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    // Its text holds its cause already: the chain would say it twice.
    let settings =
        Settings::load(arguments.config.as_deref()).map_err(|cause| anyhow!("{cause}"))?;
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
