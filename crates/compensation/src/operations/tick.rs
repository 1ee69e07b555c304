//! How an operation on many moves on, a little at a time: whoever finds it due locks its row, writes a piece of its items, adds up
//! what has ended, judges it, begins as many as rate and ladder let it, and says when it is due again.
//!
//! All of a tick is one transaction of the caller's under that row's lock: of many processes one does it, acts of operators come
//! before or after it, and one that dies in the middle did nothing. So the rate is one rate, however many processes there are.
//! What a tick costs has a bound, however many items there are.

use super::{
    acts::STOPPED_ITSELF,
    filled_up,
    items::ARCHIVED,
    ladder::{Verdict, Window},
    reading::Counts,
    state::{Event, IllegalMove, Kind, State},
    stored,
    terms::Selected,
};
use crate::archive::{self, listing::Filter};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sqlx::{FromRow, MySql, MySqlConnection, MySqlPool, QueryBuilder};
use std::collections::HashMap;
use tracing::error;
use uuid::Uuid;

/// Items that are selected, added up, or begun in a tick, at most.
pub const AT_ONCE: u32 = 500;
/// Items that may be under way, at most: the rest waits for some to end.
const UNDER_WAY_AT_MOST: u32 = 10_000;
/// Up to so many the index of the filter is used, though it is walked from its beginning for each piece, for MariaDB takes only the
/// filter's columns from it (0.3 us a row: 100,000 rows on, 30 to 100 ms a piece). Beyond it the index of times is, from where the last
/// piece ended: 4 ms a piece, and each row of the archive is read once.
const BY_FILTER: u32 = 50_000;
/// How much of its rate an operation may catch up with after it was looked at late.
const BURST: TimeDelta = TimeDelta::seconds(1);
/// When one that runs is looked at again.
const SOON: TimeDelta = TimeDelta::milliseconds(100);
/// When one is looked at again that waits for items under way alone.
const LATER: TimeDelta = TimeDelta::milliseconds(500);

/// An operation in the hands of one process, its row locked.
#[derive(Debug)]
pub struct Due {
    /// Its id.
    pub id: Uuid,
    /// Where it stands.
    pub state: State,
    /// Whether all its items are known.
    pub selected_all: bool,
    /// How far it is.
    pub counts: Counts,
    kind: Kind,
    filter: Filter,
    rate: u32,
    canary: bool,
    stop_percent: u32,
    starts_at: DateTime<Utc>,
    watermark: DateTime<Utc>,
    cursor: (DateTime<Utc>, Uuid),
    window: Window,
    paced_at: Option<DateTime<Utc>>,
    /// Of the database.
    now: DateTime<Utc>,
    stopped_itself: Option<String>,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    kind: String,
    state: String,
    filter: String,
    rate: i32,
    canary: bool,
    stop_percent: i32,
    starts_at: DateTime<Utc>,
    watermark: DateTime<Utc>,
    cursor_at: DateTime<Utc>,
    cursor_id: Uuid,
    selected_all: bool,
    selected: i32,
    begun: i32,
    confirmed: i32,
    rejected: i32,
    archived: i32,
    refused: i32,
    discarded: i32,
    rung: i8,
    window_begun: i32,
    window_ended: i32,
    window_failed: i32,
    paced_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
}

/// Locks the operation that is due the longest, and that nobody else has locked.
///
/// # Errors
/// What the database says. One that this build cannot read is put off and told of: a newer one may.
pub async fn due(db: &mut MySqlConnection) -> sqlx::Result<Option<Due>> {
    let row: Option<Row> = sqlx::query_as(
        "select id, kind, state, filter, rate, canary, stop_percent, starts_at, watermark, cursor_at, cursor_id, selected_all, selected, \
         begun, confirmed, rejected, archived, refused, discarded, rung, window_begun, window_ended, window_failed, paced_at, \
         utc_timestamp(6) as now from operations where due_at <= utc_timestamp(3) order by due_at limit 1 for update skip locked",
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let id = row.id;
    match row.due() {
        Ok(due) => Ok(Some(due)),
        Err(cause) => {
            error!("Operation {id} cannot be read, it is left where it is: {cause}");
            sqlx::query!(
                "update operations set due_at = utc_timestamp(3) + interval 1 minute where id = ?",
                id
            )
            .execute(db)
            .await?;
            Ok(None)
        }
    }
}

/// Puts one off whose tick failed, so that the others have their turn.
///
/// # Errors
/// What the database says.
pub async fn put_off(db: &MySqlPool, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "update operations set due_at = utc_timestamp(3) + interval 1 second where id = ? and due_at is not null",
        id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes the next of its items, those archived first first, up to its watermark: a row that was archived later, or again, is not one.
/// Nothing is claimed.
///
/// # Errors
/// What the database says.
pub async fn select_some(db: &mut MySqlConnection, due: &mut Due) -> sqlx::Result<()> {
    let found = matches(&mut *db, due).await?;
    due.selected_all = found.len() < AT_ONCE as usize;
    let Some(last) = found.last() else {
        return Ok(());
    };
    due.cursor = (last.archived_at, last.id);
    let mut insert = QueryBuilder::<MySql>::new(
        "insert ignore into operation_items (operation_id, archive_id, gid, generation, state, due_at, created_at) ",
    );
    let (id, now) = (due.id, due.now.naive_utc());
    insert.push_values(filled_up(found), |mut item, row| {
        // What is held has no decision yet: its own transaction goes on.
        let (gid, generation) = match row.gid {
            Some(gid) if row.held => (gid, row.generation),
            _ => (Uuid::now_v7(), row.generation + 1),
        };
        item.push_bind(id)
            .push_bind(row.id)
            .push_bind(gid)
            .push_bind(generation)
            .push("'selected'")
            .push_bind(now)
            .push_bind(now);
    });
    let written = insert.build().execute(db).await?.rows_affected();
    due.counts.selected += u32::try_from(written).unwrap_or(u32::MAX);
    Ok(())
}

#[derive(Clone, FromRow)]
struct Match {
    id: Uuid,
    gid: Option<Uuid>,
    generation: i32,
    held: bool,
    archived_at: DateTime<Utc>,
}

async fn matches(db: &mut MySqlConnection, due: &Due) -> sqlx::Result<Vec<Match>> {
    let mut query = QueryBuilder::<MySql>::new(
        "select id, gid, generation, held, archived_at from failed_order_archives ",
    );
    if due.counts.selected >= BY_FILTER {
        query.push("force index (archives_by_time) ");
    }
    query.push("where ");
    due.filter.push(&mut query);
    let (at, id) = (due.cursor.0.naive_utc(), due.cursor.1);
    query.push(" and archived_at >= ").push_bind(at);
    query
        .push(" and archived_at <= ")
        .push_bind(due.watermark.naive_utc());
    query.push(" and (archived_at > ").push_bind(at);
    query.push(" or id > ").push_bind(id).push(")");
    query.push(" order by archived_at, id limit ");
    query
        .push_bind(AT_ONCE)
        .build_query_as()
        .fetch_all(db)
        .await
}

/// Adds up what has ended since the last tick.
///
/// # Errors
/// What the database says.
pub async fn add_up(db: &mut MySqlConnection, due: &mut Due) -> sqlx::Result<()> {
    let ended: Vec<(Uuid, String)> = sqlx::query_as(
        "select archive_id, state from operation_items force index (operation_items_uncounted)
         where operation_id = ? and uncounted = 1 order by archive_id limit ?",
    )
    .bind(due.id)
    .bind(AT_ONCE)
    .fetch_all(&mut *db)
    .await?;
    for (_, state) in &ended {
        let count = match state.as_str() {
            "confirmed" => &mut due.counts.confirmed,
            "rejected" => &mut due.counts.rejected,
            ARCHIVED => &mut due.counts.archived,
            "discarded" => &mut due.counts.discarded,
            _ => &mut due.counts.refused,
        };
        *count += 1;
        due.window.ended += 1;
        due.window.failed += u32::from(is_failure(state));
    }
    let ids = ended.into_iter().map(|(id, _)| id).collect();
    set_items(db, due.id, ids, "uncounted = 0", None).await
}

/// What counts as a failure: an item that came back, or was not done. A buyer who was told no was told.
fn is_failure(state: &str) -> bool {
    matches!(state, ARCHIVED | "refused")
}

/// Moves it on: out of its grace, to a pause where too many failed, to its end.
///
/// # Errors
/// [`IllegalMove`] where this code and its states disagree.
pub fn judge(due: &mut Due) -> Result<(), IllegalMove> {
    if due.state == State::Waiting && due.selected_all && due.starts_at <= due.now {
        due.state = due.state.on(Event::GraceOver)?;
        due.window = Window::first(due.canary);
    }
    let done = due.selected_all && due.counts.left() == 0 && due.counts.under_way() == 0;
    if done && matches!(due.state, State::Running | State::Paused) {
        due.state = due.state.on(Event::AllEnded)?;
    }
    if due.state == State::Running {
        match due.window.judged(due.stop_percent, due.counts.under_way()) {
            Verdict::GoOn(window) => due.window = window,
            Verdict::Stop => {
                due.state = due.state.on(Event::FailedTooOften)?;
                due.stopped_itself = Some(format!(
                    "{} of {} that ended had failed, and it stops above {} %",
                    due.window.failed, due.window.ended, due.stop_percent
                ));
            }
        }
    }
    Ok(())
}

/// Begins as many of its items as it may now: claims their rows in the archive, or refuses them; how many. They are carried out by
/// whoever [claims](super::claim_requested) them. Nothing is begun but while it runs.
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

/// Writes where it stands now, and when it is due again.
///
/// # Errors
/// What the database says.
pub async fn save(db: &mut MySqlConnection, due: &Due) -> sqlx::Result<()> {
    let (counts, window) = (&due.counts, &due.window);
    sqlx::query!(
        "update operations set state = ?, cursor_at = ?, cursor_id = ?, selected_all = ?, selected = ?, begun = ?, confirmed = ?,
                rejected = ?, archived = ?, refused = ?, discarded = ?, rung = ?, window_begun = ?, window_ended = ?, window_failed = ?,
                paced_at = ?, due_at = ?, finished_at = if(?, utc_timestamp(3), finished_at)
         where id = ?",
        due.state.as_str(),
        due.cursor.0,
        due.cursor.1,
        due.selected_all,
        counts.selected,
        counts.begun,
        counts.confirmed,
        counts.rejected,
        counts.archived,
        counts.refused,
        counts.discarded,
        window.rung,
        window.begun,
        window.ended,
        window.failed,
        due.paced_at,
        due.again(),
        due.state == State::Finished,
        due.id
    )
    .execute(&mut *db)
    .await?;
    if let Some(reason) = &due.stopped_itself {
        sqlx::query!(
            "update operations set act = ?, act_by = null, act_at = utc_timestamp(3), act_reason = ? where id = ?",
            STOPPED_ITSELF,
            reason,
            due.id
        )
        .execute(db)
        .await?;
    }
    Ok(())
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

    /// When it is looked at again; never where nothing goes on by itself.
    fn again(&self) -> Option<DateTime<Utc>> {
        match self.state {
            State::Waiting if !self.selected_all => Some(self.now),
            State::Waiting => Some(self.starts_at.max(self.now)),
            State::Running if self.counts.left() > 0 => Some(self.now + SOON),
            _ if self.state == State::Running || self.counts.under_way() > 0 => {
                Some(self.now + LATER)
            }
            _ => None,
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
            let doing = if other.kind == "discard" {
                "discarding"
            } else {
                "replaying"
            };
            let since = other.created_at.to_rfc3339_opts(SecondsFormat::Secs, true);
            format!("{doing} by {} since {since}", other.asked_by)
        },
    );
    known.insert(operation, reason.clone());
    Ok(reason)
}

async fn set_items(
    db: &mut MySqlConnection,
    operation: Uuid,
    ids: Vec<Uuid>,
    to: &'static str,
    reason: Option<&str>,
) -> sqlx::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut update = QueryBuilder::<MySql>::new("update operation_items set ");
    update.push(to);
    if let Some(reason) = reason {
        update.push(", reason = ").push_bind(reason.to_owned());
    }
    update.push(" where operation_id = ").push_bind(operation);
    update.push(" and archive_id in (");
    let mut list = update.separated(", ");
    for id in filled_up(ids) {
        list.push_bind(id);
    }
    update.push(")").build().execute(db).await?;
    Ok(())
}

impl Row {
    fn due(self) -> sqlx::Result<Due> {
        let selected: Selected =
            serde_json::from_str(&self.filter).map_err(crate::queue::unreadable)?;
        let filter = selected
            .filter()
            .map_err(|cause| sqlx::Error::Decode(Box::new(cause)))?;
        Ok(Due {
            id: self.id,
            state: stored(&self.state)?,
            selected_all: self.selected_all,
            counts: Counts {
                selected: self.selected.unsigned_abs(),
                begun: self.begun.unsigned_abs(),
                confirmed: self.confirmed.unsigned_abs(),
                rejected: self.rejected.unsigned_abs(),
                archived: self.archived.unsigned_abs(),
                refused: self.refused.unsigned_abs(),
                discarded: self.discarded.unsigned_abs(),
            },
            kind: stored(&self.kind)?,
            filter,
            rate: self.rate.unsigned_abs(),
            canary: self.canary,
            stop_percent: self.stop_percent.unsigned_abs(),
            starts_at: self.starts_at,
            watermark: self.watermark,
            cursor: (self.cursor_at, self.cursor_id),
            window: Window {
                rung: self.rung.unsigned_abs(),
                begun: self.window_begun.unsigned_abs(),
                ended: self.window_ended.unsigned_abs(),
                failed: self.window_failed.unsigned_abs(),
            },
            paced_at: self.paced_at,
            now: self.now,
            stopped_itself: None,
        })
    }
}
