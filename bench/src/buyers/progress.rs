//! How far a load has come, for whoever watches it.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that grow while buyers come.
#[derive(Debug, Default)]
pub struct Progress {
    sent: AtomicU64,
    answered: AtomicU64,
    accepted: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reached {
    /// Requests sent, repeats included.
    pub sent: u64,
    /// Buyers who have their answer.
    pub answered: u64,
    /// Of these, accepted.
    pub accepted: u64,
}

impl Progress {
    /// Where it stands.
    #[must_use]
    pub fn reached(&self) -> Reached {
        Reached {
            sent: self.sent.load(Ordering::Relaxed),
            answered: self.answered.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
        }
    }

    pub(super) fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answered(&self, accepted: bool) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.accepted
            .fetch_add(u64::from(accepted), Ordering::Relaxed);
    }
}
