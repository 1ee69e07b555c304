//! A switch that opens when calls keep failing, so that the next ones are refused at once instead of waiting in vain.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Failures in a row that open it.
const OPENS_AFTER: u32 = 5;
/// How long it stays open before one call may try.
const TRIES_AFTER: Duration = Duration::from_secs(1);

/// Closed while calls succeed; open after five failures in a row; then one call a second may try, and its success closes it.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// When open: the moment the next call may try.
    next_try: Option<Instant>,
}

impl Breaker {
    /// Whether a call may be made. While open, the one call it lets through a second must be reported back.
    ///
    /// # Errors
    /// How long to wait before asking again.
    pub fn check(&self) -> Result<(), Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(next_try) = state.next_try else {
            return Ok(());
        };
        let now = Instant::now();
        if now < next_try {
            return Err(next_try - now);
        }
        state.next_try = Some(now + TRIES_AFTER);
        Ok(())
    }

    /// Reports a call that succeeded.
    pub fn succeeded(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// Reports a call that failed.
    pub fn failed(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        if state.failures >= OPENS_AFTER {
            state.next_try = Some(Instant::now() + TRIES_AFTER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row_and_closes_with_one_success() {
        let breaker = Breaker::default();
        for _ in 0..OPENS_AFTER - 1 {
            breaker.failed();
        }
        assert!(breaker.check().is_ok());
        breaker.failed();
        assert!(breaker.check().is_err());
        tokio::time::advance(TRIES_AFTER).await;
        assert!(breaker.check().is_ok(), "one may try");
        assert!(breaker.check().is_err(), "only one");
        breaker.succeeded();
        assert!(breaker.check().is_ok());
    }
}
