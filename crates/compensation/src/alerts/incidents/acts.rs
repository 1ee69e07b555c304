//! What people do with incidents. Each locks the incident's row and changes it alone: who is told of what comes of it, and when, is the
//! folder's, which looks at it at once.

use super::state::{Event, State};
use chrono::{DateTime, Utc};
use sqlx::MySqlConnection;
use std::time::Duration;
use uuid::Uuid;

/// The longest silence.
pub const SILENCE_AT_MOST: Duration = Duration::from_hours(7 * 24);
/// The shortest: below it one need not ask.
pub const SILENCE_AT_LEAST: Duration = Duration::from_mins(1);
/// Characters of a reason.
pub const REASON_AT_MOST: usize = 500;
/// Characters of a name.
const NAME_AT_MOST: usize = 64;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Says who looks after it: it is not repeated, and nobody else is told.
    Acknowledge,
    /// Says who is to; nobody where that is empty.
    Assign(Option<String>),
    /// Sends nothing for a while.
    Silence {
        /// For so long, from now on.
        during: Duration,
        /// Why.
        reason: String,
    },
    /// Sends again.
    Unsilence,
    /// Says that it is over, where nothing else will.
    Close {
        /// How, or why.
        reason: String,
    },
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It was done; where it stands now.
    Now(State),
    /// The same one had done it before.
    Before(State),
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// There is no such incident.
    #[error("there is no such incident")]
    NotFound,
    /// Not as it stands.
    #[error("it is {state}")]
    NotNow {
        /// How it stands.
        state: State,
        /// Who brought it there; nobody where it went there by itself.
        by: Option<String>,
        /// When, where that is known.
        since: Option<DateTime<Utc>>,
    },
    /// What was given with it.
    #[error("{0}")]
    Bad(&'static str),
    /// MySQL failed.
    #[error("MySQL does not take it")]
    Database(#[from] sqlx::Error),
}

impl Act {
    /// As it stands in addresses and in the audit.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Assign(_) => "assign",
            Self::Silence { .. } => "silence",
            Self::Unsilence => "unsilence",
            Self::Close { .. } => "close",
        }
    }

    const fn event(&self) -> Event {
        match self {
            Self::Acknowledge => Event::Acknowledge,
            Self::Assign(_) => Event::Assign,
            Self::Silence { .. } => Event::Silence,
            Self::Unsilence => Event::Unsilence,
            Self::Close { .. } => Event::Over,
        }
    }

    fn complaint(&self) -> Option<&'static str> {
        let reason = match self {
            Self::Silence { during, .. }
                if !(SILENCE_AT_LEAST..=SILENCE_AT_MOST).contains(during) =>
            {
                return Some("a silence lasts a minute to 7 days");
            }
            Self::Silence { reason, .. } | Self::Close { reason } => reason,
            Self::Assign(Some(name)) if !(1..=NAME_AT_MOST).contains(&name.chars().count()) => {
                return Some("a name has 1 to 64 characters");
            }
            Self::Acknowledge | Self::Assign(_) | Self::Unsilence => return None,
        };
        match reason.trim().chars().count() {
            0 => Some("a reason is missing: whoever looks at it later wants to know why"),
            1..=REASON_AT_MOST => None,
            _ => Some("a reason has at most 500 characters"),
        }
    }
}

/// How it stands, as far as acts go by it.
struct Standing {
    state: State,
    acknowledged: (Option<String>, Option<DateTime<Utc>>),
    resolved_at: Option<DateTime<Utc>>,
}

/// Does it, in the caller's transaction, which locks the incident: of two at once the second finds what the first did.
///
/// # Errors
/// [`NotDone`]; nothing was done.
pub async fn act(db: &mut MySqlConnection, id: Uuid, act: &Act, by: &str) -> Result<Done, NotDone> {
    if let Some(why) = act.complaint() {
        return Err(NotDone::Bad(why));
    }
    let standing = standing(db, id).await?.ok_or(NotDone::NotFound)?;
    let Ok(state) = standing.state.on(act.event()) else {
        return standing.refuses(act, by);
    };
    match act {
        Act::Acknowledge => acknowledge(db, id, by).await?,
        Act::Assign(to) => assign(db, id, to.as_deref()).await?,
        Act::Silence { during, reason } => silence(db, id, *during, by, reason.trim()).await?,
        Act::Unsilence => unsilence(db, id).await?,
        Act::Close { reason } => {
            let how = format!("closed by {by}: {}", reason.trim());
            close(db, id, &how, by).await?;
        }
    }
    Ok(Done::Now(state))
}

impl Standing {
    fn refuses(self, act: &Act, by: &str) -> Result<Done, NotDone> {
        let (acknowledged_by, acknowledged_at) = self.acknowledged;
        let over = self.state == State::Resolved;
        if *act == Act::Acknowledge && !over && acknowledged_by.as_deref() == Some(by) {
            return Ok(Done::Before(self.state));
        }
        Err(NotDone::NotNow {
            state: self.state,
            by: acknowledged_by.filter(|_| !over),
            since: if over {
                self.resolved_at
            } else {
                acknowledged_at
            },
        })
    }
}

async fn standing(db: &mut MySqlConnection, id: Uuid) -> sqlx::Result<Option<Standing>> {
    let row = sqlx::query!(
        r#"select state, acknowledged_by, acknowledged_at as "acknowledged_at: DateTime<Utc>",
                  resolved_at as "resolved_at: DateTime<Utc>",
                  coalesce(silenced_until > utc_timestamp(3), false) as "silenced!: bool"
           from incidents where id = ? for update"#,
        id
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Standing {
        state: State::of(
            row.state == "resolved",
            row.acknowledged_by.is_some(),
            row.silenced,
        ),
        acknowledged: (row.acknowledged_by, row.acknowledged_at),
        resolved_at: row.resolved_at,
    }))
}

async fn acknowledge(db: &mut MySqlConnection, id: Uuid, by: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update incidents set acknowledged_by = ?, acknowledged_at = utc_timestamp(3), notify_at = utc_timestamp(3) where id = ?",
        by,
        id
    )
    .execute(db)
    .await
    .map(drop)
}

async fn assign(db: &mut MySqlConnection, id: Uuid, to: Option<&str>) -> sqlx::Result<()> {
    sqlx::query!("update incidents set assigned_to = ? where id = ?", to, id)
        .execute(db)
        .await
        .map(drop)
}

async fn silence(
    db: &mut MySqlConnection,
    id: Uuid,
    during: Duration,
    by: &str,
    reason: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update incidents set silenced_until = utc_timestamp(3) + interval ? second, silenced_by = ?, silence_reason = ?,
                              notify_at = utc_timestamp(3)
         where id = ?",
        i64::try_from(during.as_secs()).unwrap_or(i64::MAX),
        by,
        reason,
        id
    )
    .execute(db)
    .await
    .map(drop)
}

/// The silence ends now, and what stands is told.
async fn unsilence(db: &mut MySqlConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "update incidents set silenced_until = utc_timestamp(3), notify_at = utc_timestamp(3) where id = ?",
        id
    )
    .execute(db)
    .await
    .map(drop)
}

async fn close(db: &mut MySqlConnection, id: Uuid, how: &str, by: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update incidents set state = 'resolved', resolution = left(?, 500), resolved_at = utc_timestamp(3), notify_at = utc_timestamp(3),
                              closed_by = left(?, 64)
         where id = ?",
        how,
        by,
        id
    )
    .execute(db)
    .await
    .map(drop)
}
