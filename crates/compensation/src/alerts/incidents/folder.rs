//! The work on incidents: new alerts are counted, and what is due is looked at. A batch each, and a thin loop.

use super::{fold, ledger, over, state::Event, telling};
use crate::alerts::{Channels, Routes};
use anyhow::{Context as _, anyhow};
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt as _;
use service_kit::settings::Alerts;
use sqlx::MySqlPool;
use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

/// Between two looks where nothing is left to do.
const IDLE: Duration = Duration::from_millis(500);
const PAUSE_AFTER_TROUBLE: Duration = Duration::from_secs(1);
/// What takes longer is given up, and begun anew.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
/// Incidents looked at before new alerts have their turn again.
const LOOKED_AT_ONCE: u32 = 100;
/// What takes longer of one of them is postponed.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);
const POSTPONED_FOR: TimeDelta = TimeDelta::minutes(1);
/// How often a batch is tried that met another who folds the same groups.
const TIMES_AT_MOST: u32 = 5;

/// Counts alerts into incidents and has people told. Any number may run at once, in any process.
#[derive(Debug, Clone)]
pub struct Folder {
    db: MySqlPool,
    routes: Arc<Routes>,
    ahead: TimeDelta,
}

impl Folder {
    /// `db` must be a pool at READ COMMITTED.
    #[must_use]
    pub fn new(db: MySqlPool, settings: &Alerts, channels: &Channels) -> Self {
        Self {
            db,
            routes: Arc::new(Routes::new(settings, channels.names())),
            ahead: TimeDelta::zero(),
        }
    }

    /// The same at a time that has not come yet: its clock is the database's, and so far ahead.
    #[must_use]
    pub fn ahead(self, by: Duration) -> Self {
        Self {
            ahead: TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX),
            ..self
        }
    }

    /// Counts all new alerts and looks at every incident that is due; how many of both.
    ///
    /// # Errors
    /// What MySQL says. What was counted before stays counted.
    pub async fn run_once(&self) -> anyhow::Result<usize> {
        let mut folded = 0;
        loop {
            let batch = answered(self.fold())
                .await
                .context("new alerts cannot be counted")?;
            folded += batch;
            if batch < fold::AT_ONCE {
                break;
            }
        }
        let looked = answered(self.look())
            .await
            .context("incidents that are due cannot be looked at")?;
        Ok(folded + looked)
    }

    /// Does so until `stop`; the batch in hand is finished first.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            // A panic would end all of it, and nobody would be told of anything.
            let ran = AssertUnwindSafe(self.run_once()).catch_unwind().await;
            let pause = match ran.unwrap_or_else(|_| Err(anyhow!("it panicked: see above"))) {
                Ok(_) => IDLE,
                Err(cause) => {
                    warn!("Incidents wait: {cause:#}");
                    PAUSE_AFTER_TROUBLE
                }
            };
            stop.run_until_cancelled(sleep(pause)).await;
        }
    }

    async fn fold(&self) -> anyhow::Result<usize> {
        let mut times = 1;
        loop {
            match fold::fold(&self.db, &self.routes, self.ahead).await {
                Err(cause) if times < TIMES_AT_MOST && is_of_the_moment(&cause) => times += 1,
                done => return done,
            }
        }
    }

    async fn look(&self) -> anyhow::Result<usize> {
        let now = ledger::now(&mut *self.db.acquire().await?, self.ahead).await?;
        let due = sqlx::query_scalar!(
            r#"select id as "id: Uuid" from incidents
               where state in ('open', 'resolved') and notify_at <= ? order by notify_at limit ?"#,
            now.naive_utc(),
            LOOKED_AT_ONCE
        )
        .fetch_all(&self.db)
        .await?;
        for id in &due {
            self.look_at_or_postpone(*id, now).await?;
        }
        Ok(due.len())
    }

    /// One that cannot be settled keeps no other waiting.
    async fn look_at_or_postpone(&self, id: Uuid, now: DateTime<Utc>) -> anyhow::Result<()> {
        let mut times = 1;
        loop {
            let looked = timeout(SETTLED_WITHIN, self.look_at(id, now)).await;
            match looked.context("MySQL does not answer").flatten() {
                Ok(()) => return Ok(()),
                Err(cause) if times < TIMES_AT_MOST && is_of_the_moment(&cause) => times += 1,
                Err(cause) => {
                    warn!(incident = %id, "Incident {id} cannot be looked at, that is tried again in a minute: {cause:#}");
                    return Ok(ledger::postpone(&self.db, id, now, now + POSTPONED_FOR).await?);
                }
            }
        }
    }

    /// One incident, in a transaction of its own.
    async fn look_at(&self, id: Uuid, now: DateTime<Utc>) -> anyhow::Result<()> {
        let mut tx = self.db.begin().await?;
        let Some(mut incident) = ledger::due(&mut tx, id, now).await? else {
            tx.rollback().await?;
            return Ok(());
        };
        if !incident.over
            && let Some(how) = over::how(&mut tx, &incident).await?
        {
            incident.state(now).on(Event::Over)?;
            incident.resolve(&how, now);
        }
        telling::settle(&mut tx, &self.routes, &mut incident, now).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Who runs this does other things too: MySQL is not waited for.
async fn answered(asking: impl Future<Output = anyhow::Result<usize>>) -> anyhow::Result<usize> {
    timeout(ANSWERS_WITHIN, asking)
        .await
        .context("MySQL does not answer")?
}

/// A deadlock, a lock waited for too long, or an incident that another one opened meanwhile.
fn is_of_the_moment(cause: &anyhow::Error) -> bool {
    let Some(sqlx::Error::Database(cause)) = cause.downcast_ref::<sqlx::Error>() else {
        return false;
    };
    cause.is_unique_violation()
        || cause
            .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
            .is_some_and(|cause| matches!(cause.number(), 1205 | 1213))
}
