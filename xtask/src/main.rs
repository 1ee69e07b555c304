//! `cargo xtask`: starts the real servers and the processes, and runs the project's routines on them.
//!
//! Synchronous and small on purpose: it is built before anything else and must run in seconds. It knows programs, ports and
//! files; what an order is it does not know: buyers come from the program `bench`, verdicts from the program `auditor`.

mod bench;
mod cargo;
mod check;
mod child;
mod config;
mod demo;
mod endpoints;
mod exec;
mod files;
mod folder;
mod http;
mod kafka_jars;
mod mysql_url;
mod packages;
mod pictures;
mod ports;
mod probe;
mod processes;
mod secrets;
mod seed;
mod servers;
mod service;
mod stack;
mod stop;
mod terminal;
mod test;
mod workspace;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    stop::{Interrupted, Stop},
    workspace::Workspace,
};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Starts Redress and runs its routines")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the servers and the processes (release builds), and keep them up until Ctrl-C
    Up {
        /// Only the servers, none of the processes
        #[arg(long)]
        servers: bool,
        /// Forget what an earlier run left behind and start from empty
        #[arg(long)]
        wipe: bool,
    },
    /// Sell two flash sales to thousands of buyers, break things meanwhile, audit the result
    Demo {
        /// End after the closing table instead of staying up until Ctrl-C
        #[arg(long)]
        exit: bool,
        /// Chooses the buyers and their order of arrival; the same number gives the same buyers
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Run every test on real servers of their own; what follows `--` goes to `cargo test`
    Test {
        /// For example `-- -p ordering -- --nocapture`; without `-p` the whole workspace is tested
        #[arg(last = true)]
        cargo_args: Vec<String>,
    },
    /// Measure the coordinator beside bare calls on the same servers, as ratios, and lists and claims among a million failed orders; the rows go to `target/bench/results.jsonl`
    Bench {
        /// What to measure; everything when nothing is named
        #[arg(value_parser = bench::SCENARIOS)]
        scenarios: Vec<String>,
        /// Seconds of product time a scenario; fewer than 10 are for trying out
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
        /// Rows of the archive, and as many that wait, for `archive-list` and `claim-backlog`; fewer are for trying out
        #[arg(long, default_value_t = 1_000_000)]
        rows: u32,
    },
    /// Fill the database of the running stack with failed work that was made up, to look around in; `--remove` takes it out again
    Seed {
        /// Another database than the running stack's: the one these settings name
        #[arg(long)]
        config: Option<PathBuf>,
        /// Rows of the archive
        #[arg(long, default_value_t = 1_000_000)]
        archived: u32,
        /// Work that waits, due in ten years
        #[arg(long, default_value_t = 1_000_000)]
        waiting: u32,
        /// How much of it is due now: a compensator that runs tries it
        #[arg(long, default_value_t = 0)]
        due: u32,
        /// Groups of the archive's rows
        #[arg(long, default_value_t = 10_000)]
        groups: u32,
        /// The same number gives the same rows
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Take out what was seeded, and nothing else
        #[arg(long)]
        remove: bool,
    },
    /// Go through the admin's pages in a real browser and take the pictures under `docs/pictures`
    Pictures,
    /// Check format, lints and documentation, and that `.sqlx` is up to date
    Check {
        /// Write `.sqlx` anew instead of comparing, and check nothing else
        #[arg(long)]
        write_sqlx: bool,
    },
    /// Install what building and the servers need where it is missing, and end
    Install,
}

fn main() -> ExitCode {
    if let Some(outcome) = exec::dispatch() {
        return outcome;
    }
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) if error.is::<Interrupted>() => {
            terminal::complain("stopped");
            ExitCode::from(130)
        }
        Err(error) => {
            terminal::complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let stop = Stop::on_signals()?;
    let workspace = Workspace::find()?;
    match command {
        Command::Up { servers, wipe } => stack::up(
            &workspace,
            stack::Wanted {
                servers_only: servers,
                wipe,
            },
            &stop,
        ),
        Command::Demo { exit, seed } => demo::run(&workspace, demo::Wanted { exit, seed }, &stop),
        Command::Test { cargo_args } => test::run(&workspace, &cargo_args, &stop),
        Command::Bench {
            scenarios,
            seconds,
            rows,
        } => {
            let wanted = bench::Wanted {
                scenarios,
                seconds,
                rows,
            };
            bench::run(&workspace, &wanted, &stop)
        }
        Command::Seed {
            config,
            archived,
            waiting,
            due,
            groups,
            seed,
            remove,
        } => {
            let mut arguments = vec![
                format!("--archived={archived}"),
                format!("--waiting={waiting}"),
                format!("--due={due}"),
                format!("--groups={groups}"),
                format!("--seed={seed}"),
            ];
            if remove {
                arguments.push("--remove".to_owned());
            }
            seed::run(&workspace, &seed::Wanted { config, arguments }, &stop)
        }
        Command::Pictures => pictures::run(&workspace, &stop),
        Command::Check { write_sqlx: true } => check::write_sqlx(&workspace, &stop),
        Command::Check { write_sqlx: false } => check::run(&workspace, &stop),
        Command::Install => packages::ensure(packages::ALL, &stop).map(|()| ExitCode::SUCCESS),
    }
}
