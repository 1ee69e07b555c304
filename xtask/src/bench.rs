//! `cargo xtask bench`: servers of its own, from empty, and the program `bench` on them. The processes stay out of it: the scenarios
//! drive the coordinator and the queue in one process, so that they are measured and nothing else. Only the operators' web is started, by
//! the scenario that clicks through it.

use std::{fs, process::ExitCode};

use anyhow::{Context as _, ensure};

use crate::{
    cargo, config,
    exec::{self, Tie},
    folder::Folder,
    packages,
    ports::Ports,
    processes::{self, Listen},
    secrets::Secrets,
    servers::{Given, Starting},
    service::Services,
    stop::Stop,
    terminal,
    workspace::Workspace,
};

/// The folder below `target/` the servers live in.
const FOLDER: &str = "bench-stack";
/// Kept from run to run, so that runs can be compared.
const RESULTS: &str = "bench";

/// The names of the scenarios, so that a wrong one is refused before anything is built.
pub const SCENARIOS: [&str; 13] = [
    "coordinator",
    "coordinator-batch-1",
    "latency-1",
    "latency-500",
    "contended",
    "recover",
    "recover-foreign",
    "backlog",
    "modes",
    "rebuild",
    "retry-drain",
    "archive-list",
    "claim-backlog",
];

/// Those of them that are of failed work: they come last, for they leave a million rows behind.
const OF_FAILED_WORK: [&str; 3] = ["retry-drain", "archive-list", "claim-backlog"];

/// What `bench` was asked for.
#[derive(Debug)]
pub struct Wanted {
    /// Names of scenarios; all when there are none.
    pub scenarios: Vec<String>,
    /// Seconds of product time a scenario.
    pub seconds: f64,
    /// Rows of the archive, and as many that wait.
    pub rows: u32,
}

/// Measures, prints a table and appends to `target/bench/results.jsonl`.
///
/// # Errors
/// When something does not come up or a signal asks to stop. A scenario that failed is the exit code's matter.
pub fn run(workspace: &Workspace, wanted: &Wanted, stop: &Stop) -> anyhow::Result<ExitCode> {
    let given = Given::in_environment()?;
    ensure!(
        given.is_nothing(),
        "the bench empties its servers, so it starts its own: unset REDRESS_MYSQL_URL, REDRESS_REDIS_STOCK, REDRESS_REDIS_LOCK \
         and REDRESS_KAFKA"
    );
    let folder = Folder::lock(&workspace.kept(FOLDER))?;
    folder.wipe()?;
    terminal::heading("Programs");
    packages::ensure(packages::BUILDING, stop)?;
    given.ensure_programs(workspace, stop)?;
    processes::build(workspace, stop)?;

    terminal::heading("Servers");
    let secrets = Secrets::kept_in(&folder)?;
    let mut ports = Ports::new()?;
    let mut services = Services::default();
    let addresses = Starting {
        workspace,
        folder: &folder,
        data: "data",
        secrets: &secrets,
        ports: &mut ports,
        stop,
    }
    .all(given, &mut services)?;
    let listen = Listen::choose(&mut ports)?;
    let config = config::write(&folder, "data", &secrets, &addresses, &listen, None)?;
    processes::migrate(
        &workspace.release_binary("migrations"),
        &folder,
        &config,
        stop,
    )?;

    terminal::heading("Bench");
    let results = workspace.kept(RESULTS);
    fs::create_dir_all(&results)
        .with_context(|| format!("cannot make the folder {}", results.display()))?;
    let results = results.join("results.jsonl");
    let program = workspace.release_binary("bench");
    let all = SCENARIOS.map(str::to_owned).to_vec();
    let scenarios = if wanted.scenarios.is_empty() {
        all
    } else {
        wanted.scenarios.clone()
    };
    let (of_failed_work, of_the_coordinator): (Vec<_>, Vec<_>) = scenarios
        .into_iter()
        .partition(|name| OF_FAILED_WORK.contains(&name.as_str()));
    let mut succeeded = true;
    for (of, scenarios, arguments) in [
        (
            "coordinator",
            of_the_coordinator,
            vec![format!("--seconds={}", wanted.seconds)],
        ),
        (
            "compensation",
            of_failed_work,
            vec![
                format!("--rows={}", wanted.rows),
                format!("--admin={}", workspace.release_binary("admin").display()),
            ],
        ),
    ] {
        if scenarios.is_empty() || !succeeded {
            continue;
        }
        let mut bench = exec::command(Tie::Child, &program.to_string_lossy());
        bench
            .arg(of)
            .args(scenarios)
            .arg(format!("--config={}", config.display()))
            .arg(format!("--results={}", results.display()))
            .args(arguments);
        succeeded = cargo::status(&mut bench, stop)?.success();
    }
    services.ensure_running()?;
    drop(services);
    terminal::line(&format!("\nRows were appended to {}", results.display()));
    if succeeded {
        folder.wipe()?;
        return Ok(ExitCode::SUCCESS);
    }
    terminal::complain(&format!(
        "the bench failed; the servers' logs are in {}",
        folder.join("logs").display()
    ));
    Ok(ExitCode::FAILURE)
}
