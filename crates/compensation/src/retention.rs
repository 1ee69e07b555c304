//! Removes what nobody will ask for again: work that was settled long ago, with its messages, old lines of the log, notices that arrived,
//! incidents that are over, with their alerts. Found by an index, a few hundred at a time, so that nobody else waits.
//!
//! What is open, was given up or was not delivered is not touched, and the archive has its own rules.

use crate::queue::{self, seconds};
use coordinator::statement;
use sqlx::{MySqlPool, QueryBuilder};
use std::time::Duration;
use uuid::Uuid;

/// Rows of each kind a batch.
const BATCH: u32 = 500;
/// Incidents a batch; their alerts count as rows.
const INCIDENTS: u32 = 20;

/// How long each is kept, by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Work that was settled. Its row is also what a late copy of its message meets, so it is kept for longer than messages are.
    pub settled_work: Duration,
    /// Lines of the log of tries.
    pub log: Duration,
    /// Notices that arrived, and incidents that are over. Notices that did not are kept.
    pub alerts: Duration,
}

/// See the module.
#[derive(Clone)]
pub struct Retention {
    db: MySqlPool,
    keep: Keep,
}

impl Retention {
    /// `db` must be a pool at READ COMMITTED.
    #[must_use]
    pub const fn new(db: MySqlPool, keep: Keep) -> Self {
        Self { db, keep }
    }

    /// Removes up to 500 of each. Tells how many; call it again while it removes any, with a pause. Any number may run at once.
    ///
    /// # Errors
    /// What the database says. What was removed stays removed.
    pub async fn run_batch(&self) -> sqlx::Result<u64> {
        let settled = queue::remove_closed(&self.db, self.keep.settled_work, BATCH).await?;
        let of_work = settled + self.log().await?;
        Ok(of_work + self.alerts().await? + self.incidents().await?)
    }

    async fn log(&self) -> sqlx::Result<u64> {
        sqlx::query!(
            "delete from compensation_logs where started_at < utc_timestamp(3) - interval ? second order by started_at limit ?",
            seconds(self.keep.log),
            BATCH
        )
        .execute(&self.db)
        .await
        .map(|done| done.rows_affected())
    }

    /// Notices that arrived, or that others stand for, with their tries. What a digest tells of that did not arrive stays, as it does.
    async fn alerts(&self) -> sqlx::Result<u64> {
        let mut tx = self.db.begin().await?;
        let old = sqlx::query!(
            r#"select id as "id: Uuid", channel from alert_outbox
               where state in ('delivered', 'digested', 'superseded') and created_at < utc_timestamp(3) - interval ? second
                 and not exists (select 1 from alert_outbox digest
                                 where digest.id = alert_outbox.digest_id and digest.channel = alert_outbox.channel
                                   and digest.state in ('pending', 'undelivered'))
               order by created_at limit ? for update skip locked"#,
            seconds(self.keep.alerts),
            BATCH
        )
        .fetch_all(&mut *tx)
        .await?;
        for table in [
            "delete from alert_attempts where (alert_id, channel) in ",
            "delete from alert_outbox where (id, channel) in ",
        ] {
            for run in statement::runs(&old) {
                let mut delete = QueryBuilder::new(table);
                delete.push_tuples(run, |mut row, old| {
                    row.push_bind(old.id).push_bind(&old.channel);
                });
                delete.build().execute(&mut *tx).await?;
            }
        }
        tx.commit().await?;
        Ok(old.len() as u64)
    }

    /// First its alerts, and the incident with the last of them: whoever dies in between leaves an incident.
    async fn incidents(&self) -> sqlx::Result<u64> {
        let old = sqlx::query_scalar!(
            r#"select id as "id: Uuid" from incidents
               where resolved_at < utc_timestamp(3) - interval ? second and state = 'resolved' and notify_at is null
               order by resolved_at limit ?"#,
            seconds(self.keep.alerts),
            INCIDENTS
        )
        .fetch_all(&self.db)
        .await?;
        let mut removed = 0;
        for id in old {
            let alerts = sqlx::query!(
                "delete from alerts where incident_id = ? order by created_at limit ?",
                id,
                BATCH
            )
            .execute(&self.db)
            .await?
            .rows_affected();
            removed += alerts;
            if alerts == u64::from(BATCH) {
                break;
            }
            // One that more came for too late has alerts again, and is found again.
            removed += sqlx::query!(
                "delete from incidents where id = ? and not exists(select 1 from alerts where incident_id = ?)",
                id,
                id
            )
            .execute(&self.db)
            .await?
            .rows_affected();
        }
        Ok(removed)
    }
}
