//! Remembers that a sale is sold out, so that saying so costs no call to Redis.
//!
//! Units may come back at any time: one request a second is let through and finds out. It is set only by an answer that nothing
//! at all is available, and a request with an idempotency key never looks here: its order may exist.

use crate::every_second::EverySecond;
use ordering::stock::{Refusal, ReserveError, Reserved};
use std::sync::atomic::{AtomicBool, Ordering};

/// One sale's memory.
#[derive(Debug)]
pub(crate) struct SoldOut {
    known: AtomicBool,
    probe: EverySecond,
}

impl SoldOut {
    pub fn new() -> Self {
        Self {
            known: AtomicBool::new(false),
            probe: EverySecond::new(),
        }
    }

    /// Whether to answer `sold_out` right away. While it is known, one caller a second is told no and must ask Redis.
    pub fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed) && !self.probe.claim()
    }

    /// The sale was changed: the next caller asks Redis.
    pub fn forget(&self) {
        self.known.store(false, Ordering::Relaxed);
    }

    /// Learns from what Redis said.
    pub fn learn(&self, answer: &Result<Reserved, ReserveError>) {
        match answer {
            Err(ReserveError::Refused(Refusal::SoldOut)) => {
                if !self.known.swap(true, Ordering::Relaxed) {
                    self.probe.restart();
                }
            }
            Ok(Reserved::New) | Err(ReserveError::Refused(Refusal::Insufficient { .. })) => {
                self.known.store(false, Ordering::Relaxed);
            }
            // Says nothing of what is available.
            Ok(Reserved::Known { .. }) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nothing_at_all_is_remembered_and_any_unit_forgets_it() {
        let sold_out = SoldOut::new();
        sold_out.learn(&Err(Refusal::Insufficient { available: 1 }.into()));
        assert!(!sold_out.is_known());
        sold_out.learn(&Err(Refusal::SoldOut.into()));
        assert!(sold_out.is_known());
        sold_out.learn(&Err(ReserveError::Fenced));
        assert!(sold_out.is_known(), "a fence tells nothing");
        sold_out.learn(&Ok(Reserved::New));
        assert!(!sold_out.is_known());
        sold_out.learn(&Err(Refusal::SoldOut.into()));
        sold_out.forget();
        assert!(!sold_out.is_known(), "the sale was changed");
    }
}
