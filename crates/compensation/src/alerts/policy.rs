//! How long to wait before the next try. Pure.

use super::Delivered;
use std::time::Duration;

/// Waits and limits of the courier. The default is what production runs with.
#[derive(Debug, Clone)]
pub struct Policy {
    /// After the first failure; doubled with each further one.
    pub first: Duration,
    /// What doubling ends at.
    pub longest: Duration,
    /// After a receiver asked for fewer without saying how long.
    pub slow_down: Duration,
    /// After an answer that only a person can change.
    pub broken: Duration,
    /// An alert older than this is given up at its next failure.
    pub give_up_after: Duration,
    /// How long a claimed alert belongs to one courier: longer than a try and its record take.
    pub lease: Duration,
    /// How long MySQL may be silent before people are told.
    pub silence: Duration,
    /// Pause between two looks.
    pub idle: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_mins(5),
            slow_down: Duration::from_mins(1),
            broken: Duration::from_mins(10),
            give_up_after: Duration::from_hours(24),
            lease: Duration::from_mins(1),
            silence: Duration::from_secs(5),
            idle: Duration::from_millis(500),
        }
    }
}

impl Policy {
    /// How long to wait after the `failures`th failure running (1 = the first), made longer by up to a fifth: `chance` is in 0..1.
    /// Never shorter than a receiver asked for, unless that is longer than an alert is kept waiting.
    #[must_use]
    pub fn wait(&self, failures: u32, what: &Delivered, chance: f64) -> Duration {
        let doubled = self
            .first
            .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
            .min(self.longest);
        let wait = match what {
            Delivered::Sent | Delivered::Partly(_) => return Duration::ZERO,
            Delivered::SlowDown(Some(asked), _) => (*asked).min(self.give_up_after).max(self.first),
            Delivered::SlowDown(None, _) => doubled.max(self.slow_down),
            Delivered::Broken(_) | Delivered::Gone(_) => self.broken,
            Delivered::Unknown(_) => doubled,
        };
        wait.mul_f64(0.2_f64.mul_add(chance.clamp(0.0, 1.0), 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks when a receiver's word is cut to an hour: it asked for two, and may block whoever does not wait.
    #[test]
    fn waits_double_up_to_five_minutes_and_a_receivers_word_holds() {
        let policy = Policy::default();
        let failed = Delivered::Unknown(String::new());
        let seconds = |failures| policy.wait(failures, &failed, 0.0).as_secs();
        assert_eq!(
            [1, 2, 3, 9, 10, 4_000_000_000].map(seconds),
            [1, 2, 4, 256, 300, 300]
        );
        assert_eq!(policy.wait(1, &failed, 1.0), Duration::from_millis(1200));
        let asked =
            |seconds| Delivered::SlowDown(Some(Duration::from_secs(seconds)), String::new());
        assert_eq!(policy.wait(1, &asked(30), 0.0).as_secs(), 30);
        assert_eq!(policy.wait(1, &asked(7200), 0.0).as_secs(), 7200);
        assert_eq!(policy.wait(1, &asked(1_000_000), 0.0).as_secs(), 86_400);
        assert_eq!(
            policy
                .wait(1, &Delivered::SlowDown(None, String::new()), 0.0)
                .as_secs(),
            60
        );
        assert_eq!(
            policy
                .wait(1, &Delivered::Broken(String::new()), 0.0)
                .as_secs(),
            600
        );
    }
}
