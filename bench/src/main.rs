//! `bench`: loads a running stack. `bench buyers` sends buyers to a flash sale, `bench coordinator` measures the coordinator, `bench
//! compensation` measures failed work, and `bench seed` fills a database with it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "progress and errors are for whoever started it"
)]

use anyhow::{Context, ensure};
use auditor::journal::Journal;
use bench::{
    buyers::{self, Load, Progress, Remark},
    compensation,
    coordinator::{self, Scenario},
    secrets::Minter,
    seed,
    stage::{self, Endpoints, SaleTerms},
};
use clap::{Args, Parser, Subcommand};
use service_kit::settings::Settings;
use std::{fs, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_millis(300);

/// Loads a running Redress.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    load: Loads,
}

#[derive(Subcommand)]
enum Loads {
    /// Opens a sale and sends buyers to it. Prints a JSON line of progress a few times a second.
    Buyers(Buyers),
    /// Measures the coordinator beside bare calls. Empties the database and the stock node it is given.
    Coordinator(Coordinator),
    /// Measures how failed work is drained, and lists and claims of it by the million. Fills the database it is given where nothing was
    /// seeded yet; `retry-drain` empties it, and the stock node, first.
    Compensation(Compensation),
    /// Fills a database with failed work that was made up, or takes it out again.
    Seed(Seed),
}

#[derive(Args)]
struct Compensation {
    /// What to measure; everything when nothing is named.
    #[arg(value_enum)]
    scenarios: Vec<compensation::Scenario>,
    /// The settings of the processes.
    #[arg(long)]
    config: PathBuf,
    /// Where a JSON row is appended for each scenario.
    #[arg(long)]
    results: PathBuf,
    /// Rows of the archive, and as many that wait; fewer are for trying out.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u32,
    /// The program `admin`, which `archive-list` clicks through; a release build where figures matter.
    #[arg(long)]
    admin: Option<PathBuf>,
}

#[derive(Args)]
#[expect(clippy::struct_field_names, reason = "the option is called so")]
struct Seed {
    /// The settings that name the database; refused where they say `environment: production`.
    #[arg(long)]
    config: PathBuf,
    /// Rows of the archive.
    #[arg(long, default_value_t = 1_000_000)]
    archived: u32,
    /// Work that waits, due in ten years.
    #[arg(long, default_value_t = 1_000_000)]
    waiting: u32,
    /// How much of it is due now: a compensator that runs tries it.
    #[arg(long, default_value_t = 0)]
    due: u32,
    /// Groups of the archive's rows.
    #[arg(long, default_value_t = 10_000)]
    groups: u32,
    /// The same number gives the same rows.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Take out what was seeded, and nothing else.
    #[arg(long)]
    remove: bool,
}

#[derive(Args)]
struct Coordinator {
    /// What to measure; everything when nothing is named.
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// The settings of the processes.
    #[arg(long)]
    config: PathBuf,
    /// Where a JSON row is appended for each scenario.
    #[arg(long)]
    results: PathBuf,
    /// Seconds of product time a scenario; fewer than 10 are for trying out.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

#[derive(Args)]
#[expect(clippy::struct_field_names, reason = "the option is called so")]
struct Buyers {
    /// The `endpoints.json` of the running stack.
    #[arg(long)]
    endpoints: PathBuf,
    /// The settings the stack runs with; only auth is read.
    #[arg(long)]
    config: PathBuf,
    /// Units on offer.
    #[arg(long, default_value_t = 1_000)]
    sale_units: u32,
    /// Buyers who come; each wants one order.
    #[arg(long, default_value_t = 20_000)]
    buyers: usize,
    /// Buyers served at the same time at most.
    #[arg(long, default_value_t = 300)]
    in_flight: usize,
    /// Units each buyer asks for.
    #[arg(long, default_value_t = 1)]
    quantity: u32,
    /// What the first buyers write on their orders, as TEXT:BUYERS; may be given several times.
    #[arg(long)]
    remark: Vec<Remark>,
    /// Units one buyer may have.
    #[arg(long, default_value_t = 1)]
    per_user_limit: u32,
    /// Buyers per second, come what may; without it the next comes when one is done.
    #[arg(long)]
    rate: Option<f64>,
    /// The share of buyers who click twice, 0 to 1.
    #[arg(long, default_value_t = 0.05)]
    duplicates: f64,
    /// Who clicks twice hangs on this.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds a buyer asks before giving up.
    #[arg(long, default_value_t = 120)]
    patience: u64,
    /// Where every request and answer is written; must not exist.
    #[arg(long)]
    journal: PathBuf,
    /// Where the report goes, as JSON.
    #[arg(long)]
    report: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let loaded = match Options::parse().load {
        Loads::Buyers(options) => send_buyers(options).await,
        Loads::Coordinator(options) => measure_coordinator(options).await,
        Loads::Compensation(options) => measure_compensation(options).await,
        Loads::Seed(options) => make_up(options).await,
    };
    match loaded {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("bench: {cause:#}");
            ExitCode::FAILURE
        }
    }
}

async fn send_buyers(options: Buyers) -> anyhow::Result<()> {
    ensure!(
        options.rate.is_none_or(|rate| rate > 0.0),
        "--rate must be above 0"
    );
    let endpoints = Endpoints::read(&options.endpoints)?;
    let minter = Minter::from_settings(&options.config)?;
    let journal = Journal::create(&options.journal)
        .with_context(|| format!("cannot make journal {}", options.journal.display()))?;
    let terms = SaleTerms {
        units: options.sale_units,
        per_user_limit: options.per_user_limit,
    };
    let load = Load {
        sale: stage::open_sale(&endpoints, terms).await?,
        buyers: stage::seed_buyers(&endpoints.mysql, options.buyers).await?,
        api: endpoints.api,
        quantity: options.quantity,
        remarks: options.remark,
        in_flight: options.in_flight,
        rate: options.rate,
        double_clicks: options.duplicates,
        seed: options.seed,
        patience: Duration::from_secs(options.patience),
    };
    let progress = Arc::new(Progress::default());
    let printing = tokio::spawn(print(Arc::clone(&progress)));
    let report = buyers::run(load, minter, journal, Arc::clone(&progress)).await;
    printing.abort();
    let report = report?;
    line(&progress);
    fs::write(&options.report, serde_json::to_vec_pretty(&report)?)
        .with_context(|| format!("cannot write {}", options.report.display()))?;
    let gave_up: u64 = report.gave_up.values().sum();
    ensure!(
        gave_up == 0,
        "{gave_up} buyers never got a final answer: {:?}",
        report.gave_up
    );
    Ok(())
}

async fn measure_coordinator(options: Coordinator) -> anyhow::Result<()> {
    ensure!(options.seconds > 0.0, "--seconds must be above 0");
    let scenarios = if options.scenarios.is_empty() {
        Scenario::ALL.to_vec()
    } else {
        options.scenarios
    };
    let wanted = coordinator::Wanted {
        scenarios,
        config: options.config,
        results: options.results,
        seconds: options.seconds,
    };
    coordinator::run(&wanted, |line| println!("{line}")).await
}

async fn measure_compensation(options: Compensation) -> anyhow::Result<()> {
    let scenarios = if options.scenarios.is_empty() {
        compensation::Scenario::ALL.to_vec()
    } else {
        options.scenarios
    };
    let wanted = compensation::Wanted {
        scenarios,
        config: options.config,
        results: options.results,
        rows: options.rows,
        admin: options.admin,
    };
    compensation::run(&wanted, |line| println!("{line}")).await
}

async fn make_up(options: Seed) -> anyhow::Result<()> {
    let settings = Settings::load(Some(&options.config))?;
    let db = seed::database(&settings).await?;
    let show = |line: &str| println!("{line}");
    if options.remove {
        seed::remove(&db, show).await?;
        return Ok(());
    }
    let wanted = seed::Wanted {
        archived: options.archived,
        waiting: options.waiting,
        due: options.due,
        groups: options.groups,
        seed: options.seed,
    };
    seed::fill(&db, wanted, show).await
}

async fn print(progress: Arc<Progress>) {
    let mut ticks = tokio::time::interval(PROGRESS);
    loop {
        ticks.tick().await;
        line(&progress);
    }
}

fn line(progress: &Progress) {
    if let Ok(line) = serde_json::to_string(&progress.reached()) {
        println!("{line}");
    }
}
