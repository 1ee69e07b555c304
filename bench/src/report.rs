//! What a load amounted to.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;

/// The result of one load, as it is written to the report file.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The sale that was opened for it.
    pub sale_id: Uuid,
    /// Orders buyers wanted; a double click or a retry is not another one.
    pub requests: u64,
    /// HTTP answers that came.
    pub answers: u64,
    /// Orders answered 202.
    pub accepted: u64,
    /// Of these, those with a remark, by the remark.
    pub remarked: BTreeMap<String, Vec<Uuid>>,
    /// Orders refused for good, by the problem's code.
    pub rejected: BTreeMap<String, u64>,
    /// Orders whose buyers gave up asking, by the last code.
    pub gave_up: BTreeMap<String, u64>,
    /// Requests sent again because the answer asked for it or none came.
    pub retries: u64,
    /// Why, by the code.
    pub retried: BTreeMap<String, u64>,
    /// Orders that were clicked twice.
    pub double_clicks: u64,
    /// From the first request to the last answer, seconds.
    pub duration_s: f64,
    /// Orders answered for good per second.
    pub rate: f64,
    /// Orders accepted per second.
    pub accepted_rate: f64,
    /// Accepted, clicked once: from the intended time of sending to the 202, all retries included.
    pub latency_ms: Latency,
    /// The same of those refused.
    pub rejected_latency_ms: Latency,
    /// The same of those clicked twice at once: one of the clicks is told to come again.
    pub double_click_latency_ms: Latency,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Half of them took no longer.
    pub p50: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
    /// None took longer.
    pub max: f64,
}

/// What one worker saw; added up at the end, so that workers share nothing while they run.
#[derive(Debug, Clone)]
pub struct Tally {
    /// HTTP answers that came.
    pub answers: u64,
    /// Orders answered 202.
    pub accepted: u64,
    /// Of these, those with a remark.
    pub remarked: BTreeMap<String, Vec<Uuid>>,
    /// Orders refused for good.
    pub rejected: BTreeMap<String, u64>,
    /// Orders given up.
    pub gave_up: BTreeMap<String, u64>,
    /// Requests sent again, by what made it necessary.
    pub retried: BTreeMap<String, u64>,
    /// Orders clicked twice.
    pub double_clicks: u64,
    /// Accepted, clicked once; microseconds, as are the others.
    pub accepted_us: Histogram<u64>,
    /// Refused, clicked once.
    pub rejected_us: Histogram<u64>,
    /// Clicked twice at once.
    pub double_click_us: Histogram<u64>,
}

impl Tally {
    /// Nothing yet.
    ///
    /// # Errors
    /// The histograms' bounds are not accepted; they are constant.
    pub fn new() -> anyhow::Result<Self> {
        let histogram = Histogram::<u64>::new(3)?;
        Ok(Self {
            answers: 0,
            accepted: 0,
            remarked: BTreeMap::new(),
            rejected: BTreeMap::new(),
            gave_up: BTreeMap::new(),
            retried: BTreeMap::new(),
            double_clicks: 0,
            accepted_us: histogram.clone(),
            rejected_us: histogram.clone(),
            double_click_us: histogram,
        })
    }

    /// Adds what another worker saw.
    ///
    /// # Errors
    /// Never, for histograms that grow.
    pub fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.answers += other.answers;
        self.accepted += other.accepted;
        self.double_clicks += other.double_clicks;
        for (remark, orders) in &other.remarked {
            let mine = self.remarked.entry(remark.clone()).or_default();
            mine.extend(orders);
        }
        for (mine, theirs) in [
            (&mut self.rejected, &other.rejected),
            (&mut self.gave_up, &other.gave_up),
            (&mut self.retried, &other.retried),
        ] {
            for (code, count) in theirs {
                *mine.entry(code.clone()).or_default() += count;
            }
        }
        self.accepted_us.add(&other.accepted_us)?;
        self.rejected_us.add(&other.rejected_us)?;
        self.double_click_us.add(&other.double_click_us)?;
        Ok(())
    }

    /// The report on `requests` orders of `sale` that took `duration`.
    #[must_use]
    pub fn report(self, sale: Uuid, requests: u64, duration: Duration) -> Report {
        let seconds = duration.as_secs_f64().max(f64::MIN_POSITIVE);
        let settled = self.accepted + self.rejected.values().sum::<u64>();
        Report {
            sale_id: sale,
            requests,
            answers: self.answers,
            accepted: self.accepted,
            remarked: self.remarked,
            retries: self.retried.values().sum(),
            double_clicks: self.double_clicks,
            duration_s: seconds,
            rate: settled as f64 / seconds,
            accepted_rate: self.accepted as f64 / seconds,
            latency_ms: Latency::of(&self.accepted_us),
            rejected_latency_ms: Latency::of(&self.rejected_us),
            double_click_latency_ms: Latency::of(&self.double_click_us),
            rejected: self.rejected,
            gave_up: self.gave_up,
            retried: self.retried,
        }
    }
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let ms = |us: u64| us as f64 / 1_000.0;
        Self {
            count: histogram.len(),
            mean: histogram.mean() / 1_000.0,
            p50: ms(histogram.value_at_quantile(0.5)),
            p99: ms(histogram.value_at_quantile(0.99)),
            max: ms(histogram.max()),
        }
    }
}
