//! Orders that somebody began to decide and nobody decides: the process that asked a participant outside died, and the order was not
//! delivered again.
//!
//! Each goes into the retry queue as if it had failed by itself, and is tried again under its own gid; at last the archive gives it
//! up. One that is in the queue already is left to it.

use super::{
    Tools,
    orders::{NotPlaced, told},
    work_in::FirstTry,
};
use anyhow::{Context as _, bail};
use chrono::Utc;
use compensation::{headers::Headers, queue};
use ordering::{engine::Recovery, message::OrderMessage};
use std::time::Duration;
use tracing::{info, warn};

/// Orders looked at at once.
const AT_ONCE: u32 = 100;
/// When what is worked on is looked at again: whether it still is.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Has undecided orders tried again.
pub struct Undecided {
    tools: Tools,
    recovery: Recovery,
    timeout: Duration,
}

impl Undecided {
    /// Any number may run at once, in any process. `timeout` is how long an order may be undecided, as `recovery` sees it.
    #[must_use]
    pub fn new(tools: Tools, recovery: Recovery, timeout: Duration) -> Self {
        Self {
            tools,
            recovery,
            timeout,
        }
    }

    /// Claims what is undecided for too long, and sees that somebody tries it; how much that was.
    ///
    /// # Errors
    /// When MySQL does not tell, or does not take them in; what was claimed comes back after its lease.
    pub async fn run_batch(&self) -> anyhow::Result<usize> {
        let overdue = self
            .recovery
            .overdue(LOOK_AGAIN, AT_ONCE)
            .await
            .context("MySQL does not tell which orders nobody decides")?;
        for order in &overdue {
            self.take_up(order).await?;
        }
        Ok(overdue.len())
    }

    async fn take_up(&self, order: &OrderMessage) -> anyhow::Result<()> {
        let mut tx = self.tools.db.begin().await?;
        match queue::state_of(&mut tx, order.gid.as_uuid()).await? {
            Some(state) if state.is_open() => return Ok(()),
            // Its retries are over, and a late copy began it anew.
            Some(_) => {
                drop(tx);
                return self.decide(order).await;
            }
            None => {}
        }
        let first = FirstTry {
            at: Utc::now(),
            worker: self.tools.worker.clone(),
            error: Some(format!("not decided within {} s", self.timeout.as_secs())),
            payload: order.to_bytes(),
            headers: Headers::default(),
        };
        if self.tools.take_failed(&mut tx, first, order).await? {
            tx.commit().await?;
            warn!(order.id = %order.order_id, gid = %order.gid, "Order {} was begun and not decided within {} s, it is tried again", order.order_id, self.timeout.as_secs());
        }
        Ok(())
    }

    async fn decide(&self, order: &OrderMessage) -> anyhow::Result<()> {
        match self.tools.orders.place(order, 1, None).await {
            Ok(outcome) => {
                let (how, _) = told(&outcome);
                info!(order.id = %order.order_id, gid = %order.gid, "Order {} is {how}: that was decided before", order.order_id);
                Ok(())
            }
            Err(NotPlaced::Failed(why, _)) => {
                warn!(order.id = %order.order_id, gid = %order.gid, "Order {} cannot be decided, it is looked at again: {why}", order.order_id);
                Ok(())
            }
            Err(NotPlaced::NotNow(why)) => bail!("nothing can be decided now: {why}"),
        }
    }
}
