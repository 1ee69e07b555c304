//! What a scenario amounted to: a line of the table, and a row of the results file.

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Map, Value};
use std::{fs::OpenOptions, io::Write as _, path::Path, time::Duration};

/// One scenario, one run.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its name.
    pub scenario: &'static str,
    /// Transactions a second, the median of all rounds.
    pub rate: f64,
    /// From submission, or the intended time of sending, to the end the scenario names.
    pub mean_ms: f64,
    /// Half took no longer.
    pub p50_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// 999 of 1,000 took no longer.
    pub p999_ms: f64,
    /// Transactions measured.
    pub n: u64,
    /// Those without an outcome.
    pub errors: u64,
    /// The floor's, the median of all rounds.
    pub floor_rate: f64,
    /// Of the medians; 1 is as fast as the bare calls.
    pub ratio_to_floor: f64,
    /// Between the fastest and the slowest round, as a share of the median.
    pub spread: f64,
    /// What it ran with.
    pub settings: Map<String, Value>,
}

/// One round of one contestant.
#[derive(Debug, Clone)]
pub struct Round {
    /// Transactions settled.
    pub done: u64,
    /// Transactions without an outcome.
    pub errors: u64,
    /// From the first call to the last completion.
    pub took: Duration,
    /// Microseconds, each transaction.
    pub latency_us: Histogram<u64>,
}

impl Round {
    /// Transactions a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Mean milliseconds.
    #[must_use]
    pub fn mean_ms(&self) -> f64 {
        self.latency_us.mean() / 1_000.0
    }
}

/// An empty histogram of microseconds.
///
/// # Errors
/// The bounds are not accepted; they are constant.
pub fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new(3)?)
}

/// The duration in whole microseconds.
#[must_use]
pub fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// The middle one.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Between the largest and the smallest, as a share of the median.
#[must_use]
pub fn spread(values: &[f64]) -> f64 {
    let largest = values.iter().copied().fold(f64::MIN, f64::max);
    let smallest = values.iter().copied().fold(f64::MAX, f64::min);
    (largest - smallest) / median(values.to_vec())
}

/// How two contestants are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// By transactions a second.
    ByRate,
    /// By mean latency, where the load is given: the floor's through the product's.
    ByLatency,
}

impl Row {
    /// The row of alternated rounds.
    ///
    /// # Errors
    /// Never, for histograms that grow.
    pub fn of(
        scenario: &'static str,
        product: &[Round],
        floor: &[Round],
        compared: Compared,
        mut settings: Map<String, Value>,
    ) -> anyhow::Result<Self> {
        let rates = |rounds: &[Round]| rounds.iter().map(Round::rate).collect::<Vec<_>>();
        let means = |rounds: &[Round]| rounds.iter().map(Round::mean_ms).collect::<Vec<_>>();
        let mut latency = histogram()?;
        for round in product {
            latency.add(&round.latency_us)?;
        }
        let (rate, floor_rate) = (median(rates(product)), median(rates(floor)));
        let (ratio, figures, of_floor) = match compared {
            Compared::ByRate => (rate / floor_rate, rates(product), rates(floor)),
            Compared::ByLatency => (
                median(means(floor)) / median(means(product)),
                means(product),
                means(floor),
            ),
        };
        settings.insert("rounds".to_owned(), product.len().into());
        settings.insert(
            "floor_mean_ms".to_owned(),
            rounded(median(means(floor))).into(),
        );
        settings.insert("floor_spread".to_owned(), rounded(spread(&of_floor)).into());
        let ms = |quantile| rounded(latency.value_at_quantile(quantile) as f64 / 1_000.0);
        Ok(Self {
            scenario,
            rate: rounded(rate),
            mean_ms: rounded(latency.mean() / 1_000.0),
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            n: product.iter().map(|round| round.done).sum(),
            errors: product.iter().map(|round| round.errors).sum(),
            floor_rate: rounded(floor_rate),
            ratio_to_floor: rounded(ratio),
            spread: rounded(spread(&figures)),
            settings,
        })
    }

    /// Appends it to the results file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append_to(&self, file: &Path) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(self)?;
        line.push('\n');
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .with_context(|| format!("cannot write {}", file.display()))
    }

    /// Its line of the table.
    #[must_use]
    pub fn line(&self) -> String {
        let floor_spread = self.settings.get("floor_spread").and_then(Value::as_f64);
        format!(
            "{:<20} {:>9.0} ±{:>3.0}% {:>9.0} ±{:>3.0}% {:>6.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>8} {:>6}",
            self.scenario,
            self.rate,
            self.spread * 50.0,
            self.floor_rate,
            floor_spread.unwrap_or_default() * 50.0,
            self.ratio_to_floor,
            self.mean_ms,
            self.p50_ms,
            self.p99_ms,
            self.p999_ms,
            self.n,
            self.errors
        )
    }

    /// The line above the table.
    #[must_use]
    pub fn heading() -> String {
        format!(
            "{:<20} {:>9} {:>5} {:>9} {:>5} {:>6} {:>9} {:>9} {:>9} {:>9} {:>8} {:>6}",
            "scenario",
            "rate/s",
            "",
            "floor/s",
            "",
            "ratio",
            "mean ms",
            "p50 ms",
            "p99 ms",
            "p999 ms",
            "n",
            "errors"
        )
    }
}

/// To a ten-thousandth: beyond that nothing was measured.
#[must_use]
pub fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_two_in_the_middle() {
        assert!((median(vec![4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < 1e-9);
        assert!((median(vec![9.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn the_spread_is_a_share_of_the_median() {
        assert!((spread(&[90.0, 100.0, 120.0]) - 0.3).abs() < 1e-9);
    }

    #[test]
    fn a_row_has_the_agreed_fields_and_no_others() {
        let round = |done| Round {
            done,
            errors: 0,
            took: Duration::from_secs(1),
            latency_us: histogram().unwrap(),
        };
        let row = Row::of(
            "coordinator",
            &[round(80)],
            &[round(100)],
            Compared::ByRate,
            Map::new(),
        )
        .unwrap();
        assert!((row.ratio_to_floor - 0.8).abs() < 1e-9);
        let value = serde_json::to_value(&row).unwrap();
        let names: Vec<_> = value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut agreed = vec![
            "scenario",
            "rate",
            "mean_ms",
            "p50_ms",
            "p99_ms",
            "p999_ms",
            "n",
            "errors",
            "floor_rate",
            "ratio_to_floor",
            "spread",
            "settings",
        ];
        agreed.sort_unstable();
        assert_eq!(names, agreed);
    }
}
