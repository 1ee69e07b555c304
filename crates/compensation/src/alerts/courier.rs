//! Brings alerts to their receivers: a lane for each channel, and a watch on MySQL. Any number of processes may run one.

use super::{
    Channel, Channels, Policy, Spool,
    backlog::Backlog,
    lane::{Desk, Lane},
    watch::Watch,
};
use anyhow::anyhow;
use futures::{FutureExt as _, future::join_all};
use sqlx::MySqlPool;
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};
use tokio::{sync::Mutex, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// After work that could not be done.
const PAUSE_AFTER_TROUBLE: Duration = Duration::from_secs(1);

/// See the module. Cloning shares it.
#[derive(Clone)]
pub struct Courier {
    lanes: Vec<Arc<Lane>>,
    watch: Arc<Mutex<Watch>>,
    idle: Duration,
    leads_nowhere: bool,
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
        let desk = Arc::new(Desk {
            db,
            backlog: Backlog::new(spool),
            policy,
            pages: channels.pages().map(str::to_owned),
            mysql_takes: AtomicBool::new(true),
            mysql_knows: AtomicBool::new(true),
        });
        Self::at(desk, channels.each(), worker)
    }

    fn at<'a>(
        desk: Arc<Desk>,
        channels: impl Iterator<Item = (&'a str, &'a Arc<dyn Channel>)>,
        worker: &str,
    ) -> Self {
        let (mut names, mut lanes) = (Vec::new(), Vec::new());
        for (name, channel) in channels {
            names.push(name.to_owned());
            let lane = Lane::new(name, Arc::clone(channel), Arc::clone(&desk));
            lanes.push(Arc::new(lane));
        }
        Self {
            leads_nowhere: !lanes.is_empty() && desk.pages.is_none(),
            idle: desk.policy.idle,
            watch: Arc::new(Mutex::new(Watch::new(desk, names, worker.to_owned()))),
            lanes,
        }
    }

    /// Looks at MySQL once and tries everything that is due; how many were tried, delivered or not. It ends when the slowest
    /// channel has answered.
    ///
    /// # Errors
    /// What kept alerts from being claimed; the other channels were served all the same.
    pub async fn run_once(&self) -> anyhow::Result<usize> {
        let looked = self.look().await;
        let turns = join_all(self.lanes.iter().map(|lane| lane.turn())).await;
        looked?;
        turns.into_iter().sum()
    }

    /// Moves what waits in the spool into the outbox, where MySQL takes it, and lets another process have the spool: this one delivers
    /// nothing for now.
    pub async fn hand_over(&self) {
        self.watch.lock().await.hand_over().await;
    }

    /// Delivers until `stop` fires; requests under way are finished first, and the spool is handed over.
    pub async fn run(self, stop: CancellationToken) {
        if self.leads_nowhere {
            warn!(
                "alerts.pages is not set: alerts are sent, and no link in them leads to the admin"
            );
        }
        let mut tasks = JoinSet::new();
        for lane in self.lanes.iter().map(Arc::clone) {
            let (stop, idle) = (stop.clone(), self.idle);
            tasks.spawn(async move {
                while !stop.is_cancelled() {
                    let turn = lane.turn().await;
                    pause(turn.map(drop), idle, &stop).await;
                }
            });
        }
        let watching = self.clone();
        tasks.spawn(async move {
            while !stop.is_cancelled() {
                let looked = watching.look().await;
                pause(looked, watching.idle, &stop).await;
            }
        });
        tasks.join_all().await;
        self.hand_over().await;
    }

    /// A panic is an error like others: nobody would look at MySQL afterwards.
    async fn look(&self) -> anyhow::Result<()> {
        let mut watch = self.watch.lock().await;
        let looked = AssertUnwindSafe(watch.look()).catch_unwind().await;
        looked.unwrap_or_else(|_| Err(anyhow!("the look at MySQL panicked: see above")))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::{
        Alert, Severity,
        lane::tests::{Told, desk},
    };
    use std::sync::atomic::Ordering;

    /// Breaks when a panic ends its task: the lane is gone then, and says nothing.
    #[tokio::test]
    async fn a_channel_that_panics_stops_no_other_and_goes_on_itself() {
        let folder = tempfile::tempdir().unwrap();
        let desk = desk(folder.path());
        let (bad, good) = (Arc::new(Told::default()), Arc::new(Told::default()));
        bad.panics.store(true, Ordering::Relaxed);
        let channels: [(&str, Arc<dyn Channel>); 2] =
            [("bad", bad.clone()), ("good", good.clone())];
        let each = channels.iter().map(|(name, channel)| (*name, channel));
        let stop = CancellationToken::new();
        let courier = Courier::at(desk.clone(), each, "test");
        let running = tokio::spawn(courier.run(stop.clone()));
        let told = |of: &Told| of.notices.lock().unwrap().len();
        let alert = |subject| Alert::new("system", Severity::Urgent, subject, "Something");
        let spool = desk.backlog.spool();
        spool.put(&alert("one")).await.unwrap();
        let soon = Duration::from_secs(20);
        testkit::eventually("both were told", soon, || async {
            (told(&bad) >= 1 && told(&good) == 1).then_some(())
        })
        .await;
        bad.panics.store(false, Ordering::Relaxed);
        spool.put(&alert("two")).await.unwrap();
        testkit::eventually("both go on", soon, || async {
            (told(&bad) >= 3 && told(&good) == 2).then_some(())
        })
        .await;
        stop.cancel();
        running.await.unwrap();
    }
}
