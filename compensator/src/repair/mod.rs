//! What failed: taken in from Kafka, tried again, made a dead letter, given up, put back by operators, and told of.
//!
//! MySQL is the authority on what is open and when it is tried; any number of processes may work on it at once. Every step may die
//! anywhere: what it claimed comes back, and what it did before is found done.

mod archive_lane;
mod audited;
mod dead_letters;
mod discards;
mod figures;
mod intake;
mod live_traffic;
mod open_work;
mod operations;
mod orders;
mod pace;
mod policy_watch;
mod reconciles;
mod replays;
mod retry_lane;
mod settling;
mod standstill;
mod step;
mod stuck;
mod telling;
mod trouble;
mod undecided;
mod work_in;
mod worker;

pub use archive_lane::ArchiveLane;
pub use figures::Figures;
pub use intake::Intake;
pub use live_traffic::LiveTraffic;
pub use open_work::OpenCompensations;
pub use operations::Operations;
pub use policy_watch::PolicyWatch;
pub use replays::Replays;
pub use retry_lane::RetryLane;
pub use step::{Observer, Step};
pub use stuck::StuckTransactions;
pub use undecided::Undecided;

use crate::servers::Servers;
use anyhow::Context as _;
use compensation::{
    alerts::{Channels, Courier, Folder},
    archive::Store,
    log::AttemptLog,
    policy::{Live, Policy, Terms},
};
use ordering::{
    engine::{OrderEngine, Recovery},
    faults::Faults,
    stock::Stock,
};
use orders::Orders;
use pace::Pace;
use redis::aio::ConnectionManager;
use service_kit::{kafka::Producer, settings::Settings};
use sqlx::MySqlPool;
use std::{sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;
use uuid::Uuid;
use worker::{EVERY_SECOND, NOW_AND_THEN, SOON, Worker};

/// How long completions that are under way may keep a stop waiting; recovery does what is left.
const COMPLETE_WITHIN: Duration = Duration::from_secs(5);

/// What every lane needs. Cloning shares it.
#[derive(Clone)]
pub struct Tools(Arc<Parts>);

/// What [`Tools`] shares.
pub struct Parts {
    db: MySqlPool,
    stock: Stock,
    /// The stock node itself, for the fence.
    redis: ConnectionManager,
    producer: Producer,
    orders: Orders,
    policy: Live,
    pace: Pace,
    log: AttemptLog,
    store: Store,
    dlq_topic: String,
    hold_stock: bool,
    /// This process, for people.
    worker: String,
    observer: Option<Observer>,
}

impl std::ops::Deref for Tools {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// All of it, not running yet.
pub struct Repair {
    /// Takes in what was handed on.
    pub intake: Intake,
    /// Follows the policy.
    pub policy_watch: PolicyWatch,
    /// Knows how much is decided.
    pub live_traffic: LiveTraffic,
    /// Tries it again.
    pub retry_lane: RetryLane,
    /// Gives it up.
    pub archive_lane: ArchiveLane,
    /// Moves on what was asked for on many.
    pub operations: Operations,
    /// Puts it back, or away for good.
    pub replays: Replays,
    /// Has orders tried again that nobody decides.
    pub undecided: Undecided,
    /// Archives transactions that are stuck.
    pub stuck: StuckTransactions,
    /// Makes incidents of alerts.
    pub folder: Folder,
    /// Tells people.
    pub courier: Courier,
    engine: OrderEngine,
}

impl Repair {
    /// The lanes of a new process.
    ///
    /// # Errors
    /// When a setting makes no client, or a folder for logs cannot be made.
    pub fn new(settings: &Settings, servers: &Servers) -> anyhow::Result<Self> {
        Self::observed_by(None, settings, servers)
    }

    /// The same, telling `observer` of each step.
    ///
    /// # Errors
    /// As [`Repair::new`].
    pub fn observed_by(
        observer: Option<Observer>,
        settings: &Settings,
        servers: &Servers,
    ) -> anyhow::Result<Self> {
        let Servers {
            db,
            redis,
            producer,
            foreign,
            archive,
            spool,
        } = servers.clone();
        let stock = Stock::new(redis.clone());
        let engine = OrderEngine::of_process(settings, stock.clone(), foreign.clone());
        let channels = Channels::from_settings(settings)?;
        let worker = format!("compensator-{}", &Uuid::new_v4().simple().to_string()[..8]);
        let tools = Tools(Arc::new(Parts {
            orders: Orders::new(engine.clone(), Faults::parse(&settings.faults)?),
            policy: Live::new(
                db.clone(),
                Policy::try_from(Terms::of_settings(settings))
                    .context("the retry policy (compensation, dlq) cannot rule")?,
            ),
            pace: Pace::default(),
            log: AttemptLog::new(&settings.compensation)
                .context("compensation.log_file cannot be written")?,
            store: archive,
            dlq_topic: settings.compensation.dlq_topic.clone(),
            hold_stock: settings.dlq.hold_stock,
            worker: worker.clone(),
            observer,
            db: db.clone(),
            stock,
            redis,
            producer,
        }));
        let pace = crate::pace(&settings.transaction);
        let recovery = Recovery::new(db.clone(), tools.stock.clone(), &foreign, pace);
        let timeout = Duration::from_secs(settings.transaction.timeout_s);
        Ok(Self {
            intake: Intake::new(settings, tools.clone())?,
            policy_watch: PolicyWatch::new(tools.clone()),
            live_traffic: LiveTraffic::new(settings, tools.clone()),
            retry_lane: RetryLane::new(tools.clone()),
            archive_lane: ArchiveLane::new(tools.clone()),
            operations: Operations::new(tools.clone()),
            replays: Replays::new(tools.clone()),
            undecided: Undecided::new(tools.clone(), recovery, timeout),
            stuck: StuckTransactions::new(tools),
            folder: Folder::new(db.clone(), &settings.alerts, &channels),
            courier: Courier::new(db, &channels, spool, &worker),
            engine,
        })
    }

    /// Runs all of it until `stop`; what is in hand is finished first.
    pub async fn run(self, stop: CancellationToken) {
        // Nothing is tried by the settings file's policy where the table has another one.
        self.policy_watch.first(&stop).await;
        let lanes = TaskTracker::new();
        lanes.spawn(self.intake.run(stop.clone()));
        let lane = |lane, rest| Worker {
            lane,
            rest,
            stop: stop.clone(),
        };
        lanes.spawn(
            lane("policy", EVERY_SECOND).run(async move || self.policy_watch.run_batch().await),
        );
        lanes.spawn(
            lane("live traffic", EVERY_SECOND)
                .run(async move || self.live_traffic.run_batch().await),
        );
        lanes.spawn(lane("retries", SOON).run(async move || self.retry_lane.run_batch().await));
        lanes.spawn(lane("archive", SOON).run(async move || self.archive_lane.run_batch().await));
        lanes.spawn(lane("operations", SOON).run(async move || self.operations.run_batch().await));
        lanes.spawn(lane("replays", SOON).run(async move || self.replays.run_batch().await));
        lanes.spawn(
            lane("undecided", NOW_AND_THEN).run(async move || self.undecided.run_batch().await),
        );
        lanes.spawn(lane("stuck", NOW_AND_THEN).run(async move || self.stuck.run_batch().await));
        lanes.spawn(self.folder.run(stop.clone()));
        lanes.spawn(self.courier.run(stop));
        lanes.close();
        lanes.wait().await;
        let drained = tokio::time::timeout(COMPLETE_WITHIN, self.engine.drain()).await;
        if drained.is_err() {
            warn!("Completions under way are left to recovery");
        }
    }
}
