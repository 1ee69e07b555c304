//! Which lock nodes answer, found out all the time on connections of their own, so that no buyer finds it out by waiting.
//!
//! rslock waits for every node it is given, 500 ms for one that hangs. So it is given the healthy ones only, by a manager that is
//! made anew whenever their set changes. Two of three are a majority of the three, so a lock taken before the change and one
//! taken after it still exclude each other. A node that was restarted has forgotten its locks: it stays out until they would have
//! expired anyway.

use redis::{AsyncConnectionConfig, Client, InfoDict, aio::MultiplexedConnection};
use rslock::LockManager;
use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

/// Between two probes of a node.
const EVERY: Duration = Duration::from_millis(100);
/// What a probe may take.
const PROBE_WITHIN: Duration = Duration::from_millis(50);
/// What a first connection may take.
const CONNECT_WITHIN: Duration = Duration::from_millis(200);
/// Probes missed in a row before a node is left out: one alone may be this process's own hiccup.
const MISSES: u32 = 2;

/// The nodes as configured, and what is known of them.
pub(super) struct Nodes {
    clients: Vec<Client>,
    /// How long a forgotten lock might have been held.
    ttl: Duration,
    healthy: Mutex<Vec<Option<MultiplexedConnection>>>,
    view: RwLock<Arc<View>>,
}

/// The nodes that answer, at one instant.
#[derive(Default)]
pub(super) struct View {
    /// Over the healthy nodes; none while they are no majority of those configured.
    pub manager: Option<LockManager>,
    probes: Vec<MultiplexedConnection>,
}

impl View {
    pub const fn answering(&self) -> usize {
        self.probes.len()
    }
}

impl Nodes {
    pub fn new(clients: Vec<Client>, ttl: Duration) -> Self {
        let healthy = Mutex::new(clients.iter().map(|_| None).collect());
        Self {
            clients,
            ttl,
            healthy,
            view: RwLock::default(),
        }
    }

    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many of those configured are a majority.
    pub const fn majority(&self) -> usize {
        self.clients.len() / 2 + 1
    }

    pub const fn count(&self) -> usize {
        self.clients.len()
    }

    /// Asks the nodes of `view` whether they are there right now: what tells a lock held by another from nodes that just died.
    pub async fn majority_answers(&self, view: &View) -> bool {
        let pings = view.probes.iter().map(|probe| async {
            let mut probe = probe.clone();
            ping(&mut probe).await
        });
        futures::future::join_all(pings)
            .await
            .into_iter()
            .filter(|answers| *answers)
            .count()
            >= self.majority()
    }

    /// Probes the node at `index` for ever.
    pub async fn probe(&self, index: usize) {
        let mut known_run = None;
        loop {
            if let Some((mut connection, run)) = connect(&self.clients[index]).await {
                let forgot = known_run.as_ref().is_some_and(|known| *known != run);
                known_run = Some(run);
                self.while_it_answers(index, &mut connection, forgot).await;
            }
            sleep(EVERY).await;
        }
    }

    async fn while_it_answers(
        &self,
        index: usize,
        connection: &mut MultiplexedConnection,
        forgot: bool,
    ) {
        let since = Instant::now();
        let (mut misses, mut is_in) = (0, false);
        while misses < MISSES {
            if ping(connection).await {
                misses = 0;
                if !is_in && (!forgot || since.elapsed() >= self.ttl) {
                    is_in = true;
                    self.set(index, Some(connection.clone()));
                }
            } else {
                misses += 1;
            }
            if misses < MISSES {
                sleep(EVERY).await;
            }
        }
        self.set(index, None);
    }

    fn set(&self, index: usize, connection: Option<MultiplexedConnection>) {
        let mut healthy = self.healthy.lock().unwrap_or_else(PoisonError::into_inner);
        let was_in = healthy[index].is_some();
        healthy[index] = connection;
        let is_in = healthy[index].is_some();
        let clients: Vec<_> = self
            .clients
            .iter()
            .zip(healthy.iter())
            .filter(|(_, up)| up.is_some())
            .collect();
        let manager = (clients.len() >= self.majority()).then(|| {
            let mut manager = LockManager::from_clients(
                clients
                    .iter()
                    .map(|(client, _)| (*client).clone())
                    .collect(),
            );
            // One attempt: a loser must not sleep.
            manager.set_retry(1, Duration::from_millis(1));
            manager
        });
        let up = clients.len();
        let probes = healthy.iter().flatten().cloned().collect();
        *self.view.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(View { manager, probes });
        let of = self.clients.len();
        let node = self.clients[index].get_connection_info().addr().to_string();
        match (was_in, is_in) {
            (false, true) => info!(node, "Lock node {node} answers; {up} of {of} are in use"),
            (true, false) => warn!(
                node,
                "Lock node {node} does not answer and is left out; {up} of {of} are in use"
            ),
            _ => {}
        }
    }
}

async fn ping(connection: &mut MultiplexedConnection) -> bool {
    let ping = redis::cmd("PING");
    matches!(
        timeout(PROBE_WITHIN, ping.query_async::<String>(connection)).await,
        Ok(Ok(_))
    )
}

/// A connection, and which run of the server is at its end.
async fn connect(client: &Client) -> Option<(MultiplexedConnection, String)> {
    let deadline = Instant::now() + CONNECT_WITHIN;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_WITHIN))
        .set_response_timeout(Some(CONNECT_WITHIN));
    let mut connection = timeout_at(
        deadline,
        client.get_multiplexed_async_connection_with_config(&config),
    )
    .await
    .ok()?
    .ok()?;
    let mut ask = redis::cmd("INFO");
    ask.arg("server");
    let info: InfoDict = timeout_at(deadline, ask.query_async(&mut connection))
        .await
        .ok()?
        .ok()?;
    Some((connection, info.get("run_id")?))
}
