//! The archive: what was given up, whole, told of, and open as long as it is not settled.

use super::{Failures, Latest, alerts::Alerts, history::History};
use crate::{checks::Check, messages::digest, verdict::Tally};
use futures::TryStreamExt;
use sqlx::MySqlConnection;
use std::collections::HashMap;
use uuid::Uuid;

/// One row, and the order's status where it has one.
#[derive(sqlx::FromRow)]
struct Archived {
    id: Uuid,
    is_order: bool,
    generation: i32,
    attempts: i32,
    history: String,
    location: Option<String>,
    payload: Option<Vec<u8>>,
    held: bool,
    handled: bool,
    resolution: Option<String>,
    status: Option<String>,
}

/// Each failed order has its row, and that names the transaction that gave it up.
pub async fn check_failed_orders(db: &mut MySqlConnection, tally: &mut Tally) -> sqlx::Result<()> {
    let mut rows = sqlx::query_as::<_, (Uuid, Option<Uuid>)>(
        "select o.id, a.id from orders o left join failed_order_archives a
            on a.id = o.id and a.order_id = o.id and a.gid = o.gid and a.generation = o.generation
         where o.status = 'failed'",
    )
    .fetch(db);
    while let Some((order, archived)) = rows.try_next().await? {
        tally.note(Check::FailedIsArchived, archived.is_some(), || {
            format!("order {order}: failed, and not in the archive as it failed")
        });
    }
    Ok(())
}

impl Failures {
    /// Looks at every row of the archive.
    pub(super) async fn walk_archive(
        &mut self,
        db: &mut MySqlConnection,
        latest: &HashMap<Uuid, Latest>,
        alerts: &Alerts,
        tally: &mut Tally,
    ) -> sqlx::Result<()> {
        let mut rows = sqlx::query_as::<_, Archived>(
            "select a.id, a.order_id is not null as is_order, a.generation, a.attempts, a.history, a.location, a.payload, a.held,
                    a.handled, a.resolution, o.status
             from failed_order_archives a left join orders o on o.id = a.order_id",
        )
        .fetch(db);
        while let Some(row) = rows.try_next().await? {
            let kept = row.location.is_some() || row.payload.is_some();
            tally.note(Check::ArchiveIsWhole, kept, || {
                format!("archived {}: its message is nowhere", row.id)
            });
            let latest = latest.get(&row.id);
            let times = latest.map_or(1, |latest| latest.given_up.max(1));
            let told = alerts.complaint(row.id, times);
            tally.note(Check::ArchivedIsTold, told.is_none(), || {
                format!("archived {}: {}", row.id, told.unwrap_or_default())
            });
            if row.is_order {
                row.check_order(latest, tally);
                self.counts.archived += 1;
                // What was held, and settled by its replay, was not healed by a retry.
                let first_closed = latest.is_some_and(|latest| latest.first_closed);
                self.counts.healed -= u64::from(first_closed);
                self.counts.resolved += u64::from(row.handled);
            } else {
                self.counts.strange += 1;
                match row.payload {
                    Some(payload) => {
                        self.strange.insert(digest(Some(&payload)));
                    }
                    None => self.strange_in_files += 1,
                }
            }
        }
        Ok(())
    }
}

/// How a row ended that an operator gave up for good.
const DISCARDED: &str = "discarded";

impl Archived {
    fn check_order(&self, latest: Option<&Latest>, tally: &mut Tally) {
        let fits = match (self.handled, self.resolution.as_deref()) {
            (false, _) => self.held || self.status.as_deref() == Some("failed"),
            (true, Some("confirmed")) => self
                .status
                .as_deref()
                .is_some_and(|status| !matches!(status, "failed" | "rejected")),
            (true, Some("rejected")) => self.status.as_deref() == Some("rejected"),
            (true, Some(DISCARDED)) => self.status.as_deref() == Some("failed"),
            (true, _) => self.status.is_some(),
        };
        tally.note(Check::ArchiveFits, fits, || {
            format!(
                "order {}: {}, the archive says handled {} as {:?}",
                self.id,
                self.status.as_deref().unwrap_or("undecided"),
                self.handled,
                self.resolution
            )
        });
        let history = History::read(&self.history);
        // What was discarded ends where it was given up.
        let given_up = !self.handled || self.resolution.as_deref() == Some(DISCARDED);
        let complaint = history.complaint(self.attempts, self.generation, given_up);
        tally.note(Check::ArchiveIsWhole, complaint.is_none(), || {
            format!(
                "archived {}: its history: {}",
                self.id,
                complaint.unwrap_or_default()
            )
        });
        let same = latest.is_some_and(|latest| latest.history == history);
        tally.note(Check::OneHistory, same, || {
            format!(
                "order {}: the archive has another history than the retry queue",
                self.id
            )
        });
    }
}
