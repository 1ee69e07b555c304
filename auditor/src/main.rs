//! `auditor`: waits until a stack is settled and says whether it kept its promises.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the verdict is for a terminal"
)]

use anyhow::Context;
use auditor::{
    Scope, Watch, audit,
    endpoints::{Endpoints, Names},
    table,
    verdict::Report,
};
use clap::Parser;
use std::{
    fs,
    io::{Read, stdin},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Judges from raw SQL, Redis, Kafka and journals whether nothing was oversold, doubled or lost.
/// Exit code: 0 every promise holds, 1 one is violated, 2 no verdict was possible.
#[derive(Parser)]
struct Options {
    /// The `endpoints.json` of the running stack.
    #[arg(long)]
    endpoints: PathBuf,
    /// A journal of what buyers asked and were told; all that were written for this stack, else orders seem unasked for.
    #[arg(long, num_args = 1..)]
    journal: Vec<PathBuf>,
    /// How long the stack may take to settle, in seconds.
    #[arg(long, default_value_t = 60)]
    settle_within: u64,
    /// Where the verdict goes as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Sample conservation from now on; the audit itself begins when standard input ends.
    #[arg(long)]
    watch: bool,
    /// The topic of admitted orders.
    #[arg(long, default_value_t = Names::default().orders)]
    orders_topic: String,
    /// The topic of orders to be tried again.
    #[arg(long, default_value_t = Names::default().compensation)]
    compensation_topic: String,
    /// The topic of dead letters.
    #[arg(long, default_value_t = Names::default().dead_letters)]
    dlq_topic: String,
    /// The consumer group that writes orders.
    #[arg(long, default_value_t = Names::default().group)]
    group: String,
    /// The consumer group that takes in what failed.
    #[arg(long, default_value_t = Names::default().compensators)]
    compensators: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(report) => {
            print!("{}", table::render(&report));
            ExitCode::from(u8::from(!report.holds()))
        }
        Err(cause) => {
            eprintln!("could not audit: {cause:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(options: Options) -> anyhow::Result<Report> {
    let endpoints = Endpoints::read(&options.endpoints)?;
    let watch = options.watch.then(|| Watch::start(endpoints.clone()));
    if watch.is_some() {
        tokio::task::spawn_blocking(|| stdin().read_to_end(&mut Vec::new()))
            .await?
            .context("cannot read standard input")?;
    }
    let scope = Scope {
        endpoints,
        names: Names {
            orders: options.orders_topic,
            compensation: options.compensation_topic,
            dead_letters: options.dlq_topic,
            group: options.group,
            compensators: options.compensators,
        },
        journals: options.journal,
        settle_within: Duration::from_secs(options.settle_within),
    };
    let report = audit(&scope, watch, progress_line()).await?;
    if let Some(path) = options.json {
        fs::write(&path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(report)
}

/// Says on standard error what is waited for, at most once a second.
fn progress_line() -> impl FnMut(&str) {
    let mut last: Option<Instant> = None;
    move |words| {
        if last.is_none_or(|last| last.elapsed() >= Duration::from_secs(1)) {
            eprintln!("waiting: {words}");
            last = Some(Instant::now());
        }
    }
}
