//! What operators do to an operation that is under way: pause, resume, cancel, undo, and, where one person may not have it done, confirm.
//!
//! Each is a move of [`super::state`], under the operation's row. Done again by the same operator it is done already; of two
//! operators one wins, and the other is told who and when.

use super::{
    ladder::Window,
    state::{Event, State},
    stored,
};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::MySqlConnection;
use std::str::FromStr;
use uuid::Uuid;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// No further item is begun.
    Pause,
    /// It goes on.
    Resume,
    /// No further item is begun, ever.
    Cancel,
    /// It is recalled before anything was done.
    Undo,
}

/// It is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Since now.
    Now(State),
    /// The same operator did it before.
    Before(State),
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// There is none.
    #[error("there is no such operation")]
    NotFound,
    /// A single replay is begun with the click.
    #[error("a replay of one order cannot be paused, cancelled or undone")]
    Single,
    /// Who asked for it cannot confirm it.
    #[error("who asked for it cannot confirm it: somebody else has to")]
    SamePerson,
    /// Its state does not allow it: mostly somebody else was faster.
    #[error("the operation is {state}")]
    NotNow {
        /// How it stands.
        state: State,
        /// Who brought it there; `None`: it did so by itself.
        by: Option<String>,
        /// When.
        since: DateTime<Utc>,
    },
    /// MySQL failed.
    #[error("MySQL does not take it")]
    Database(#[from] sqlx::Error),
}

/// Not the name of an act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not pause, resume, cancel or undo")]
pub struct UnknownAct(String);

impl Act {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pause, Self::Resume, Self::Cancel, Self::Undo];

    /// How it is stored, and its part of an address.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Undo => "undo",
        }
    }

    /// What happens to the operation.
    #[must_use]
    pub const fn event(self) -> Event {
        match self {
            Self::Pause => Event::AskedToPause,
            Self::Resume => Event::Resumed,
            Self::Cancel => Event::AskedToCancel,
            Self::Undo => Event::AskedToUndo,
        }
    }
}

impl FromStr for Act {
    type Err = UnknownAct;

    fn from_str(text: &str) -> Result<Self, UnknownAct> {
        Self::ALL
            .into_iter()
            .find(|act| act.as_str() == text)
            .ok_or_else(|| UnknownAct(text.to_owned()))
    }
}

/// The act of who confirmed it.
const CONFIRM: &str = "confirm";
/// How long one waits to be confirmed, from when it was asked for.
pub const CONFIRM_WITHIN: TimeDelta = TimeDelta::hours(24);

/// The act of an operation that paused itself.
pub(super) const STOPPED_ITSELF: &str = "stop";

/// Does it in the caller's transaction. Locks the operation's row.
///
/// # Errors
/// [`NotDone`]; nothing was written.
pub async fn act(db: &mut MySqlConnection, id: Uuid, act: Act, by: &str) -> Result<Done, NotDone> {
    let row = sqlx::query!(
        r#"select state, filter, created_at as "created_at: DateTime<Utc>", canary as "canary: bool", rung as "rung: u8", act, act_by,
                  act_at as "act_at: DateTime<Utc>", starts_at as "starts_at: DateTime<Utc>", finished_at as "finished_at: DateTime<Utc>"
           from operations where id = ? for update"#,
        id
    )
    .fetch_optional(&mut *db)
    .await?
    .ok_or(NotDone::NotFound)?;
    if row.filter.is_none() {
        return Err(NotDone::Single);
    }
    let state: State = stored(&row.state)?;
    let Ok(becomes) = state.on(act.event()) else {
        if row.act.as_deref() == Some(act.as_str()) && row.act_by.as_deref() == Some(by) {
            return Ok(Done::Before(state));
        }
        let led_here = row
            .act
            .as_deref()
            .is_some_and(|act| leads_to(act) == Some(state));
        let (by, since) = match state {
            _ if led_here => (row.act_by, row.act_at),
            State::Waiting | State::Unconfirmed => (None, Some(row.created_at)),
            State::Running => (None, row.starts_at),
            _ => (None, row.finished_at),
        };
        return Err(NotDone::NotNow {
            state,
            by,
            since: since.unwrap_or(row.created_at),
        });
    };
    // One that stopped itself feels its way again.
    let rung = if row.act.as_deref() == Some(STOPPED_ITSELF) && act == Act::Resume {
        Window::first(row.canary).rung
    } else {
        row.rung
    };
    sqlx::query!(
        "update operations set state = ?, act = ?, act_by = ?, act_at = utc_timestamp(3), act_reason = null, rung = ?,
                window_begun = if(?, 0, window_begun), window_ended = if(?, 0, window_ended), window_failed = if(?, 0, window_failed),
                paced_at = null, due_at = if(?, null, utc_timestamp(3)), finished_at = if(?, utc_timestamp(3), null)
         where id = ?",
        becomes.as_str(),
        act.as_str(),
        by,
        rung,
        act == Act::Resume,
        act == Act::Resume,
        act == Act::Resume,
        becomes == State::Undone,
        becomes.is_final(),
        id
    )
    .execute(db)
    .await?;
    Ok(Done::Now(becomes))
}

/// Lets one go on that its asker alone may not have done, in the caller's transaction: its time to undo it begins now. Locks its row.
///
/// # Errors
/// [`NotDone`]; nothing was written.
pub async fn confirm(db: &mut MySqlConnection, id: Uuid, by: &str) -> Result<Done, NotDone> {
    let row = sqlx::query!(
        r#"select state, filter, asked_by, created_at as "created_at: DateTime<Utc>", confirmed_by,
                  confirmed_at as "confirmed_at: DateTime<Utc>", finished_at as "finished_at: DateTime<Utc>", act_by,
                  utc_timestamp(3) as "now!: DateTime<Utc>"
           from operations where id = ? for update"#,
        id
    )
    .fetch_optional(&mut *db)
    .await?
    .ok_or(NotDone::NotFound)?;
    if row.filter.is_none() {
        return Err(NotDone::Single);
    }
    let state: State = stored(&row.state)?;
    let Ok(becomes) = state.on(Event::Confirmed) else {
        if row.confirmed_by.as_deref() == Some(by) {
            return Ok(Done::Before(state));
        }
        let since = row.finished_at.or(row.confirmed_at);
        return Err(NotDone::NotNow {
            state,
            by: row.act_by.or(row.confirmed_by),
            since: since.unwrap_or(row.created_at),
        });
    };
    if row.asked_by == by {
        return Err(NotDone::SamePerson);
    }
    let until = row.created_at + CONFIRM_WITHIN;
    if row.now >= until {
        // Nobody has come by to end it.
        return Err(NotDone::NotNow {
            state: State::Expired,
            by: None,
            since: until,
        });
    }
    sqlx::query!(
        "update operations set state = ?, starts_at = utc_timestamp(3) + interval timestampdiff(microsecond, created_at, starts_at) microsecond,
                confirmed_by = ?, confirmed_at = utc_timestamp(3), act = ?, act_by = ?, act_at = utc_timestamp(3), act_reason = null,
                due_at = utc_timestamp(3)
         where id = ?",
        becomes.as_str(),
        by,
        CONFIRM,
        by,
        id
    )
    .execute(db)
    .await?;
    Ok(Done::Now(becomes))
}

/// Where an act, as it is stored, leads to by itself.
fn leads_to(act: &str) -> Option<State> {
    if act == STOPPED_ITSELF {
        return Some(State::Paused);
    }
    if act == CONFIRM {
        return Some(State::Waiting);
    }
    act.parse().ok().map(|act| match act {
        Act::Pause => State::Paused,
        Act::Resume => State::Running,
        Act::Cancel => State::Cancelled,
        Act::Undo => State::Undone,
    })
}
