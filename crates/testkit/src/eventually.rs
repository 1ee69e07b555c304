//! Waiting for what must come, without guessing how long it takes.

use std::{future::Future, time::Duration};
use tokio::time::{Instant, sleep};

/// How often the condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until `condition` gives a value, and panics with `what` when `within` has passed.
pub async fn eventually<T, F, Fut>(what: &str, within: Duration, mut condition: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "not within {} s: {what}",
            within.as_secs()
        );
        sleep(LOOK_EVERY).await;
    }
}
