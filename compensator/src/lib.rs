//! Puts right what failed and what nobody is working on: tries orders again, gives them up, puts them back for operators, tells
//! people; and looks at what is stuck, fenced or different at its own pace, and drives it on.
//!
//! Each scan is also a command, see [`command`].
//!
//! Everything here is safe while another process does the same: leases and claims keep them apart, and what must not be done twice
//! is guarded where it is done.

pub mod archive_watch;
pub mod command;
pub mod comparison;
pub mod completed;
pub mod fence_watch;
pub mod findings;
pub mod grouping;
pub mod log_file;
pub mod metrics;
pub mod overdue;
pub mod repair;
pub mod retention;
pub mod schedule;
pub mod servers;
pub mod unfinished;
pub mod unpaid;
pub mod watcher;
pub mod weekly;

use anyhow::Context as _;
use archive_watch::ArchiveWatch;
use comparison::{Comparison, OnDrift};
use compensation::{
    archive::{Counting, Expiry, Store},
    log::LogFile,
    report::TriesKept,
    retention::Keep,
    watch::Bounds,
};
use completed::Completed;
use coordinator::{Pace, RetryPolicy};
use fence_watch::{FenceWatch, Opened};
use grouping::Grouping;
use log_file::LogInBoth;
use ordering::{
    engine::{OrderEngine, Recovery},
    leases::Leases,
    reconcile::Reconciler,
    stock::Stock,
    unpaid::Unpaid,
};
use overdue::{Orders, Overdue};
use repair::Figures;
use retention::OldRecords;
use schedule::Schedule;
use servers::Servers;
use service_kit::settings::{Settings, Transaction};
use sqlx::MySqlPool;
use std::time::Duration;
use unfinished::Unfinished;
use unpaid::UnpaidOrders;
use watcher::Watch;
use weekly::WeeklyReport;

/// What this process is called in logs, and among the processes that run.
pub const NAME: &str = "compensator";

/// How often the figures of what is open are read.
const FIGURES: Duration = Duration::from_secs(5);
/// How often the file of tries is brought up to the table.
const LOGGED: Duration = Duration::from_secs(1);
/// How often key figures are judged.
const WATCHED: Duration = Duration::from_secs(5);
/// How often records that are too old are looked for.
const OLD_RECORDS: Duration = Duration::from_mins(1);
/// How often archived transactions are looked at: whether they finished.
const COMPLETED: Duration = Duration::from_secs(2);
/// How often archived rows that changed are counted in their groups.
const GROUPING: Duration = Duration::from_secs(1);
/// How often a week is looked for that is over and has no report.
const WEEKLY: Duration = Duration::from_mins(5);

/// All scans of one process, not running yet.
pub struct Scans {
    /// Rebuilds what Redis lost.
    pub fence_watch: FenceWatch,
    /// Publishes again what may never have been published.
    pub overdue: Overdue,
    /// Completes what was decided.
    pub unfinished: Unfinished,
    /// Closes the dead letters of what was stuck and is completed.
    pub completed: Completed,
    /// Forgets what was finished long ago.
    pub old_records: OldRecords,
    /// Counts what is archived, by its cause.
    pub grouping: Grouping,
    /// Tells what differs.
    pub comparison: Comparison,
    /// Tells how much is open.
    pub figures: Figures,
    /// Keeps the file of tries as whole as the table.
    pub log: LogInBoth,
    /// Has people told when the archive does not answer.
    pub archive: ArchiveWatch,
    /// Has people told when a figure is not as it should be.
    pub watch: Watch,
    /// Cancels what nobody paid for.
    pub unpaid: UnpaidOrders,
    /// Tells how a week was.
    pub weekly: WeeklyReport,
}

impl Scans {
    /// The scans of a new process: it holds its leases in its own name.
    ///
    /// # Errors
    /// When the stock node's url is malformed.
    pub fn new(settings: &Settings, servers: &Servers) -> anyhow::Result<Self> {
        let Servers {
            db,
            redis,
            producer,
            foreign,
            archive,
            spool,
        } = servers.clone();
        let held_max = settings.admission.held_max;
        let leases = Leases::new(db.clone(), &settings.transaction.lock_prefix);
        let stock = Stock::new(redis.clone());
        let url = settings
            .redis
            .stock
            .urls
            .first()
            .context("redis.stock.urls is empty")?;
        let client = ::redis::Client::open(url.as_str())
            .with_context(|| format!("{url:?} is not a Redis url"))?;
        let orders = Orders {
            brokers: settings.kafka.brokers.clone(),
            topic: settings.kafka.orders_topic.clone(),
            group: settings.order_consumer.group.clone(),
        };
        Ok(Self {
            fence_watch: FenceWatch::new(
                db.clone(),
                redis.clone(),
                client,
                held_max,
                leases.clone(),
            ),
            overdue: Overdue::new(db.clone(), stock.clone(), orders, producer, leases.clone()),
            unfinished: Unfinished::new(
                Recovery::new(
                    db.clone(),
                    stock.clone(),
                    &foreign,
                    pace(&settings.transaction),
                ),
                leases.clone(),
            ),
            old_records: old_records(settings, &db, &archive, &leases),
            completed: Completed::new(db.clone()),
            grouping: Grouping::new(Counting::new(db.clone())),
            figures: Figures::new(db.clone()),
            log: LogInBoth::new(
                LogFile::new(db.clone(), &settings.compensation),
                db.clone(),
                spool.clone(),
            ),
            archive: ArchiveWatch::new(archive, db.clone(), spool),
            watch: Watch::new(db.clone(), Bounds::from(&settings.watch)),
            unpaid: UnpaidOrders::new(unpaid(settings, &db, &stock, foreign), leases.clone()),
            weekly: weekly(settings, &db, &leases),
            comparison: Comparison::new(
                Reconciler::new(db.clone(), redis.clone(), stock, held_max),
                leases,
                comparison::Repair {
                    db,
                    redis,
                    on_drift: if settings.scans.repair_drift {
                        OnDrift::Fence
                    } else {
                        OnDrift::Tell
                    },
                },
            ),
        })
    }

    /// Tells when the stock node was seen open.
    #[must_use]
    pub fn opened(&self) -> Opened {
        self.fence_watch.opened()
    }

    /// Runs them all, each at its pace.
    ///
    /// # Errors
    /// When the scheduler does not start.
    pub async fn start(self, pace: &service_kit::settings::Scans) -> anyhow::Result<Schedule> {
        let schedule = Schedule::start().await?;
        schedule
            .every(Duration::from_secs(pace.fence_watch_s), self.fence_watch)
            .await?;
        schedule
            .every(
                Duration::from_secs(pace.unfinished_transactions_s),
                self.unfinished,
            )
            .await?;
        schedule
            .every(
                Duration::from_secs(pace.overdue_reservations_s),
                self.overdue,
            )
            .await?;
        schedule
            .every(Duration::from_secs(pace.compare_s), self.comparison)
            .await?;
        schedule.every(OLD_RECORDS, self.old_records).await?;
        schedule.every(COMPLETED, self.completed).await?;
        schedule.every(GROUPING, self.grouping).await?;
        schedule.every(FIGURES, self.figures).await?;
        schedule.every(LOGGED, self.log).await?;
        schedule.every(WATCHED, self.watch).await?;
        schedule.every(WEEKLY, self.weekly).await?;
        if self.unpaid.is_on() {
            schedule
                .every(Duration::from_secs(pace.unpaid_orders_s), self.unpaid)
                .await?;
        }
        schedule.every(WATCHED, self.archive).await?;
        Ok(schedule)
    }
}

/// Who takes back what nobody paid for; nobody, where orders may stay unpaid.
fn unpaid(
    settings: &Settings,
    db: &MySqlPool,
    stock: &Stock,
    foreign: ordering::foreign::Foreign,
) -> Option<Unpaid> {
    let after = Duration::from_secs(settings.scans.unpaid_after_s);
    (!after.is_zero()).then(|| {
        let engine = OrderEngine::of_process(settings, stock.clone(), foreign);
        Unpaid::new(db.clone(), engine, after)
    })
}

fn old_records(
    settings: &Settings,
    db: &MySqlPool,
    archive: &Store,
    leases: &Leases,
) -> OldRecords {
    OldRecords::new(
        coordinator::Retention::new(db.clone(), kept(&settings.transaction)),
        compensation::retention::Retention::new(db.clone(), kept_work(&settings.retention)),
        Expiry::of_settings(db.clone(), archive.clone(), &settings.dlq.archive_keep_d),
        leases.clone(),
    )
}

fn weekly(settings: &Settings, db: &MySqlPool, leases: &Leases) -> WeeklyReport {
    let kept = if settings.compensation.log_storage.in_db() {
        TriesKept::InTable
    } else {
        TriesKept::Elsewhere
    };
    WeeklyReport::new(db.clone(), leases.clone(), kept)
}

const fn kept_work(settings: &service_kit::settings::Retention) -> Keep {
    Keep {
        settled_work: days(settings.settled_work_d),
        log: days(settings.compensation_logs_d),
        alerts: days(settings.alerts_d),
    }
}

const fn days(days: u64) -> Duration {
    Duration::from_hours(24 * days)
}

const fn kept(settings: &Transaction) -> Duration {
    Duration::from_hours(settings.keep_finished_h)
}

fn pace(settings: &Transaction) -> Pace {
    let policy = &settings.retry_policy;
    Pace {
        retry: RetryPolicy {
            max_attempts: policy.max_attempts,
            first_wait: Duration::from_millis(policy.first_wait_ms),
            backoff_factor: policy.backoff_factor,
            max_wait: Duration::from_secs(policy.max_wait_s),
            jitter: policy.jitter,
        },
        ..Pace::default()
    }
}
