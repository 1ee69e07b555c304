//! Whether the backend answers, as this process knows it: after trouble it is left alone for a while, longer each time, so that what
//! is down is not asked by everything that waits for it.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The first pause after trouble; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest: what came back is seen within it.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Standing(Mutex<Option<Trouble>>);

#[derive(Debug, Clone)]
struct Trouble {
    why: String,
    pause: Duration,
    until: Instant,
}

impl Standing {
    /// Why it is left alone now, and for how long still.
    pub fn pause(&self, now: Instant) -> Option<(String, Duration)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = known.as_ref()?;
        let rest = trouble.until.checked_duration_since(now)?;
        (!rest.is_zero()).then(|| (trouble.why.clone(), rest))
    }

    /// Why it did not answer last, also while it is asked again.
    pub fn trouble(&self) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(|trouble| trouble.why.clone())
    }

    /// It answered.
    pub fn answered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// It did not. Of several that learn it at once the first counts.
    pub fn failed(&self, why: &str, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = match known.as_ref() {
            None => FIRST_PAUSE,
            Some(trouble) if trouble.until > now => return,
            Some(trouble) => (trouble.pause * 2).min(LONGEST_PAUSE),
        };
        *known = Some(Trouble {
            why: why.to_owned(),
            pause,
            until: now + pause,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without the guard for several at once, eight failures in a row made the first pause the longest.
    #[test]
    fn pauses_grow_up_to_the_longest_and_one_answer_ends_them() {
        let (standing, mut now) = (Standing::default(), Instant::now());
        assert_eq!(standing.pause(now), None);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            for _ in 0..8 {
                standing.failed("down", now);
            }
            let (why, rest) = standing.pause(now).unwrap();
            assert_eq!(why, "down");
            pauses.push(rest.as_millis());
            now += rest;
            assert_eq!(standing.pause(now), None, "it is asked again");
            assert_eq!(standing.trouble().as_deref(), Some("down"));
        }
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
        standing.answered();
        assert_eq!((standing.pause(now), standing.trouble()), (None, None));
    }
}
