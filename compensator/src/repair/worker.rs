//! A loop around batches: at once again while there is work, a rest where there is none, a longer one after trouble.

use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The rest of lanes whose work somebody waits for.
pub(super) const SOON: Duration = Duration::from_millis(200);
/// The rest of lanes that follow what others change.
pub(super) const EVERY_SECOND: Duration = Duration::from_secs(1);
/// The rest of lanes that look for what should not be there.
pub(super) const NOW_AND_THEN: Duration = Duration::from_secs(2);
/// After work that could not be claimed.
const AFTER_TROUBLE: Duration = Duration::from_secs(1);

/// One loop.
pub(super) struct Worker {
    pub lane: &'static str,
    /// Where nothing was due.
    pub rest: Duration,
    pub stop: CancellationToken,
}

impl Worker {
    /// Runs `batch`, which tells how much it found, until it is stopped; the batch in hand is finished first. The same trouble is
    /// told once.
    pub async fn run(self, batch: impl AsyncFn() -> anyhow::Result<usize>) {
        let Self { lane, rest, stop } = self;
        let mut trouble = None;
        while !stop.is_cancelled() {
            let pause = match batch().await {
                Ok(found) => {
                    if trouble.take().is_some() {
                        info!(lane, "The lane {lane} works again");
                    }
                    if found == 0 { rest } else { Duration::ZERO }
                }
                Err(cause) => {
                    let now = format!("{cause:#}");
                    if trouble.as_ref() != Some(&now) {
                        warn!(
                            lane,
                            "The lane {lane} cannot do its work, and goes on trying: {now}"
                        );
                    }
                    trouble = Some(now);
                    AFTER_TROUBLE
                }
            };
            stop.run_until_cancelled(sleep(pause)).await;
        }
    }
}
