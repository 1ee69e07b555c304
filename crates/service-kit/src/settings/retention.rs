//! How long records are kept that nobody works on any more.

use serde::Deserialize;

/// Days for which Kafka keeps messages unless it is told otherwise, and as many again: a late copy must meet what became of the work.
const SETTLED_AT_LEAST_D: u64 = 14;
/// Ten years: beyond it a time cannot be reckoned.
const AT_MOST_D: u64 = 3_650;

/// Days, each. Transactions and archived messages have settings of their own.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Work that was settled by being tried again.
    pub settled_work_d: u64,
    /// Rows of `compensation_logs`.
    pub compensation_logs_d: u64,
    /// Alerts that arrived.
    pub alerts_d: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            settled_work_d: 30,
            compensation_logs_d: 90,
            alerts_d: 90,
        }
    }
}

impl Retention {
    pub(super) fn complaint(&self) -> Option<String> {
        if self.settled_work_d < SETTLED_AT_LEAST_D {
            return Some(format!(
                "retention.settled_work_d must be at least {SETTLED_AT_LEAST_D}: Kafka keeps messages for 7 days, and a late copy must \
                 still meet what became of it"
            ));
        }
        let kept = [
            ("retention.settled_work_d", self.settled_work_d),
            ("retention.compensation_logs_d", self.compensation_logs_d),
            ("retention.alerts_d", self.alerts_d),
        ];
        let (key, _) = kept
            .into_iter()
            .find(|(_, days)| !(1..=AT_MOST_D).contains(days))?;
        Some(format!("{key} must be 1 to {AT_MOST_D}"))
    }
}
