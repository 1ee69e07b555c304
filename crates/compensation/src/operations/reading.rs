//! An operation as it is shown: how far it has come, from its own row. Nothing is counted here, so a million items cost what one does.

use super::{
    Kind, State,
    acts::CONFIRM_WITHIN,
    ladder::{BLOCK, Window},
    stored,
    terms::Selected,
};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, MySql, MySqlPool, QueryBuilder};
use uuid::Uuid;

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub id: Uuid,
    /// What is done.
    pub kind: Kind,
    /// Who asked for it.
    pub asked_by: String,
    /// Why.
    pub reason: Option<String>,
    /// Where it stands.
    pub state: State,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When the last of its items was finished, or it was ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Of an operation on many, how far it has come; `None` for a single replay.
    pub bulk: Option<Bulk>,
    /// What a single replay is done to; on an order's page, that order's item. Those of many are read [page by page](fn@super::items).
    pub items: Vec<Item>,
}

/// What an operation on many has besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bulk {
    /// On which rows.
    pub selected: Selected,
    /// Items begun a second.
    pub rate: u32,
    /// Whether it goes 1, 10, 100 first.
    pub canary: bool,
    /// Above this share of failures it pauses itself.
    pub stop_percent: u32,
    /// Until then it can be undone.
    pub starts_at: DateTime<Utc>,
    /// What was archived later is left out.
    pub watermark: DateTime<Utc>,
    /// Whether all its items are known; until then `counts.selected` grows.
    pub selected_all: bool,
    /// Its items.
    pub counts: Counts,
    /// What is judged now.
    pub window: Window,
    /// Whether somebody else has to confirm it, and who did.
    pub second_person: Option<SecondPerson>,
    /// What was done to it last.
    pub last_act: Option<LastAct>,
}

/// What a second operator has to do, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondPerson {
    /// Above so many items.
    pub above: u32,
    /// Who confirmed it.
    pub confirmed_by: Option<String>,
    /// When.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// Until then it can be confirmed.
    pub until: DateTime<Utc>,
}

/// Items by how they ended, a moment ago.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub selected: u32,
    /// Claimed, refused at that, or further.
    pub begun: u32,
    /// The order is confirmed.
    pub confirmed: u32,
    /// It was rejected with a reason: the buyer's answer.
    pub rejected: u32,
    /// It failed again.
    pub archived: u32,
    /// It was not done.
    pub refused: u32,
    /// Given up for good.
    pub discarded: u32,
}

/// Who did what to an operation that was under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAct {
    /// `pause`, `resume`, `cancel`, `undo`, or `stop` by itself.
    pub act: String,
    /// Who; `None`: it did so by itself.
    pub by: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// Why, where it stopped itself.
    pub reason: Option<String>,
}

/// One thing an operation is done to.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Item {
    /// Of an order its id.
    pub archive_id: Uuid,
    /// The transaction of the new generation.
    pub gid: Uuid,
    /// The new generation.
    #[sqlx(try_from = "i32")]
    pub generation: u32,
    /// The version of its message that is taken; nothing where it was not edited, or is not begun.
    pub version: Option<i32>,
    /// `selected`, `requested`, `processing`, or how it ended: `confirmed`, `rejected`, `archived`, `refused`, `discarded`, `reconciled`.
    pub state: String,
    /// Why it ended so.
    pub reason: Option<String>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Counts {
    /// How many have ended, however.
    #[must_use]
    pub const fn ended(&self) -> u32 {
        self.confirmed + self.rejected + self.archived + self.refused + self.discarded
    }

    /// How many were begun and have not ended.
    #[must_use]
    pub const fn under_way(&self) -> u32 {
        self.begun.saturating_sub(self.ended())
    }

    /// How many were not begun.
    #[must_use]
    pub const fn left(&self) -> u32 {
        self.selected.saturating_sub(self.begun)
    }
}

impl Bulk {
    /// Where it stands on the ladder, in words.
    #[must_use]
    pub fn stage(&self) -> String {
        match self.window.rung_size() {
            Some(1) => "the first item alone".to_owned(),
            Some(size) => format!("the next {size} items"),
            None => format!("{} items a second, judged by {BLOCK}", self.rate),
        }
    }
}

/// One operation.
///
/// # Errors
/// What the database says.
pub async fn find(db: &MySqlPool, id: Uuid) -> sqlx::Result<Option<Operation>> {
    let mut query = QueryBuilder::<MySql>::new(COLUMNS);
    query.push(" where id = ").push_bind(id);
    let row: Option<Stored> = query.build_query_as().fetch_optional(db).await?;
    let Some(row) = row else { return Ok(None) };
    let mut operation = row.operation()?;
    if operation.bulk.is_none() {
        operation.items = single_item(db, id).await?;
    }
    Ok(Some(operation))
}

pub(super) async fn single_item(db: &MySqlPool, id: Uuid) -> sqlx::Result<Vec<Item>> {
    let mut query = QueryBuilder::<MySql>::new(ITEM_COLUMNS);
    query.push(" where operation_id = ").push_bind(id);
    query.push(" limit 1");
    query.build_query_as().fetch_all(db).await
}

pub(super) const COLUMNS: &str = "select id, kind, asked_by, reason, state, created_at, finished_at, filter, rate, canary, stop_percent, \
     starts_at, watermark, selected_all, selected, begun, confirmed, rejected, archived, refused, discarded, rung, window_begun, \
     window_ended, window_failed, act, act_by, act_at, act_reason, confirm_above, confirmed_by, confirmed_at from operations";

pub(super) const ITEM_COLUMNS: &str =
    "select archive_id, gid, generation, version, state, reason, finished_at from operation_items";

#[derive(FromRow)]
pub(super) struct Stored {
    id: Uuid,
    kind: String,
    asked_by: String,
    reason: Option<String>,
    state: String,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    filter: Option<String>,
    #[sqlx(flatten)]
    how: How,
    #[sqlx(flatten)]
    far: Far,
    #[sqlx(flatten)]
    acted: Acted,
    #[sqlx(flatten)]
    second: Second,
}

#[derive(FromRow)]
struct How {
    rate: Option<i32>,
    canary: bool,
    stop_percent: Option<i32>,
    starts_at: Option<DateTime<Utc>>,
    watermark: Option<DateTime<Utc>>,
}

#[derive(FromRow)]
struct Far {
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
}

#[derive(FromRow)]
struct Second {
    confirm_above: Option<i32>,
    confirmed_by: Option<String>,
    confirmed_at: Option<DateTime<Utc>>,
}

#[derive(FromRow)]
struct Acted {
    act: Option<String>,
    act_by: Option<String>,
    act_at: Option<DateTime<Utc>>,
    act_reason: Option<String>,
}

impl Stored {
    pub(super) fn operation(self) -> sqlx::Result<Operation> {
        let bulk = match self.filter {
            None => None,
            Some(filter) => Some(Bulk {
                selected: serde_json::from_str(&filter).map_err(crate::queue::unreadable)?,
                rate: self.how.rate.unwrap_or_default().unsigned_abs(),
                canary: self.how.canary,
                stop_percent: self.how.stop_percent.unwrap_or_default().unsigned_abs(),
                starts_at: self.how.starts_at.unwrap_or(self.created_at),
                watermark: self.how.watermark.unwrap_or(self.created_at),
                selected_all: self.far.selected_all,
                counts: self.far.counts(),
                window: Window {
                    rung: self.far.rung.unsigned_abs(),
                    begun: self.far.window_begun.unsigned_abs(),
                    ended: self.far.window_ended.unsigned_abs(),
                    failed: self.far.window_failed.unsigned_abs(),
                },
                second_person: self.second.person(self.created_at),
                last_act: self.acted.last(),
            }),
        };
        Ok(Operation {
            id: self.id,
            kind: stored(&self.kind)?,
            asked_by: self.asked_by,
            reason: self.reason,
            state: stored(&self.state)?,
            created_at: self.created_at,
            finished_at: self.finished_at,
            bulk,
            items: Vec::new(),
        })
    }
}

impl Far {
    const fn counts(&self) -> Counts {
        Counts {
            selected: self.selected.unsigned_abs(),
            begun: self.begun.unsigned_abs(),
            confirmed: self.confirmed.unsigned_abs(),
            rejected: self.rejected.unsigned_abs(),
            archived: self.archived.unsigned_abs(),
            refused: self.refused.unsigned_abs(),
            discarded: self.discarded.unsigned_abs(),
        }
    }
}

impl Second {
    fn person(self, asked_at: DateTime<Utc>) -> Option<SecondPerson> {
        Some(SecondPerson {
            above: self.confirm_above?.unsigned_abs(),
            confirmed_by: self.confirmed_by,
            confirmed_at: self.confirmed_at,
            until: asked_at + CONFIRM_WITHIN,
        })
    }
}

impl Acted {
    fn last(self) -> Option<LastAct> {
        Some(LastAct {
            act: self.act?,
            by: self.act_by,
            at: self.act_at?,
            reason: self.act_reason,
        })
    }
}
