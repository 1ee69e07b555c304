//! Follows the retry policy: a change in the table rules here within a second or two, without a restart. While MySQL is away, or holds
//! what this build cannot read, the last good one rules.

use super::{Tools, worker::EVERY_SECOND};
use crate::metrics::COMPENSATION_POLICY_VERSION;
use compensation::policy::stored::ReadError;
use metrics::gauge;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// Looks at the table.
pub struct PolicyWatch(Tools);

impl PolicyWatch {
    /// Of one process: it changes what its tools go by.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self(tools)
    }

    /// Takes a newer version over. Nothing is ever left to do at once.
    ///
    /// # Errors
    /// What kept it from it.
    pub async fn run_batch(&self) -> anyhow::Result<usize> {
        let version = self.0.policy.follow().await?;
        gauge!(COMPENSATION_POLICY_VERSION).set(f64::from(version));
        Ok(0)
    }

    /// Waits for MySQL to tell which policy rules. Where what it tells cannot be read, the settings file's rules until it can.
    pub(super) async fn first(&self, stop: &CancellationToken) {
        let mut told = false;
        loop {
            match self.0.policy.follow().await {
                Ok(_) => return,
                Err(cause @ (ReadError::Database(_) | ReadError::Missing)) => {
                    if !told {
                        let cause = anyhow::Error::new(cause);
                        warn!("Nothing is tried again yet, and this goes on trying: {cause:#}");
                    }
                    told = true;
                }
                Err(cause) => {
                    let cause = anyhow::Error::new(cause);
                    error!(
                        "The settings file's retry policy rules, change it in the admin: {cause:#}"
                    );
                    return;
                }
            }
            if stop
                .run_until_cancelled(sleep(EVERY_SECOND))
                .await
                .is_none()
            {
                return;
            }
        }
    }
}
