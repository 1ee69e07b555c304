//! What people made of an archived message: each version is kept, with who made it of which one, when and why.
//!
//! Nobody writes over the message as it came: the first edit keeps a copy of it as version 0. A replay names the version it takes, so
//! what it does is not changed by whoever edits meanwhile, and while it is under way nobody can. What a message may say is not known here.

use crate::operations::{self, ReplayRefused};
use chrono::{DateTime, Utc};
use coordinator::statement;
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder};
use uuid::Uuid;

/// Versions one message may have, besides the one it came as.
pub const VERSIONS_AT_MOST: u32 = 100;

/// One version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// 0: as it came; then each edit.
    pub number: u32,
    /// The version it was made from; nothing of the one it came as.
    pub made_from: Option<u32>,
    /// The message.
    pub payload: Vec<u8>,
    /// By whom; nothing of the one it came as.
    pub made_by: Option<String>,
    /// When.
    pub made_at: DateTime<Utc>,
    /// Why.
    pub reason: Option<String>,
}

/// A version that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewVersion<'a> {
    /// Of which row.
    pub archive_id: Uuid,
    /// The newest version whoever edits has seen: there may be none newer.
    pub revision: u32,
    /// The version it is made from.
    pub made_from: u32,
    /// The message as the archive has it: version 0, where nobody has edited it yet.
    pub original: &'a [u8],
    /// The message.
    pub payload: &'a [u8],
    /// By whom.
    pub made_by: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// It is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// Made now, under this number.
    Now(u32),
    /// Made before, by the same person with the same words: a second click.
    Before(u32),
}

/// Why it was not made.
#[derive(Debug, thiserror::Error)]
pub enum NotMade {
    /// There is no such row, somebody has it in hand, or nothing is left to do.
    #[error(transparent)]
    NotNow(#[from] ReplayRefused),
    /// Its units are held under its own transaction, which asks for what it asked for.
    #[error("its units are held for it as it is")]
    Held,
    /// Somebody was faster.
    #[error("{by} made version {number} of it at {at}")]
    Newer {
        /// The newest version.
        number: u32,
        /// By whom.
        by: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// There is nothing to make it from.
    #[error("it has no version {0}")]
    NoSuchVersion(u32),
    /// Enough.
    #[error("it has {VERSIONS_AT_MOST} versions already")]
    TooMany,
    /// MySQL failed.
    #[error("MySQL does not take the version")]
    Database(#[from] sqlx::Error),
}

/// Makes it in the caller's transaction. Locks the archive's row, so of two at once the second finds the first.
///
/// # Errors
/// [`NotMade`]; nothing was written.
pub async fn make(db: &mut MySqlConnection, new: &NewVersion<'_>) -> Result<Made, NotMade> {
    let row = operations::open_row(&mut *db, new.archive_id).await?;
    if row.order_id.is_none() {
        return Err(ReplayRefused::NotAnOrder.into());
    }
    if row.held {
        return Err(NotMade::Held);
    }
    if row.version != new.revision {
        return newer(db, new, row.version).await;
    }
    if new.made_from > row.version {
        return Err(NotMade::NoSuchVersion(new.made_from));
    }
    if row.version >= VERSIONS_AT_MOST {
        return Err(NotMade::TooMany);
    }
    if row.version == 0 {
        sqlx::query!(
            "insert into archive_versions (archive_id, number, payload, made_at)
             select id, 0, ?, archived_at from failed_order_archives where id = ?",
            new.original,
            new.archive_id
        )
        .execute(&mut *db)
        .await?;
    }
    let number = row.version + 1;
    sqlx::query!(
        "insert into archive_versions (archive_id, number, made_from, payload, made_by, made_at, reason)
         values (?, ?, ?, ?, ?, utc_timestamp(3), ?)",
        new.archive_id,
        number,
        new.made_from,
        new.payload,
        new.made_by,
        new.reason
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "update failed_order_archives set version = ? where id = ?",
        number,
        new.archive_id
    )
    .execute(db)
    .await?;
    Ok(Made::Now(number))
}

/// Somebody made a version meanwhile: the same person, with the same click, or another one.
async fn newer(
    db: &mut MySqlConnection,
    new: &NewVersion<'_>,
    newest: u32,
) -> Result<Made, NotMade> {
    let found = find(db, new.archive_id, newest)
        .await?
        .ok_or(NotMade::NoSuchVersion(new.revision))?;
    let by = found.made_by.unwrap_or_default();
    let same = newest == new.revision + 1
        && found.made_from == Some(new.made_from)
        && by == new.made_by
        && found.payload == new.payload
        && found.reason.as_deref() == Some(new.reason);
    if same {
        return Ok(Made::Before(newest));
    }
    Err(NotMade::Newer {
        number: newest,
        by,
        at: found.made_at,
    })
}

/// All of a row's versions, the first first; none where nobody has edited it.
///
/// # Errors
/// What the database says.
pub async fn all(db: &MySqlPool, archive_id: Uuid) -> sqlx::Result<Vec<Version>> {
    sqlx::query_as!(
        Version,
        r#"select number as "number: u32", made_from as "made_from: u32", payload, made_by, made_at as "made_at: DateTime<Utc>", reason
           from archive_versions where archive_id = ? order by number"#,
        archive_id
    )
    .fetch_all(db)
    .await
}

/// The newest message of each of these rows that somebody has edited.
///
/// # Errors
/// What the database says.
pub async fn newest(db: &MySqlPool, rows: &[Uuid]) -> sqlx::Result<Vec<(Uuid, Vec<u8>)>> {
    let mut found = Vec::with_capacity(rows.len());
    for rows in statement::runs(rows) {
        let mut query = QueryBuilder::<MySql>::new(
            "select v.archive_id, v.payload from archive_versions v
             join failed_order_archives a on a.id = v.archive_id and a.version = v.number where v.archive_id in ",
        );
        statement::push_list(&mut query, rows.iter().copied());
        let some: Vec<(Uuid, Vec<u8>)> = query.build_query_as().fetch_all(db).await?;
        found.extend(some);
    }
    Ok(found)
}

/// One of them.
///
/// # Errors
/// What the database says.
pub async fn find(
    db: &mut MySqlConnection,
    archive_id: Uuid,
    number: u32,
) -> sqlx::Result<Option<Version>> {
    sqlx::query_as!(
        Version,
        r#"select number as "number: u32", made_from as "made_from: u32", payload, made_by, made_at as "made_at: DateTime<Utc>", reason
           from archive_versions where archive_id = ? and number = ?"#,
        archive_id,
        number
    )
    .fetch_optional(db)
    .await
}

/// Removes all of a row's versions, in the transaction that removes the row.
///
/// # Errors
/// What the database says.
pub(super) async fn forget(db: &mut MySqlConnection, archive_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from archive_versions where archive_id = ?",
        archive_id
    )
    .execute(db)
    .await?;
    Ok(())
}
