//! `cargo xtask demo`: two flash sales, told act by act on the terminal. In each something is killed half-way; at the end the
//! auditor, which knows only what buyers were told and what is stored, says whether the promises were kept.
//!
//! It starts from empty beside the data of `up`: the auditor must know of every request there ever was.

mod audit;
mod breakage;
mod buyers;
mod table;

use std::process::ExitCode;

use anyhow::ensure;

use crate::{
    files,
    folder::Folder,
    processes,
    servers::{self, Given},
    stack::{self, Stack},
    stop::Stop,
    terminal,
    workspace::Workspace,
};
use audit::Audit;
use breakage::{Breakage, Victim};
use buyers::{Crowd, Sold};

/// What `demo` was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// End after the closing table.
    pub exit: bool,
    pub seed: u64,
}

/// The subfolder everything of a demo is kept in.
const KEPT: &str = "demo";

/// # Errors
/// When something does not come up or a signal asks to stop. A broken promise is the exit code's matter.
pub fn run(workspace: &Workspace, wanted: Wanted, stop: &Stop) -> anyhow::Result<ExitCode> {
    ensure!(
        Given::in_environment()?.is_nothing(),
        "the demo kills servers and starts from empty, so it runs on its own: unset REDRESS_MYSQL_URL, REDRESS_REDIS_STOCK, \
         REDRESS_REDIS_LOCK and REDRESS_KAFKA"
    );
    let folder = Folder::lock(&workspace.kept(stack::FOLDER))?;
    files::remove(&folder.join(KEPT))?;
    files::make_private_dir(&folder.join(KEPT))?;

    terminal::heading("Act 1. Servers and processes come up");
    let mut stack = Stack::start(workspace, folder, &format!("{KEPT}/data"), stop)?;
    let audit = Audit::begin(workspace, &stack)?;

    let crowds = [
        Crowd {
            name: "A",
            units: 1_000,
            buyers: 20_000,
            seed: wanted.seed,
        },
        Crowd {
            name: "B",
            units: 5_000,
            buyers: 5_000,
            seed: wanted.seed + 1,
        },
    ];
    terminal::heading(
        "Act 2. Sale A: 20,000 buyers want 1,000 units; order-consumer is killed half-way",
    );
    let a = sell(
        workspace,
        &mut stack,
        crowds[0],
        Victim::process(processes::ORDER_CONSUMER),
        stop,
    )?;
    terminal::heading(
        "Act 3. Sale B: 5,000 buyers want 5,000 units; the stock Redis is killed half-way",
    );
    let b = sell(
        workspace,
        &mut stack,
        crowds[1],
        Victim::server(servers::REDIS_STOCK),
        stop,
    )?;

    terminal::heading("Act 4. All is settled, and the auditor looks");
    let found = audit.finish(stop)?;
    table::show(&[("sale A", &a), ("sale B", &b)], &found);
    stack.endpoints.show(&stack.endpoints_file);

    let kept = found.all_hold() && a.everyone_was_answered() && b.everyone_was_answered();
    if !kept {
        terminal::complain("a promise was broken");
    }
    if !wanted.exit {
        stack.stay_up(stop)?;
    }
    Ok(if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One sale, with `victim` killed half-way and started again.
fn sell(
    workspace: &Workspace,
    stack: &mut Stack,
    crowd: Crowd,
    victim: Victim,
    stop: &Stop,
) -> anyhow::Result<Sold> {
    let mut sale = crowd.arrive(workspace, stack)?;
    let mut breakage = Breakage::of(victim);
    while !sale.is_over(stop)? {
        breakage.go_on(stack, sale.is_half_way(), sale.line())?;
    }
    let sold = sale.result()?;
    breakage.finish(stack, stop)?;
    Ok(sold)
}
