//! The sale lock: Redlock, one lock per sale *and* buyer, so that a buyer's double click does not race itself and nobody queues
//! behind another. It spares work; what must not happen twice is guarded where it is decided, with or without it.
//!
//! A node that hangs or dies is left out within a third of a second (`nodes`); until then an attempt that waits for it gives
//! up after 150 ms and is undone in the background.

mod metrics;
mod nodes;

use crate::ids::SaleId;
use anyhow::Context as _;
use identity::UserId;
use nodes::Nodes;
use redis::Client;
use rslock::{Lock, LockError};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::AbortHandle,
    time::{Instant, timeout},
};

pub use metrics::{SALE_LOCK_SECONDS, describe};

/// What an attempt may take. Under full load it takes some 30 ms.
const ATTEMPT_WITHIN: Duration = Duration::from_millis(150);

/// The lock over all its nodes. Cloning shares it; the probing ends with the last clone.
#[derive(Clone)]
pub struct SaleLock(Arc<Shared>);

struct Shared {
    nodes: Arc<Nodes>,
    ttl: Duration,
    probers: Vec<AbortHandle>,
}

/// What came of one attempt.
#[derive(Debug)]
pub enum Attempt {
    /// It is ours, until released or for the lock's TTL.
    Held(Held),
    /// Another request of this buyer in this sale has it.
    Contended,
    /// No majority of the configured nodes answers in time: nobody can tell.
    NoMajority,
}

/// A lock that is held. Dropping it does not release it: it then lasts for its TTL.
#[derive(Debug)]
#[must_use = "release it: dropped, it keeps the buyer out until its TTL is over"]
pub struct Held(Lock);

impl Held {
    /// Gives it back on every node; takes 500 ms when one hangs that was not noticed yet, and may go on in the background.
    pub async fn release(self) {
        self.0.release().await;
    }
}

impl SaleLock {
    /// Begins to probe the nodes at `urls`, one or three; a node is used from its first answer on. Locks nobody released are
    /// free again after `ttl`. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When there are neither one nor three, or a url is malformed.
    pub fn start(urls: &[String], ttl: Duration) -> anyhow::Result<Self> {
        // With five, leaving one out would change what a majority is.
        anyhow::ensure!(
            matches!(urls.len(), 1 | 3),
            "the sale lock needs 1 or 3 nodes, not {}",
            urls.len()
        );
        let clients = urls
            .iter()
            .map(|url| {
                Client::open(url.as_str()).with_context(|| format!("{url:?} is not a Redis url"))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let nodes = Arc::new(Nodes::new(clients, ttl));
        let probers = (0..nodes.count())
            .map(|index| {
                let nodes = Arc::clone(&nodes);
                tokio::spawn(async move { nodes.probe(index).await }).abort_handle()
            })
            .collect();
        Ok(Self(Arc::new(Shared {
            nodes,
            ttl,
            probers,
        })))
    }

    /// How many nodes are in use, and how many there are.
    #[must_use]
    pub fn answering(&self) -> (usize, usize) {
        (self.0.nodes.view().answering(), self.0.nodes.count())
    }

    /// Whether enough nodes are in use for anyone to hold a lock.
    #[must_use]
    pub fn has_majority(&self) -> bool {
        self.0.nodes.view().manager.is_some()
    }

    /// Tries once. Call it from a task that lives on when the request does not, or the lock stays until its TTL.
    pub async fn acquire(&self, sale: SaleId, user: UserId) -> Attempt {
        let since = Instant::now();
        let attempt = self.attempt(sale, user).await;
        let outcome = match &attempt {
            Attempt::Held(_) => "held",
            Attempt::Contended => "contended",
            Attempt::NoMajority => "no_majority",
        };
        metrics::attempted(outcome, since.elapsed());
        attempt
    }

    async fn attempt(&self, sale: SaleId, user: UserId) -> Attempt {
        let view = self.0.nodes.view();
        let Some(manager) = view.manager.clone() else {
            return Attempt::NoMajority;
        };
        let (key, ttl) = (format!("lock:order:{sale}:{user}"), self.0.ttl);
        let mut locking = Box::pin(async move { manager.lock(key.as_str(), ttl).await });
        let Ok(locked) = timeout(ATTEMPT_WITHIN, &mut locking).await else {
            tokio::spawn(async move {
                if let Ok(late) = locking.await {
                    late.release().await;
                }
            });
            return Attempt::NoMajority;
        };
        match locked {
            Ok(lock) => Attempt::Held(Held(lock)),
            // rslock says the same of a lock that is held and of nodes that do not answer.
            Err(LockError::Unavailable) if self.0.nodes.majority_answers(&view).await => {
                Attempt::Contended
            }
            Err(_) => Attempt::NoMajority,
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for prober in &self.probers {
            prober.abort();
        }
    }
}
