//! The process: `admin --config FILE`.

use admin::App;
use anyhow::Context as _;
use clap::Parser;
use service_kit::{exit, serve, settings::Settings, stop, telemetry};
use std::{path::PathBuf, process::ExitCode};
use tracing::info;

/// Shows operators what was given up, and lets them put it right.
#[derive(Parser)]
struct Arguments {
    /// The settings; ./config.yaml without it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit::code("admin", run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let settings = Settings::load(arguments.config.as_deref())?;
    let metrics = telemetry::init(&settings.log, "admin")?;
    admin::metrics::describe();
    let stop = stop::token()?;

    // Served from the start, so that whoever waits for this process can see what it waits for.
    let app = App::new(&settings);
    let listener = serve::listen(settings.admin.listen).await?;
    let served = tokio::spawn(serve::serve(
        listener,
        admin::router(app.clone(), metrics),
        stop.clone(),
    ));
    let watch = app.compensator_watch(&settings)?;
    let prepared = stop.run_until_cancelled(app.prepare(&settings)).await;
    if prepared.transpose()?.is_some() {
        watch.run(stop.clone()).await;
    }
    served.await.context("the HTTP server's task")??;
    app.close().await;
    info!("Stopped");
    Ok(())
}
