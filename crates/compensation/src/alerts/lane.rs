//! One channel's work: what is due is claimed, sent and written down. Each channel has its lane, so that a slow or broken one
//! delays no other.

use super::{
    Channel, Delivered, Notice, Policy,
    backlog::Backlog,
    metrics::ALERTS_TOTAL,
    outbox::{self, Claimed},
};
use anyhow::Context as _;
use futures::future::join_all;
use metrics::counter;
use sqlx::MySqlPool;
use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

/// Requests under way at once to one receiver.
const AT_ONCE: u32 = 4;
/// A statement that is not answered by then is not waited for.
pub(super) const MYSQL_ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Tries to write down what came of a request: it may lose a deadlock to a courier that claims.
const RECORD_TRIES: u32 = 3;

/// What all lanes share.
pub(super) struct Desk {
    pub(super) db: MySqlPool,
    pub(super) backlog: Backlog,
    pub(super) policy: Policy,
    /// Whether MySQL takes alerts; while it does not the spool is sent from.
    pub(super) mysql_takes: AtomicBool,
}

/// See the module.
pub(super) struct Lane {
    name: String,
    channel: Arc<dyn Channel>,
    desk: Arc<Desk>,
    health: Mutex<Health>,
}

/// What the last tries say of the receiver.
#[derive(Default)]
struct Health {
    failures: u32,
    /// Nothing is sent before.
    rests_until: Option<Instant>,
}

impl Lane {
    pub(super) fn new(name: &str, channel: Arc<dyn Channel>, desk: Arc<Desk>) -> Self {
        Self {
            name: name.to_owned(),
            channel,
            desk,
            health: Mutex::default(),
        }
    }

    /// Sends all that is due, and stops when the receiver fails; how many were tried.
    pub(super) async fn turn(&self) -> anyhow::Result<usize> {
        let mut tried = 0;
        while let Some(limit) = self.room() {
            let outcomes = if self.desk.mysql_takes.load(Ordering::Relaxed) {
                self.send_from_outbox(limit).await?
            } else {
                self.send_from_spool(limit).await?
            };
            if outcomes.is_empty() {
                break;
            }
            tried += outcomes.len();
            self.note(&outcomes).await;
        }
        Ok(tried)
    }

    async fn send_from_outbox(&self, limit: u32) -> anyhow::Result<Vec<Delivered>> {
        let claiming = outbox::claim_due(&self.desk.db, &self.name, limit, self.desk.policy.lease);
        let claimed = answered(claiming)
            .await
            .context("no alerts can be claimed")?;
        let sends = claimed.iter().map(|it| async move {
            let what = self.send(&it.notice).await;
            if let Err(cause) = self.record(it, &what).await {
                warn!(alert.id = %it.notice.id(), channel = %self.name, "What became of an alert is not written down, it is tried again: {cause:#}");
            }
            what
        });
        Ok(join_all(sends).await)
    }

    async fn send_from_spool(&self, limit: u32) -> anyhow::Result<Vec<Delivered>> {
        let backlog = &self.desk.backlog;
        let due = backlog
            .take_due(&self.name, limit as usize, self.desk.policy.lease)
            .await?;
        let sends = due.iter().map(|it| async move {
            let what = self.send(&Notice::of(it.alert.clone())).await;
            let wait = self.wait(it.attempts + 1, &what);
            if let Err(cause) = backlog.record(it.alert.id, &self.name, &what, wait).await {
                warn!(alert.id = %it.alert.id, channel = %self.name, "{cause:#}");
            }
            what
        });
        Ok(join_all(sends).await)
    }

    async fn send(&self, notice: &Notice) -> Delivered {
        let what = self.channel.deliver(notice).await;
        counter!(ALERTS_TOTAL, "channel" => self.name.clone(), "outcome" => what.outcome())
            .increment(1);
        let (id, kind, channel) = (notice.id(), &notice.alert.kind, &self.name);
        match what.error() {
            None => {
                info!(alert.id = %id, channel = %channel, "Delivered {kind} alert {id} to {channel}");
            }
            Some(why) => {
                warn!(alert.id = %id, channel = %channel, "Alert {id} was not delivered to {channel}, it is tried again: {why}");
            }
        }
        what
    }

    async fn record(&self, it: &Claimed, what: &Delivered) -> anyhow::Result<()> {
        let Desk { db, policy, .. } = &*self.desk;
        let wait = self.wait(it.attempts + 1, what);
        let mut tries = 1;
        loop {
            let written = answered(async {
                match what.error() {
                    None => outbox::delivered(db, &self.name, it).await,
                    Some(error) => {
                        outbox::failed(db, &self.name, it, &error, wait, policy.give_up_after).await
                    }
                }
            });
            match written.await {
                Err(_) if tries < RECORD_TRIES => tries += 1,
                written => return written,
            }
        }
    }

    /// How many may be sent now; `None` while the receiver rests. One that failed is tried with one alert.
    fn room(&self) -> Option<u32> {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        match health.rests_until {
            Some(until) if until > Instant::now() => None,
            Some(_) => Some(1),
            None => Some(AT_ONCE),
        }
    }

    /// A receiver that took anything is well, unless it asked for fewer; one that took nothing rests.
    async fn note(&self, outcomes: &[Delivered]) {
        let trouble = outcomes
            .iter()
            .find(|what| matches!(what, Delivered::SlowDown(..) | Delivered::Broken(_)));
        let trouble = match trouble {
            None if outcomes.contains(&Delivered::Sent) => None,
            None => outcomes.last(),
            trouble => trouble,
        };
        let failures = self.rest(trouble);
        let Some(error) = trouble
            .and_then(Delivered::error)
            .filter(|_| self.desk.mysql_takes.load(Ordering::Relaxed))
        else {
            return;
        };
        let giving_up = outbox::give_up(
            &self.desk.db,
            &self.name,
            &error,
            self.desk.policy.give_up_after,
        );
        if let Err(cause) = answered(giving_up).await {
            warn!(channel = %self.name, failures, "Old alerts are not given up yet: {cause:#}");
        }
    }

    fn rest(&self, trouble: Option<&Delivered>) -> u32 {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        *health = match trouble {
            None => Health::default(),
            Some(trouble) => {
                let failures = health.failures.saturating_add(1);
                Health {
                    failures,
                    rests_until: Some(Instant::now() + self.wait(failures, trouble)),
                }
            }
        };
        health.failures
    }

    fn wait(&self, failures: u32, what: &Delivered) -> Duration {
        self.desk.policy.wait(failures, what, rand::random())
    }
}

/// What MySQL says, or that it says nothing.
pub(super) async fn answered<T>(
    asking: impl Future<Output = sqlx::Result<T>>,
) -> anyhow::Result<T> {
    Ok(timeout(MYSQL_ANSWERS_WITHIN, asking)
        .await
        .context("MySQL does not answer")??)
}
