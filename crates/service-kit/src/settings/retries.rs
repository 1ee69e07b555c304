//! What keeps retries from becoming a storm. With the other keys of the retry policy it is only where the policy starts from: the
//! table `settings` rules afterwards, and whoever reads these checks them.

use serde::Deserialize;

/// How many retries of a process may fail.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryBudget {
    /// As a share of the orders decided in the last 10 s; 0 to 1.
    pub share: f64,
    /// A second, however little is decided; 1 to 10000.
    pub floor_per_s: f64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            share: 0.2,
            floor_per_s: 20.0,
        }
    }
}

/// When the retries of one cause are put off together, and how they come back.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryBreaker {
    /// Different orders that have to fail alike; 2 to 10000.
    pub orders: u32,
    /// Within so many seconds; 1 to 3600.
    pub within_s: f64,
    /// Seconds before the first single try; 0.1 to 3600. Each further wait is twice as long.
    pub first_wait_s: f64,
    /// The longest wait, in seconds; at most 3600.
    pub max_wait_s: f64,
    /// Seconds after which orders go on by their own schedules: that is no outage; 60 to 604800.
    pub open_at_most_s: f64,
    /// Tries in the first second after it healed; 1 to 10000. Twice as many in each further one.
    pub release_per_s: f64,
    /// The most a second; at most 100000.
    pub release_at_most_per_s: f64,
}

impl Default for RetryBreaker {
    fn default() -> Self {
        Self {
            orders: 20,
            within_s: 10.0,
            first_wait_s: 1.0,
            max_wait_s: 60.0,
            open_at_most_s: 7_200.0,
            release_per_s: 10.0,
            release_at_most_per_s: 2_000.0,
        }
    }
}
