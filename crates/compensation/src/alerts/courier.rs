//! Brings alerts to their receivers: a lane for each channel, and a watch on MySQL. Any number of processes may run one.

use super::{
    Channels, Policy, Spool,
    backlog::Backlog,
    lane::{Desk, Lane},
    watch::Watch,
};
use futures::future::join_all;
use sqlx::MySqlPool;
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};
use tokio::{sync::Mutex, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// After work that could not be done.
const PAUSE_AFTER_TROUBLE: Duration = Duration::from_secs(1);

/// See the module.
pub struct Courier {
    lanes: Vec<Lane>,
    watch: Mutex<Watch>,
    idle: Duration,
}

impl Courier {
    /// A courier with the waits of production. `worker` names this process to people.
    #[must_use]
    pub fn new(db: MySqlPool, channels: &Channels, spool: Spool, worker: &str) -> Self {
        Self::with_policy(db, channels, spool, worker, Policy::default())
    }

    /// The same with waits of one's own.
    #[must_use]
    pub fn with_policy(
        db: MySqlPool,
        channels: &Channels,
        spool: Spool,
        worker: &str,
        policy: Policy,
    ) -> Self {
        let idle = policy.idle;
        let desk = Arc::new(Desk {
            db,
            backlog: Backlog::new(spool),
            policy,
            mysql_takes: AtomicBool::new(true),
        });
        let lanes = channels
            .each()
            .map(|(name, channel)| Lane::new(name, Arc::clone(channel), Arc::clone(&desk)));
        Self {
            lanes: lanes.collect(),
            watch: Mutex::new(Watch::new(
                desk,
                channels.names().to_vec(),
                worker.to_owned(),
            )),
            idle,
        }
    }

    /// Looks at MySQL once and tries everything that is due; how many were tried, delivered or not. It ends when the slowest
    /// channel has answered.
    ///
    /// # Errors
    /// What kept alerts from being claimed; the other channels were served all the same.
    pub async fn run_once(&self) -> anyhow::Result<usize> {
        let looked = self.watch.lock().await.look().await;
        let turns = join_all(self.lanes.iter().map(Lane::turn)).await;
        looked?;
        turns.into_iter().sum()
    }

    /// Lets another process have the spool: this one delivers nothing for now.
    pub async fn release(&self) {
        self.watch.lock().await.release().await;
    }

    /// Delivers until `stop` fires; requests under way are finished first.
    pub async fn run(self, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        for lane in self.lanes {
            let stop = stop.clone();
            tasks.spawn(async move {
                while !stop.is_cancelled() {
                    let turn = lane.turn().await;
                    pause(turn.map(drop), self.idle, &stop).await;
                }
            });
        }
        tasks.spawn(async move {
            let mut watch = self.watch.into_inner();
            while !stop.is_cancelled() {
                let looked = watch.look().await;
                pause(looked, self.idle, &stop).await;
            }
        });
        tasks.join_all().await;
    }
}

async fn pause(after: anyhow::Result<()>, idle: Duration, stop: &CancellationToken) {
    let pause = match after {
        Ok(()) => idle,
        Err(cause) => {
            warn!("Alerts wait: {cause:#}");
            PAUSE_AFTER_TROUBLE
        }
    };
    stop.run_until_cancelled(sleep(pause)).await;
}
