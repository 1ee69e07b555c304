//! Key figures that people are told of.

use serde::Deserialize;

/// A day: what is waited for longer is not news.
const AT_MOST_S: u64 = 86_400;

/// When people are told that a figure is not as it should be.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Watch {
    /// More dead letters than this, neither settled nor archived ...
    pub dead_letters: u64,
    /// ... for so many seconds.
    pub dead_letters_for_s: u64,
    /// A larger share of decided orders given up within five minutes.
    pub final_failure_rate: f64,
    /// A smaller share of tried transactions decided, for a minute.
    pub transaction_success: f64,
    /// Completing takes longer than so many milliseconds on average.
    pub commit_mean_ms: u64,
    /// More transactions than this stuck, or unfinished for longer than a minute.
    pub hanging: u64,
    /// No compensator gave a sign of life for so many seconds.
    pub compensator_silent_s: u64,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            dead_letters: 10,
            dead_letters_for_s: 300,
            final_failure_rate: 0.001,
            transaction_success: 0.999,
            commit_mean_ms: 500,
            hanging: 10,
            compensator_silent_s: 30,
        }
    }
}

impl Watch {
    pub(super) fn complaint(&self) -> Option<String> {
        let shares = [
            ("watch.final_failure_rate", self.final_failure_rate),
            ("watch.transaction_success", self.transaction_success),
        ];
        if let Some((key, _)) = shares
            .into_iter()
            .find(|(_, share)| !(0.0..=1.0).contains(share))
        {
            return Some(format!("{key} is a share: it must be 0 to 1"));
        }
        if self.dead_letters_for_s > AT_MOST_S {
            return Some(format!(
                "watch.dead_letters_for_s must be at most {AT_MOST_S}"
            ));
        }
        // Below it a sign that is one turn late is an alarm.
        (!(15..=AT_MOST_S).contains(&self.compensator_silent_s))
            .then(|| format!("watch.compensator_silent_s must be 15 to {AT_MOST_S}"))
    }
}
