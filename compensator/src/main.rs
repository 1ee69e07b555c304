//! The process: `compensator --config FILE`; and one scan of it, once: `compensator scan NAME --config FILE`.

use anyhow::{Context as _, anyhow};
use clap::{Parser, Subcommand};
use compensator::{
    NAME, Scans, command::Command, fence_watch::Opened, metrics, repair::Repair, servers::Reached,
};
use ordering::faults::Faults;
use service_kit::{exit, health, heartbeat::Heartbeat, serve, settings::Settings, stop, telemetry};
use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tracing::warn;

/// How long scans in hand may keep a stop waiting.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// Puts right what is stuck, fenced or different.
#[derive(Parser)]
struct Arguments {
    /// The settings file; ./config.yaml when it is not given.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    task: Option<Task>,
}

/// What it does instead of running.
#[derive(Subcommand)]
enum Task {
    /// Runs one scan once, prints what it found and did, and ends: 0 where it got through, 1 where it did not
    Scan {
        /// Print one JSON object instead of sentences
        #[arg(long, global = true)]
        json: bool,
        #[command(subcommand)]
        scan: Command,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match arguments.task {
        None => run(arguments.config).await,
        Some(Task::Scan { json, scan }) => look(arguments.config, scan, json).await,
    };
    exit::code(NAME, ended)
}

/// One scan, once.
#[expect(clippy::print_stdout, reason = "whoever types the command reads it")]
async fn look(config: Option<PathBuf>, scan: Command, json: bool) -> anyhow::Result<()> {
    let settings = Settings::load(config.as_deref())?;
    telemetry::init(&settings.log, NAME)?;
    let name = scan.name();
    let findings = scan.run(&settings, &stop::token()?).await?;
    if json {
        println!("{}", findings.json(name));
    } else {
        println!("{}", findings.text());
    }
    Ok(())
}

async fn run(config: Option<PathBuf>) -> anyhow::Result<()> {
    let settings = Settings::load(config.as_deref())?;
    faults_are_readable(&settings)?;
    let rendered = telemetry::init(&settings.log, NAME)?;
    metrics::describe();
    let stop = stop::token()?;

    // Served from the start, so that whoever waits for this process can see what it waits for.
    let reached = Reached::default();
    let opened: Arc<OnceLock<Opened>> = Arc::default();
    let watch = Arc::clone(&opened);
    let health = reached.health(&settings).with("stock_opened", move || {
        let open = watch.get().is_some_and(Opened::yet);
        async move {
            open.then_some(())
                .ok_or_else(|| anyhow!("the stock node was not seen open yet"))
        }
    });
    let listener = serve::listen(settings.compensator.listen).await?;
    let served = tokio::spawn(serve::serve(
        listener,
        health::router(health, rendered.clone()),
        stop.clone(),
    ));

    if let Some(servers) = reached.all(&settings, &stop).await? {
        let scans = Scans::new(&settings, &servers)?;
        let repair = Repair::new(&settings, &servers)?;
        let _ = opened.set(scans.opened());
        let schedule = scans.start(&settings.scans).await?;
        let repair = tokio::spawn(repair.run(stop.clone()));
        let heartbeat = Heartbeat::new(NAME, &settings.database.mysql, rendered, &metrics::WATCHED);
        let heartbeat = tokio::spawn(heartbeat.run(stop.clone()));
        stop.cancelled().await;
        schedule.stop(FINISH_WITHIN).await;
        heartbeat.await.context("the heartbeat's task")?;
        if tokio::time::timeout(FINISH_WITHIN, repair).await.is_err() {
            warn!("Tries were left in the middle: whoever comes next finds what they did");
        }
    }
    served.await.context("the HTTP server's task")?
}

/// Before any server is waited for: a wrong fault stops the start.
fn faults_are_readable(settings: &Settings) -> anyhow::Result<()> {
    Faults::parse(&settings.faults)?;
    Ok(())
}
