//! The row of an operation that is due: locked, read, written back.

use crate::{
    archive::listing::Filter,
    operations::{
        acts::{CONFIRM_WITHIN, STOPPED_ITSELF},
        ladder::Window,
        reading::Counts,
        state::{Kind, State},
        stored,
        terms::Selected,
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{FromRow, MySqlConnection, MySqlPool};
use tracing::error;
use uuid::Uuid;

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
    pub(super) kind: Kind,
    pub(super) asked_by: String,
    pub(super) filter: Filter,
    pub(super) rate: u32,
    pub(super) canary: bool,
    pub(super) stop_percent: u32,
    pub(super) starts_at: DateTime<Utc>,
    pub(super) watermark: DateTime<Utc>,
    pub(super) cursor: (DateTime<Utc>, Uuid),
    pub(super) window: Window,
    pub(super) paced_at: Option<DateTime<Utc>>,
    /// Above so many items somebody has to confirm it, and nobody has.
    pub(super) unconfirmed_above: Option<u32>,
    /// Until then somebody may.
    pub(super) confirm_until: DateTime<Utc>,
    /// Of the database.
    pub(super) now: DateTime<Utc>,
    pub(super) stopped_itself: Option<String>,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    kind: String,
    asked_by: String,
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
    created_at: DateTime<Utc>,
    confirm_above: Option<i32>,
    confirmed_by: Option<String>,
    now: DateTime<Utc>,
}

/// Locks the operation that is due the longest, and that nobody else has locked.
///
/// # Errors
/// What the database says. One that this build cannot read is put off and told of: a newer one may.
pub async fn due(db: &mut MySqlConnection) -> sqlx::Result<Option<Due>> {
    let row: Option<Row> = sqlx::query_as(
        "select id, kind, asked_by, state, filter, rate, canary, stop_percent, starts_at, watermark, cursor_at, cursor_id, selected_all, selected, \
         begun, confirmed, rejected, archived, refused, discarded, rung, window_begun, window_ended, window_failed, paced_at, created_at, confirm_above, confirmed_by, \
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
        matches!(due.state, State::Finished | State::Expired),
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
    /// Whether its items are known, and more than one person may have done.
    pub(super) fn needs_confirmation(&self) -> bool {
        self.state == State::Waiting
            && self.selected_all
            && self
                .unconfirmed_above
                .is_some_and(|above| self.counts.selected > above)
    }

    /// When it is looked at again; never where nothing goes on by itself.
    fn again(&self) -> Option<DateTime<Utc>> {
        match self.state {
            State::Waiting if !self.selected_all || self.needs_confirmation() => Some(self.now),
            State::Unconfirmed => Some(self.confirm_until.max(self.now)),
            State::Waiting => Some(self.starts_at.max(self.now)),
            State::Running if self.counts.left() > 0 => Some(self.now + SOON),
            _ if self.state == State::Running || self.counts.under_way() > 0 => {
                Some(self.now + LATER)
            }
            _ => None,
        }
    }
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
            asked_by: self.asked_by,
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
            unconfirmed_above: self
                .confirm_above
                .filter(|_| self.confirmed_by.is_none())
                .map(i32::unsigned_abs),
            confirm_until: self.created_at + CONFIRM_WITHIN,
            now: self.now,
            stopped_itself: None,
        })
    }
}
