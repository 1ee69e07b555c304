//! All parts, each asked for by itself. A million rows make none of them slow: counts stop at [`COUNTED_AT_MOST`] entries of an index
//! (`compensations_by_due`, `transactions_by_due`), sums are kept by group (`groups_by_open`), the rest is small.

use super::Hours;
use crate::{App, hiding::Hide as _};
use chrono::{DateTime, Utc};
use compensation::{
    alerts::{incidents, outbox},
    archive::{
        groups::{self, Paging, Shown, Sort},
        listing::COUNTED_AT_MOST,
    },
    personal::Sight,
    queue,
    report::{self, Hour},
    watch,
};
use coordinator::TxState;
use ordering::{SaleId, drift, stock::StockError};
use serde::Serialize;
use service_kit::heartbeat;
use std::{collections::BTreeMap, future::Future, time::Duration};
use tokio::time::timeout;
use tracing::error;
use uuid::Uuid;

/// How long a part may take.
const WITHIN: Duration = Duration::from_secs(2);
/// How long Redis may.
const REDIS_WITHIN: Duration = Duration::from_millis(300);
/// Groups that are named.
const CAUSES: u32 = 5;
/// A process that signed later than this ago does not run.
const SILENT: Duration = Duration::from_secs(30);
/// Processes that are named even where none ever signed.
const EXPECTED: [&str; 3] = ["compensator", "order-consumer", "seckill-api"];

/// Why nothing is known of Redis where none is named.
pub(super) const NO_NODE: &str = "no node is configured here";

/// What is known of one part.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part<T> {
    Known(T),
    /// Why not.
    Unknown(&'static str),
}

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Survey {
    /// When it was asked for.
    pub at: DateTime<Utc>,
    /// Work that failed and is tried again, by state.
    pub waiting: Part<Vec<Waiting>>,
    /// Transactions that are not finished, by state.
    pub transactions: Part<Vec<Unfinished>>,
    pub archive: Part<Archive>,
    pub drift: Part<Drift>,
    /// The node where stock is counted: `answers` or `being_rebuilt`.
    pub stock_node: Part<&'static str>,
    pub alerts: Part<Alerts>,
    pub processes: Part<Vec<Process>>,
    /// Key figures that are beyond their bounds.
    pub troubles: Part<Vec<Trouble>>,
    /// The last week there is a report of.
    pub week: Part<Option<Week>>,
    /// The last 72 hours, the oldest first.
    pub hours: Part<Vec<InHour>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Waiting {
    pub state: &'static str,
    /// Exact up to 10,000; 10,001 says that there are more.
    pub count: u64,
    /// Since when the first of them could be worked on.
    pub due_for_s: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Unfinished {
    pub state: String,
    /// Exact up to 10,000; 10,001 says that there are more.
    pub count: u64,
    pub oldest_s: u64,
    /// Those older than a minute.
    pub late: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Archive {
    /// Rows that are not handled, as their groups have counted them.
    pub open: u64,
    /// Rows that changed and are not counted yet, 1,000 at most.
    pub uncounted: u32,
    /// The groups with the most open rows.
    pub causes: Vec<Cause>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Cause {
    pub fingerprint: String,
    pub step: String,
    pub pattern: String,
    pub open: u64,
    pub last_seen_at: DateTime<Utc>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Drift {
    /// Sales of which Redis was found to say something else than MySQL.
    pub sales: u64,
    pub oldest_s: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Alerts {
    /// Incidents that stand.
    pub incidents: u64,
    pub pending: u64,
    pub undelivered: u64,
    /// Channels on which nothing goes out now.
    pub channels: Vec<Channel>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Channel {
    pub name: String,
    pub is_off: bool,
    pub last_delivered_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Process {
    pub name: String,
    /// How many signed within the last 30 s.
    pub running: usize,
    /// Since when none has; null where none did within a day.
    pub silent_s: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Trouble {
    pub figure: String,
    pub said: String,
    pub since: DateTime<Utc>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Week {
    /// `2026-W47`.
    #[serde(rename = "week")]
    pub name: String,
    /// Tries that were made; null where the table of tries is not kept.
    pub tries: Option<u64>,
    /// Those that settled their work, in hundredths of a percent.
    pub success: Option<u64>,
    pub archived: u64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct InHour {
    pub at: DateTime<Utc>,
    /// Whether it is counted; what follows is 0 otherwise.
    pub counted: bool,
    /// Tries; null where the table of tries is not kept.
    pub tries: Option<u64>,
    pub settled: Option<u64>,
    pub archived: u64,
}

impl Survey {
    /// Asks for all of it, for somebody who sees so much.
    pub async fn make(app: &App, sight: Sight) -> Self {
        let db = &app.db;
        let at_most = u32::try_from(COUNTED_AT_MOST + 1).unwrap_or(u32::MAX);
        let (
            waiting,
            transactions,
            archive,
            drift,
            stock_node,
            alerts,
            processes,
            troubles,
            week,
            hours,
        ) = tokio::join!(
            part("what waits", queue::waiting(db, at_most)),
            part("transactions", coordinator::backlog_within(db, at_most)),
            part("the archive", archive(app, sight)),
            part("drift", drift::standing(db)),
            stock_node(app),
            part("alerts", alerts(app)),
            part("processes", heartbeat::processes(db)),
            part("key figures", watch::store::troubles(db)),
            part("the weekly report", report::latest(db)),
            part("the last hours", Hours::look(app)),
        );
        Self {
            at: Utc::now(),
            waiting: waiting.map(|rows| rows.into_iter().map(Waiting::from).collect()),
            transactions: transactions.map(|rows| rows.into_iter().map(Unfinished::from).collect()),
            archive,
            drift: drift.map(|(sales, oldest_s)| Drift { sales, oldest_s }),
            stock_node,
            alerts,
            processes: processes.map(of_processes),
            troubles: troubles
                .map(|rows| rows.hidden(sight).into_iter().map(Trouble::from).collect()),
            week: week.map(|stored| stored.map(Week::from)),
            hours: hours.map(|hours| hours.into_iter().map(InHour::from).collect()),
        }
    }
}

impl<T> Part<T> {
    pub fn map<U>(self, to: impl FnOnce(T) -> U) -> Part<U> {
        match self {
            Self::Known(known) => Part::Known(to(known)),
            Self::Unknown(why) => Part::Unknown(why),
        }
    }
}

async fn part<T>(what: &str, asked: impl Future<Output = sqlx::Result<T>>) -> Part<T> {
    match timeout(WITHIN, asked).await {
        Ok(Ok(known)) => Part::Known(known),
        Ok(Err(cause)) => {
            error!("The overview does without {what}: {cause}");
            Part::Unknown("MySQL does not tell; why is in the log")
        }
        Err(_) => {
            error!("The overview does without {what}: no answer within {WITHIN:?}");
            Part::Unknown("MySQL does not answer in time")
        }
    }
}

async fn archive(app: &App, sight: Sight) -> sqlx::Result<Archive> {
    let paging = Paging {
        after: None,
        limit: CAUSES,
    };
    let largest = groups::page(&app.db, Shown::Open, Sort::Open, paging)
        .await?
        .hidden(sight);
    Ok(Archive {
        open: groups::open_rows(&app.db).await?,
        uncounted: groups::uncounted(&app.db).await?,
        causes: largest
            .into_iter()
            .map(|group| Cause {
                fingerprint: group.fingerprint.to_string(),
                step: group.cause.step,
                pattern: group.cause.pattern,
                open: group.open,
                last_seen_at: group.last_seen_at,
            })
            .collect(),
    })
}

async fn alerts(app: &App) -> sqlx::Result<Alerts> {
    let counts = outbox::counts(&app.db).await?;
    let standings = outbox::standings(&app.db).await?;
    let silent = |it: &outbox::Standing| it.off_at.is_some() || it.rests_until.is_some();
    Ok(Alerts {
        incidents: incidents::open(&app.db).await?,
        pending: counts.pending,
        undelivered: counts.undelivered,
        channels: standings
            .into_iter()
            .filter(|it| app.channels.contains(&it.name) && silent(it))
            .map(|it| Channel {
                is_off: it.off_at.is_some(),
                name: it.name,
                last_delivered_at: it.delivered_at,
            })
            .collect(),
    })
}

/// Asks for a sale there is not: an answer is an answer.
async fn stock_node(app: &App) -> Part<&'static str> {
    let Some(stock) = &app.stock else {
        return Part::Unknown(NO_NODE);
    };
    match timeout(REDIS_WITHIN, stock.levels(SaleId::from_uuid(Uuid::nil()))).await {
        Ok(Ok(_)) => Part::Known("answers"),
        Ok(Err(StockError::Fenced)) => Part::Known("being_rebuilt"),
        Ok(Err(_)) | Err(_) => Part::Unknown("Redis does not answer; MySQL decides all the same"),
    }
}

fn of_processes(signs: Vec<heartbeat::Process>) -> Vec<Process> {
    let mut by_name: BTreeMap<String, (usize, Option<u64>)> = EXPECTED
        .into_iter()
        .map(|name| (name.to_owned(), (0, None)))
        .collect();
    for sign in signs {
        let (running, silent_s) = by_name.entry(sign.name).or_default();
        *running += usize::from(sign.silent < SILENT);
        let silent = sign.silent.as_secs();
        *silent_s = Some(silent_s.map_or(silent, |it| it.min(silent)));
    }
    let named = |(name, (running, silent_s))| Process {
        name,
        running,
        silent_s,
    };
    by_name.into_iter().map(named).collect()
}

impl From<queue::Waiting> for Waiting {
    fn from(row: queue::Waiting) -> Self {
        Self {
            state: row.state.as_str(),
            count: row.count,
            due_for_s: row.due_for_s,
        }
    }
}

impl From<coordinator::Backlog> for Unfinished {
    fn from(row: coordinator::Backlog) -> Self {
        let count = |of: i64| u64::try_from(of).unwrap_or_default();
        Self {
            count: count(row.count),
            oldest_s: count(row.oldest_s),
            late: count(row.late),
            state: row.state,
        }
    }
}

impl Unfinished {
    /// The state; nothing where only a newer build knows it.
    pub fn state(&self) -> Option<TxState> {
        self.state.parse().ok()
    }
}

impl From<watch::store::Trouble> for Trouble {
    fn from(row: watch::store::Trouble) -> Self {
        Self {
            figure: row.figure,
            said: row.said,
            since: row.since,
        }
    }
}

impl From<report::Stored> for Week {
    fn from(report::Stored { figures, .. }: report::Stored) -> Self {
        Self {
            name: figures.week.to_string(),
            tries: figures.tries.map(|it| it.made),
            success: figures.tries.and_then(|it| it.success()),
            archived: figures.archived,
        }
    }
}

impl From<(DateTime<Utc>, Option<Hour>)> for InHour {
    fn from((at, hour): (DateTime<Utc>, Option<Hour>)) -> Self {
        let tries = hour.and_then(|it| it.tries);
        Self {
            at,
            counted: hour.is_some(),
            tries: tries.map(|it| it.made),
            settled: tries.map(|it| it.settled),
            archived: hour.map(|it| it.archived).unwrap_or_default(),
        }
    }
}
