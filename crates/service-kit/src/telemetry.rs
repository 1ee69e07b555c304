//! Logs and metrics, set up once a process.

use crate::settings::{Log, LogFormat};
use anyhow::Context;
use metrics::{Unit, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::{collections::BTreeMap, io::IsTerminal as _, sync::OnceLock, time::Duration};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Always 1; its labels `process` and `version` say what runs.
pub const BUILD_INFO: &str = "build_info";

/// Seconds; fine below the 25 ms an answer may take, coarse up to the longest timeout.
const SECONDS: [f64; 16] = [
    0.000_25, 0.000_5, 0.001, 0.002, 0.003, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
    2.5, 10.0,
];

/// The recorder folds samples into its buckets this often; without it memory grows.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Renders the process's metrics as Prometheus reads them.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// The text of one scrape.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// The counts of these metrics, by name and labels.
    #[must_use]
    pub fn counted(&self, names: &[&str]) -> BTreeMap<String, f64> {
        counted(&self.render(), names)
    }
}

fn counted(text: &str, names: &[&str]) -> BTreeMap<String, f64> {
    text.lines()
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(series, _)| {
            let name = series.split('{').next().unwrap_or_default();
            names.contains(&name)
        })
        .filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?)))
        .collect()
}

/// Starts logging to standard error, in the format and with the filter of the settings.
///
/// # Errors
/// When the filter cannot be read, or logging was started before.
pub fn init(settings: &Log, process: &'static str) -> anyhow::Result<Metrics> {
    let filter = EnvFilter::builder()
        .parse(&settings.filter)
        .with_context(|| format!("log.filter {:?}", settings.filter))?;
    // Colours are for people: a file or a pipe gets none.
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    match settings.format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    }
    .context("starting the log")?;
    metrics(process)
}

/// The process's metrics, with [`BUILD_INFO`] from the first scrape. A second call gives the first one's recorder: tests run many
/// processes in one.
///
/// # Errors
/// When another recorder was installed.
pub fn metrics(process: &'static str) -> anyhow::Result<Metrics> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let handle = RECORDER
        .get_or_init(|| {
            let handle = PrometheusBuilder::new()
                .set_buckets(&SECONDS)
                .ok()?
                .install_recorder()
                .ok()?;
            // A thread and not a task: it outlives whichever runtime came first.
            let upkeep = handle.clone();
            std::thread::spawn(move || {
                loop {
                    std::thread::sleep(UPKEEP_EVERY);
                    upkeep.run_upkeep();
                }
            });
            Some(handle)
        })
        .clone()
        .context("another metrics recorder is installed")?;
    describe_gauge!(
        BUILD_INFO,
        Unit::Count,
        "Always 1; the labels say what runs"
    );
    gauge!(BUILD_INFO, "process" => process, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(Metrics(handle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_by_name_and_labels_and_nothing_else_is() {
        let text = "# HELP tx_total Transactions\n# TYPE tx_total counter\ntx_total{outcome=\"committed\"} 12\n\
                    tx_total{outcome=\"a b\"} 3\ntx_total_other 7\n\ntx_commit_seconds_sum 0.25\ntx_commit_seconds_bucket{le=\"1\"} 4\n";
        let counted = counted(text, &["tx_total", "tx_commit_seconds_sum"]);
        let expected = [
            ("tx_commit_seconds_sum".to_owned(), 0.25),
            ("tx_total{outcome=\"a b\"}".to_owned(), 3.0),
            ("tx_total{outcome=\"committed\"}".to_owned(), 12.0),
        ];
        assert_eq!(counted, BTreeMap::from(expected));
    }
}
