//! Alerts as they stand in the outbox: delivered, or shown as undelivered, and nothing else.

use crate::{
    checks::Check,
    verdict::{FailureCounts, Tally},
};
use futures::TryStreamExt;
use sqlx::MySqlConnection;
use std::collections::HashMap;

/// Alerts of what was archived, by what they are about.
#[derive(Debug, Default)]
pub struct Alerts(HashMap<String, Told>);

#[derive(Debug, Clone, Copy, Default)]
struct Told {
    alerts: u64,
    hidden: u64,
}

/// An alert of what was archived.
#[derive(sqlx::FromRow)]
struct Raised {
    subject: String,
    /// It is counted in no incident, or nobody tries to tell of that.
    hidden: i64,
}

/// One notice, on all its channels.
#[derive(sqlx::FromRow)]
struct Row {
    id: uuid::Uuid,
    kind: String,
    subject: String,
    delivered: i64,
    undelivered: i64,
    /// Pending, and never tried though it has a channel that is not switched off: nobody would see that it does not arrive.
    hidden: i64,
}

impl Alerts {
    /// Reads and judges all alerts.
    pub async fn read(
        db: &mut MySqlConnection,
        tally: &mut Tally,
        counts: &mut FailureCounts,
    ) -> sqlx::Result<Self> {
        let mut told: HashMap<String, Told> = HashMap::new();
        let mut rows = sqlx::query_as::<_, Row>(
            "select id, kind, subject, cast(sum(state = 'delivered') as signed) as delivered,
                    cast(sum(state in ('pending', 'undelivered')) as signed) as undelivered,
                    cast(sum(state = 'pending' and attempts = 0 and channel <> ''
                             and channel not in (select name from alert_channels where off_at is not null)) as signed) as hidden
             from alert_outbox group by id, kind, subject",
        )
        .fetch(&mut *db);
        while let Some(row) = rows.try_next().await? {
            tally.note(Check::AlertShown, row.hidden == 0, || {
                format!(
                    "alert {} ({} {}): {} of its channels were never tried",
                    row.id, row.kind, row.subject, row.hidden
                )
            });
            counts.alerts_delivered += row.delivered.unsigned_abs();
            counts.alerts_undelivered += row.undelivered.unsigned_abs();
        }
        drop(rows);
        let mut raised = sqlx::query_as::<_, Raised>(
            "select subject, cast(incident_id is null or exists(
                        select 1 from alert_outbox as notice where notice.incident_id = alerts.incident_id
                        and notice.state = 'pending' and notice.attempts = 0 and notice.channel <> ''
                        and notice.channel not in (select name from alert_channels where off_at is not null)) as signed) as hidden
             from alerts where kind = 'archived'",
        )
        .fetch(db);
        while let Some(row) = raised.try_next().await? {
            let of = told.entry(row.subject).or_default();
            of.alerts += 1;
            of.hidden += row.hidden.unsigned_abs();
        }
        drop(raised);
        Ok(Self(told))
    }

    /// What is wrong with the alerts of something that was archived so often.
    pub fn complaint(&self, id: uuid::Uuid, times: u64) -> Option<String> {
        let told = self.0.get(&id.to_string()).copied().unwrap_or_default();
        if told.alerts < times {
            return Some(format!("given up {times} times, {} alerts", told.alerts));
        }
        (told.hidden > 0).then(|| "its alert was never tried".to_owned())
    }
}
