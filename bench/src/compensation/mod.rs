//! The repair of failed orders measured, on the coordinator's stage: real servers that belong to the bench.

mod retry_drain;

use crate::coordinator::{hardware, results::Row, stage::Stage};
use anyhow::Context as _;
use clap::ValueEnum;
use service_kit::settings::Settings;
use std::{fmt, path::Path};

/// One way to look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// 20,000 failed orders that now succeed, tried again by one compensator
    RetryDrain,
}

impl Scenario {
    /// What is run when nothing is asked for by name.
    pub const ALL: [Self; 1] = [Self::RetryDrain];

    async fn run(self, stage: &Stage) -> anyhow::Result<Row> {
        match self {
            Self::RetryDrain => retry_drain::run(stage).await,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value();
        f.write_str(name.as_ref().map_or("", |name| name.get_name()))
    }
}

/// Runs the scenarios one after the other; `show` is given each line as it is known.
///
/// # Errors
/// What the servers say, or a product that does not do what it should.
pub async fn run(
    scenarios: &[Scenario],
    config: &Path,
    results: &Path,
    show: impl Fn(&str),
) -> anyhow::Result<()> {
    let stage = Stage::open(Settings::load(Some(config))?).await?;
    let machine = hardware::look(&stage).await?;
    show(&Row::heading());
    for scenario in scenarios {
        stage.clear().await?;
        let mut row = scenario
            .run(&stage)
            .await
            .with_context(|| scenario.to_string())?;
        show(&row.line());
        row.settings.insert("machine".to_owned(), machine.clone());
        row.append_to(results)?;
    }
    Ok(())
}
