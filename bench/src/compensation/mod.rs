//! Failed work measured by how much of it there is: what operators wait for in front of a million archived rows, and what a compensator
//! pays for picking its next work out of a million that waits. The rows are made up (`crate::seed`); where seeded rows are there
//! already, they are taken as they are. And the repair of failed orders, on the coordinator's stage: that one empties what it is given,
//! so it comes before anything is seeded.

mod admin;
mod archive_list;
mod claim_backlog;
mod retry_drain;

use crate::{
    coordinator::{hardware, results::Row, stage::Stage as Emptied},
    seed::{self, Wanted as Seeded},
};
use anyhow::{Context, ensure};
use clap::ValueEnum;
use service_kit::settings::Settings;
use sqlx::MySqlPool;
use std::{fmt, path::PathBuf, time::Instant};

/// Work that is due, of all that waits. Twice what one claim takes.
const DUE: u32 = 200;
/// Rows a group has on average, so that few rows have few groups.
const ROWS_A_GROUP: u32 = 100;
const GROUPS_AT_MOST: u32 = 10_000;

/// One way to look at failed work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// 20,000 failed orders that now succeed, tried again by one compensator. Empties the database and the stock node it is given
    #[value(name = "retry-drain")]
    RetryDrain,
    /// What operators click, over a million archived rows, through the admin's HTTP
    #[value(name = "archive-list")]
    ArchiveList,
    /// Claims out of 1,000 waiting rows and out of a million
    #[value(name = "claim-backlog")]
    ClaimBacklog,
}

impl Scenario {
    /// What is run when nothing is asked for by name.
    pub const ALL: [Self; 3] = [Self::RetryDrain, Self::ArchiveList, Self::ClaimBacklog];
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value();
        f.write_str(name.as_ref().map_or("", |name| name.get_name()))
    }
}

/// What was asked for.
#[derive(Debug)]
pub struct Wanted {
    /// In this order.
    pub scenarios: Vec<Scenario>,
    /// The settings of the processes. Their database is filled where nothing was seeded yet.
    pub config: PathBuf,
    /// Where rows are appended.
    pub results: PathBuf,
    /// Rows of the archive, and as many that wait; fewer than a million are for trying out.
    pub rows: u32,
    /// The program `admin`, started on the same settings; `archive-list` needs it.
    pub admin: Option<PathBuf>,
}

/// The database with its rows.
struct Stage<'a> {
    wanted: &'a Wanted,
    settings: Settings,
    db: MySqlPool,
}

/// Runs the scenarios one after the other; `show` is given each line as it is known.
///
/// # Errors
/// What the servers say, or a product that does not do what it should. A bound that is missed is in the row.
pub async fn run(wanted: &Wanted, show: impl Fn(&str) + Sync) -> anyhow::Result<()> {
    let settings = Settings::load(Some(&wanted.config))?;
    let db = seed::database(&settings).await?;
    let stage = Stage {
        wanted,
        settings,
        db,
    };
    show(&Row::heading());
    let (emptying, seeded): (Vec<Scenario>, Vec<Scenario>) = wanted
        .scenarios
        .iter()
        .partition(|scenario| **scenario == Scenario::RetryDrain);
    for scenario in emptying {
        let row = stage.drain().await.with_context(|| scenario.to_string())?;
        show(&row.line());
        row.append_to(&wanted.results)?;
    }
    if seeded.is_empty() {
        return Ok(());
    }
    stage.fill(&show).await?;
    for scenario in seeded {
        let mut row = match scenario {
            Scenario::RetryDrain => continue,
            Scenario::ArchiveList => archive_list::run(&stage).await,
            Scenario::ClaimBacklog => claim_backlog::run(&stage).await,
        }
        .with_context(|| scenario.to_string())?;
        show(&row.line());
        for (name, value) in &row.settings {
            match value.as_object() {
                None => show(&format!("    {name}: {value}")),
                Some(parts) => parts
                    .iter()
                    .for_each(|(part, value)| show(&format!("    {part:44} {value}"))),
            }
        }
        row.settings.insert("rows".to_owned(), wanted.rows.into());
        row.append_to(&wanted.results)?;
    }
    Ok(())
}

impl Stage<'_> {
    /// Leaves nothing behind.
    async fn drain(&self) -> anyhow::Result<Row> {
        ensure!(
            !seed::is_there(&self.db).await?,
            "this database has seeded rows, which this scenario would empty: `bench seed --remove` takes them out"
        );
        let stage = Emptied::open(self.settings.clone()).await?;
        let machine = hardware::look(&stage).await?;
        stage.clear().await?;
        let mut row = retry_drain::run(&stage).await?;
        stage.clear().await?;
        row.settings.insert("machine".to_owned(), machine);
        Ok(row)
    }

    async fn fill(&self, show: &(impl Fn(&str) + Sync)) -> anyhow::Result<()> {
        if seed::is_there(&self.db).await? {
            return Ok(());
        }
        let rows = self.wanted.rows;
        let begun = Instant::now();
        let seeded = Seeded {
            archived: rows,
            waiting: rows,
            due: DUE.min(rows),
            groups: (rows / ROWS_A_GROUP).clamp(1, GROUPS_AT_MOST),
            seed: 1,
        };
        seed::fill(&self.db, seeded, show).await?;
        show(&format!(
            "  seeded in {:.0} s",
            begun.elapsed().as_secs_f64()
        ));
        Ok(())
    }
}
