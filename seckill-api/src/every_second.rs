//! What is to happen at most once a second, however many ask.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_secs(1);

/// Grants one of its callers a second.
#[derive(Debug)]
pub(crate) struct EverySecond {
    start: Instant,
    next_ms: AtomicU64,
}

impl EverySecond {
    /// Grants the first call.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            next_ms: AtomicU64::new(0),
        }
    }

    /// Whether this caller is the one of this second.
    pub fn claim(&self) -> bool {
        let (next, now) = (self.next_ms.load(Ordering::Relaxed), self.now_ms());
        now >= next
            && self
                .next_ms
                .compare_exchange(next, now + pause_ms(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Grants nobody for a second from now.
    pub fn restart(&self) {
        self.next_ms
            .store(self.now_ms() + pause_ms(), Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        self.start
            .elapsed()
            .as_millis()
            .try_into()
            .unwrap_or(u64::MAX)
    }
}

fn pause_ms() -> u64 {
    PAUSE.as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_is_granted_and_after_a_restart_none() {
        let every_second = EverySecond::new();
        assert!(every_second.claim());
        assert!(!every_second.claim());
        let restarted = EverySecond::new();
        restarted.restart();
        assert!(!restarted.claim());
    }
}
