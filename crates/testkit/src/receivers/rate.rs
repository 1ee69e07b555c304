//! How many messages a vendor takes: so many in every stretch of time, and silence for whoever sends more.

use chrono::{DateTime, Utc};
use std::time::Duration;

/// A vendor's limits.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// In any stretch of this length at most so many.
    pub windows: &'static [(usize, Duration)],
    /// For how long nothing is taken once there were more.
    pub silent_for: Duration,
}

impl Limits {
    /// A receiver that takes everything.
    pub const NONE: Self = Self {
        windows: &[],
        silent_for: Duration::ZERO,
    };
}

/// What was taken when.
#[derive(Debug, Default)]
pub(super) struct Rate {
    taken: Vec<DateTime<Utc>>,
    silent_until: DateTime<Utc>,
}

impl Rate {
    /// Counts one more, or says for how long none is taken.
    pub(super) fn admit(&mut self, limits: &Limits, now: DateTime<Utc>) -> Result<(), Duration> {
        let silent = self.silent_until > now;
        let room = self.room(limits, now);
        match room {
            Ok(()) => self.taken.push(now),
            Err(_) if silent || limits.silent_for.is_zero() => {}
            Err(_) => self.silent_until = now + limits.silent_for,
        }
        room
    }

    /// Whether one more would be taken; if not, for how long none is. Counts nothing.
    pub(super) fn room(&self, limits: &Limits, now: DateTime<Utc>) -> Result<(), Duration> {
        if let Ok(wait) = (self.silent_until - now).to_std()
            && !wait.is_zero()
        {
            return Err(wait);
        }
        for (most, within) in limits.windows {
            let recent: Vec<_> = self
                .taken
                .iter()
                .filter(|at| now < **at + *within)
                .collect();
            if recent.len() >= *most {
                let free = *recent[recent.len() - most] + *within - now;
                return Err(free.to_std().unwrap_or_default().max(limits.silent_for));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROBOT: Limits = Limits {
        windows: &[(2, Duration::from_mins(1))],
        silent_for: Duration::from_mins(10),
    };

    #[test]
    fn one_too_many_is_met_with_silence_and_a_minute_later_there_is_room() {
        let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rate = Rate::default();
        for seconds in [0, 30, 60, 90] {
            assert_eq!(rate.admit(&ROBOT, at(seconds)), Ok(()), "{seconds}");
        }
        assert_eq!(rate.admit(&ROBOT, at(91)), Err(Duration::from_mins(10)));
        assert_eq!(rate.admit(&ROBOT, at(690)), Err(Duration::from_secs(1)));
        assert_eq!(rate.admit(&ROBOT, at(691)), Ok(()));
        let patient = Limits {
            silent_for: Duration::ZERO,
            ..ROBOT
        };
        let mut rate = Rate::default();
        rate.admit(&patient, at(0)).unwrap();
        rate.admit(&patient, at(10)).unwrap();
        assert_eq!(rate.admit(&patient, at(20)), Err(Duration::from_secs(40)));
        assert_eq!(rate.admit(&patient, at(60)), Ok(()));
    }
}
