//! Starting before the servers do: what does not answer yet is waited for; only what answers and cannot be trusted ends the start.

use std::{future::Future, time::Duration};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The first wait before a server is asked again; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Asks until there is an answer, with a line for each time there is none. `None` when `stop` came first.
pub async fn wait_for<T, F, Fut>(server: &str, stop: &CancellationToken, mut ask: F) -> Option<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<T>>,
{
    let (mut wait, mut waited) = (FIRST_WAIT, false);
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => {
                    if waited {
                        info!("{server} answers");
                    }
                    return answer;
                }
                Err(cause) => warn!("Waiting for {server}, asking again in {wait:?}: {cause:#}"),
            }
            waited = true;
            sleep(wait).await;
            wait = (2 * wait).min(LONGEST_WAIT);
        }
    };
    stop.run_until_cancelled(asking).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[tokio::test]
    async fn it_asks_until_there_is_an_answer() {
        let (mut asked, stop) = (0, CancellationToken::new());
        let answer = wait_for("the server", &stop, || {
            asked += 1;
            let ready = asked == 2;
            async move { if ready { Ok(7) } else { bail!("not yet") } }
        });
        assert_eq!(answer.await, Some(7));
        assert_eq!(asked, 2);
    }

    #[tokio::test]
    async fn a_stop_ends_the_wait() {
        let stop = CancellationToken::new();
        stop.cancel();
        assert!(
            wait_for::<(), _, _>("the server", &stop, || async { bail!("never") })
                .await
                .is_none()
        );
    }
}
