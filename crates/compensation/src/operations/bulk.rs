//! Asking for an operation on all that a filter matches.

use super::{
    Kind, State,
    ladder::Window,
    stored,
    terms::{Reason, Selected, Terms},
};
use crate::queue::micros;
use sqlx::MySqlConnection;
use uuid::Uuid;

/// Operations that may be under way at once.
pub const OPEN_AT_MOST: i64 = 20;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct NewBulk<'a> {
    /// Chosen by whoever asks, so that a second click is the same operation.
    pub id: Uuid,
    /// What is to be done.
    pub kind: Kind,
    /// To which rows of the archive, [checked](Selected::filter).
    pub selected: &'a Selected,
    /// Why.
    pub reason: &'a Reason,
    /// How.
    pub terms: Terms,
    /// Above so many items somebody else has to confirm it; `None`: nobody has to.
    pub confirm_above: Option<u32>,
    /// Who asks.
    pub asked_by: &'a str,
}

/// It is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// Made now.
    Now,
    /// Made before, by the same operator, with the same words.
    Before,
}

/// Why it was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Too much is under way.
    #[error("{OPEN_AT_MOST} operations are under way: wait for one to end, or cancel one")]
    TooMany,
    /// Another operation has this id.
    #[error("another operation has this id")]
    IdTaken,
    /// MySQL failed.
    #[error("MySQL does not take the operation")]
    Database(#[from] sqlx::Error),
}

/// Writes it down, waiting, with the archive as it is now: what is archived later is left out. Nothing is done to any row.
///
/// # Errors
/// [`NotTaken`]; nothing was written.
pub async fn create(db: &mut MySqlConnection, new: &NewBulk<'_>) -> Result<Made, NotTaken> {
    let filter = serde_json::to_string(new.selected)
        .map_err(|cause| sqlx::Error::Encode(Box::new(cause)))?;
    if let Some(made) = made_before(&mut *db, new, &filter).await? {
        return Ok(made);
    }
    let open = sqlx::query_scalar!(
        "select count(*) from operations where state in ('waiting', 'unconfirmed', 'running', 'paused') and filter is not null"
    )
    .fetch_one(&mut *db)
    .await?;
    if open >= OPEN_AT_MOST {
        return Err(NotTaken::TooMany);
    }
    let written = sqlx::query!(
        "insert into operations (id, kind, asked_by, reason, state, created_at, filter, rate, canary, stop_percent, starts_at, watermark, \
         cursor_at, cursor_id, rung, confirm_above, due_at)
         values (?, ?, ?, ?, ?, utc_timestamp(3), ?, ?, ?, ?, utc_timestamp(3) + interval ? microsecond, utc_timestamp(3), '1970-01-01', ?, ?, ?, \
         utc_timestamp(3))",
        new.id,
        new.kind.as_str(),
        new.asked_by,
        new.reason.as_str(),
        State::Waiting.as_str(),
        filter,
        new.terms.rate(),
        new.terms.canary(),
        new.terms.stop_percent(),
        micros(new.terms.grace()),
        Uuid::nil(),
        Window::first(new.terms.canary()).rung,
        new.confirm_above
    )
    .execute(&mut *db)
    .await;
    match written {
        Ok(_) => Ok(Made::Now),
        // The same click twice, at once.
        Err(sqlx::Error::Database(cause)) if cause.is_unique_violation() => {
            made_before(db, new, &filter)
                .await?
                .ok_or(NotTaken::IdTaken)
        }
        Err(cause) => Err(cause.into()),
    }
}

async fn made_before(
    db: &mut MySqlConnection,
    new: &NewBulk<'_>,
    filter: &str,
) -> Result<Option<Made>, NotTaken> {
    let known = sqlx::query!(
        r#"select kind, asked_by, reason, filter, rate as "rate: u32", canary as "canary: bool", stop_percent as "stop_percent: u32",
                  timestampdiff(microsecond, coalesce(confirmed_at, created_at), starts_at) as "grace: i64"
           from operations where id = ?"#,
        new.id
    )
    .fetch_optional(db)
    .await?;
    let Some(known) = known else { return Ok(None) };
    let same = stored::<Kind>(&known.kind)? == new.kind
        && known.asked_by == new.asked_by
        && known.reason.as_deref() == Some(new.reason.as_str())
        && known.filter.as_deref() == Some(filter)
        && (known.rate, known.canary, known.stop_percent)
            == (
                Some(new.terms.rate()),
                new.terms.canary(),
                Some(new.terms.stop_percent()),
            )
        && known.grace == Some(micros(new.terms.grace()));
    if same {
        Ok(Some(Made::Before))
    } else {
        Err(NotTaken::IdTaken)
    }
}
