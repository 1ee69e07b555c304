//! The coordinator measured: each scenario beside the same statements and commands issued bare (`floor.rs`), in turn, on real servers
//! that belong to the bench. Absolute figures wander with the machine; ratios taken in one run do not.

pub mod bare_load;
pub mod completions;
pub mod engine_load;
pub mod floor;
pub mod hardware;
pub mod results;
pub mod rounds;
mod scenarios;
pub mod scripts;
pub mod stage;

pub use scenarios::Scenario;

use anyhow::Context;
use results::Row;
use rounds::Budget;
use serde_json::Value;
use service_kit::settings::Settings;
use stage::Stage;
use std::path::PathBuf;

/// What was asked for.
#[derive(Debug)]
pub struct Wanted {
    /// In this order.
    pub scenarios: Vec<Scenario>,
    /// The settings of the processes; their database and stock node are emptied.
    pub config: PathBuf,
    /// Where rows are appended.
    pub results: PathBuf,
    /// Seconds of product time a scenario.
    pub seconds: f64,
}

/// Runs the scenarios one after the other; `show` is given each line as it is known.
///
/// # Errors
/// What the servers say, or a product that does not do what it should.
pub async fn run(wanted: &Wanted, show: impl Fn(&str)) -> anyhow::Result<()> {
    let settings = Settings::load(Some(&wanted.config))?;
    let stage = Stage::open(settings).await?;
    let hardware = hardware::look(&stage).await?;
    if let Some(facts) = hardware.as_object() {
        for (name, value) in facts {
            show(&format!("  {name:32} {}", plain(value)));
        }
    }
    show("");
    show(&Row::heading());
    for scenario in &wanted.scenarios {
        stage.clear().await?;
        let mut row = scenario
            .run(&stage, Budget::of(wanted.seconds))
            .await
            .with_context(|| scenario.to_string())?;
        show(&row.line());
        for (name, value) in &row.settings {
            if !matches!(name.as_str(), "engine" | "floor_spread" | "rounds") {
                show(&format!("    {name}: {}", plain(value)));
            }
        }
        row.settings
            .insert("seconds".to_owned(), wanted.seconds.into());
        row.settings.insert("machine".to_owned(), hardware.clone());
        row.append_to(&wanted.results)?;
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
