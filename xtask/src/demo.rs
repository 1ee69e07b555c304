//! `cargo xtask demo`: three flash sales, told act by act on the terminal. In two of them something is killed half-way, in the third
//! some orders fail on purpose; at the end the auditor, which knows only what buyers were told and what is stored, says whether the
//! promises were kept.
//!
//! It starts from empty beside the data of `up`: the auditor must know of every request there ever was.

mod audit;
mod breakage;
mod buyers;
mod failures;
mod receiver;
mod table;

use std::process::ExitCode;

use anyhow::ensure;

use crate::{
    config::Rehearsal,
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
use receiver::Receiver;

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
    let receiver = Receiver::start()?;
    let rehearsal = Rehearsal {
        faults: failures::faults(),
        webhook_url: receiver.url.clone(),
        webhook_secret: receiver.secret.clone(),
    };
    let data = format!("{KEPT}/data");
    let mut stack = Stack::start(workspace, folder, &data, Some(&rehearsal), stop)?;
    let audit = Audit::begin(workspace, &stack)?;

    let crowds = [
        Crowd {
            name: "A",
            units: 1_000,
            buyers: 20_000,
            remarks: Vec::new(),
            seed: wanted.seed,
        },
        Crowd {
            name: "B",
            units: 5_000,
            buyers: 5_000,
            remarks: Vec::new(),
            seed: wanted.seed + 1,
        },
        failures::crowd(wanted.seed + 2),
    ];
    let [a, b, c] = crowds;
    terminal::heading(
        "Act 2. Sale A: 20,000 buyers want 1,000 units; order-consumer is killed half-way",
    );
    let a = sell(
        workspace,
        &mut stack,
        a,
        Victim::process(processes::ORDER_CONSUMER),
        stop,
    )?;
    terminal::heading(
        "Act 3. Sale B: 5,000 buyers want 5,000 units; the stock Redis is killed half-way",
    );
    let b = sell(
        workspace,
        &mut stack,
        b,
        Victim::server(servers::REDIS_STOCK),
        stop,
    )?;
    terminal::heading(&failures::heading());
    let c = failures::play(workspace, &mut stack, c, &receiver, stop)?;

    terminal::heading("Act 5. All is settled, and the auditor looks");
    let found = audit.finish(stop)?;
    let sales = [("sale A", &a), ("sale B", &b), ("sale C", &c)];
    table::show(&sales, &found);
    stack.endpoints.show(&stack.endpoints_file);

    let kept = found.all_hold() && sales.iter().all(|(_, sold)| sold.everyone_was_answered());
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
