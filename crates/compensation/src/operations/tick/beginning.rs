//! Items are begun: their rows in the archive claimed, or refused with the reason, as fast as rate and ladder let them.

use super::{AT_ONCE, Due, filled_up, set_items};
use crate::{
    archive,
    operations::state::{Kind, State},
};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sqlx::{FromRow, MySql, MySqlConnection, QueryBuilder};
use std::collections::HashMap;
use uuid::Uuid;

/// Items that may be under way, at most: the rest waits for some to end.
const UNDER_WAY_AT_MOST: u32 = 10_000;
/// How much of its rate an operation may catch up with after it was looked at late.
const BURST: TimeDelta = TimeDelta::seconds(1);

/// Begins as many of its items as it may now: claims their rows in the archive, or refuses them; how many. They are carried out by
/// whoever [claims](crate::operations::claim_requested) them. Nothing is begun but while it runs.
///
/// # Errors
/// What the database says.
pub async fn begin_some(db: &mut MySqlConnection, due: &mut Due) -> sqlx::Result<usize> {
    if due.state != State::Running {
        return Ok(0);
    }
    let room = due
        .window
        .room()
        .min(UNDER_WAY_AT_MOST.saturating_sub(due.counts.under_way()))
        .min(due.counts.left())
        .min(AT_ONCE);
    let wanted = due.paced(room);
    if wanted == 0 {
        return Ok(0);
    }
    let next: Vec<(Uuid, Uuid, i32)> = sqlx::query_as(
        // By itself MariaDB takes the primary key, and walks over all that have ended: 4 s with 500,000 of them.
        "select archive_id, gid, generation from operation_items force index (operation_items_by_state)
         where operation_id = ? and state = 'selected' order by archive_id limit ?",
    )
    .bind(due.id)
    .bind(wanted)
    .fetch_all(&mut *db)
    .await?;
    let begun = next.len();
    let rows = lock_rows(&mut *db, next.iter().map(|(id, ..)| *id).collect()).await?;
    let mut others = HashMap::new();
    let mut claimed = Vec::with_capacity(next.len());
    let mut refused: HashMap<String, Vec<Uuid>> = HashMap::new();
    for (id, gid, generation) in next {
        let reason = match rows.get(&id) {
            None => Some("not_found".to_owned()),
            Some(row) => match row.operation_id {
                Some(other) => Some(whose(&mut *db, &mut others, other).await?),
                None => due.refusal(row, gid, generation).map(str::to_owned),
            },
        };
        match reason {
            Some(reason) => refused.entry(reason).or_default().push(id),
            None => claimed.push(id),
        }
    }
    if !claimed.is_empty() {
        let mut claim =
            QueryBuilder::<MySql>::new("update failed_order_archives set operation_id = ");
        claim.push_bind(due.id).push(" where id in (");
        let mut list = claim.separated(", ");
        for id in filled_up(claimed.clone()) {
            list.push_bind(id);
        }
        claim.push(")").build().execute(&mut *db).await?;
    }
    let requested = "state = 'requested', due_at = utc_timestamp(3)";
    set_items(&mut *db, due.id, claimed, requested, None).await?;
    let not_done = "state = 'refused', finished_at = utc_timestamp(3), uncounted = 1";
    for (reason, ids) in refused {
        set_items(&mut *db, due.id, ids, not_done, Some(&reason)).await?;
    }
    let count = u32::try_from(begun).unwrap_or(u32::MAX);
    due.counts.begun += count;
    due.window.begun += count;
    Ok(begun)
}

impl Due {
    /// How many of `room` the rate lets begin now, taken off it.
    fn paced(&mut self, room: u32) -> u32 {
        let rate = i64::from(self.rate.max(1));
        let one = TimeDelta::microseconds(1_000_000 / rate);
        let behind = self.paced_at.map_or(one, |paced_at| self.now - paced_at);
        let behind = behind.min(BURST.max(one));
        let items = behind.num_microseconds().unwrap_or(0).max(0) * rate / 1_000_000;
        let items = u32::try_from(items).unwrap_or(u32::MAX).min(room);
        if items > 0 {
            let used = TimeDelta::microseconds(i64::from(items) * 1_000_000 / rate);
            self.paced_at = Some(self.now - behind + used);
        }
        items
    }

    /// Why this row of the archive, which nobody else has claimed, is not begun.
    fn refusal(&self, row: &ArchiveRow, gid: Uuid, generation: i32) -> Option<&'static str> {
        let kind = archive::Kind::of(row.order_id, row.gid);
        let as_it_was = if row.held {
            row.gid == Some(gid) && row.generation == generation
        } else {
            row.generation + 1 == generation
        };
        if row.handled {
            Some("already_resolved")
        } else if row.archived_at > self.watermark || !as_it_was {
            Some("archived_again")
        } else {
            match (kind, self.kind) {
                (archive::Kind::Transaction, _) => Some("a_transaction"),
                (archive::Kind::Message, Kind::Replay) => Some("not_an_order"),
                _ => None,
            }
        }
    }
}

#[derive(FromRow)]
struct ArchiveRow {
    id: Uuid,
    order_id: Option<Uuid>,
    gid: Option<Uuid>,
    generation: i32,
    held: bool,
    handled: bool,
    operation_id: Option<Uuid>,
    archived_at: DateTime<Utc>,
}

async fn lock_rows(
    db: &mut MySqlConnection,
    ids: Vec<Uuid>,
) -> sqlx::Result<HashMap<Uuid, ArchiveRow>> {
    let mut query = QueryBuilder::<MySql>::new(
        "select id, order_id, gid, generation, held, handled, operation_id, archived_at from failed_order_archives where id in (",
    );
    let mut list = query.separated(", ");
    for id in filled_up(ids) {
        list.push_bind(id);
    }
    query.push(") order by id for update");
    let rows: Vec<ArchiveRow> = query.build_query_as().fetch_all(db).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// In whose hands a row is, as a reason.
async fn whose(
    db: &mut MySqlConnection,
    known: &mut HashMap<Uuid, String>,
    operation: Uuid,
) -> sqlx::Result<String> {
    if let Some(reason) = known.get(&operation) {
        return Ok(reason.clone());
    }
    let other = sqlx::query!(
        r#"select kind, asked_by, created_at as "created_at: DateTime<Utc>" from operations where id = ?"#,
        operation
    )
    .fetch_optional(db)
    .await?;
    let reason = other.map_or_else(
        || "replaying".to_owned(),
        |other| {
            let doing = other.kind.parse().map_or("replaying", Kind::doing);
            let since = other.created_at.to_rfc3339_opts(SecondsFormat::Secs, true);
            format!("{doing} by {} since {since}", other.asked_by)
        },
    );
    known.insert(operation, reason.clone());
    Ok(reason)
}
