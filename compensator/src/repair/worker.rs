//! A loop around batches: at once again while there is work, a rest where there is none, a longer one after trouble.

use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Where nothing was due.
const IDLE: Duration = Duration::from_millis(200);
/// After work that could not be claimed.
const AFTER_TROUBLE: Duration = Duration::from_secs(1);

/// Runs `batch`, which tells how much it found, until `stop`; the batch in hand is finished first. The same trouble is told once.
pub(super) async fn run(
    lane: &'static str,
    stop: CancellationToken,
    batch: impl AsyncFn() -> anyhow::Result<usize>,
) {
    let mut trouble = None;
    while !stop.is_cancelled() {
        let pause = match batch().await {
            Ok(found) => {
                if trouble.take().is_some() {
                    info!(lane, "The lane {lane} works again");
                }
                if found == 0 { IDLE } else { Duration::ZERO }
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
