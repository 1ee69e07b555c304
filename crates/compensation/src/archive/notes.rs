//! What people write down beside something that was given up, for whoever looks at it next. Notes outlive replays: they belong to the row,
//! and go when it goes. Nobody changes one, or takes it away.

use chrono::{DateTime, Utc};
use sqlx::{MySqlConnection, MySqlPool};
use uuid::Uuid;

/// Characters of a note.
pub const TEXT_AT_MOST: usize = 2_000;
/// Notes of one row.
pub const NOTES_AT_MOST: i64 = 200;

/// One note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its id.
    pub id: Uuid,
    /// By whom.
    pub written_by: String,
    /// When.
    pub written_at: DateTime<Utc>,
    /// What.
    pub text: String,
}

/// It is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Written now.
    Now,
    /// Written before, by the same person, of the same words: a second click.
    Before,
}

/// Why it was not written.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// There is nothing archived under this id.
    #[error("there is nothing archived under this id")]
    NotFound,
    /// Enough.
    #[error("it has {NOTES_AT_MOST} notes already")]
    TooMany,
    /// Another note has this id.
    #[error("another note has this id")]
    IdTaken,
    /// MySQL failed.
    #[error("MySQL does not take the note")]
    Database(#[from] sqlx::Error),
}

/// Writes one, under an id its writer chose, in the caller's transaction. Locks the archive's row.
///
/// # Errors
/// [`NotWritten`]; nothing was written.
pub async fn write(
    db: &mut MySqlConnection,
    archive_id: Uuid,
    id: Uuid,
    by: &str,
    text: &str,
) -> Result<Written, NotWritten> {
    sqlx::query_scalar!(
        "select 1 from failed_order_archives where id = ? for update",
        archive_id
    )
    .fetch_optional(&mut *db)
    .await?
    .ok_or(NotWritten::NotFound)?;
    let known = sqlx::query!(
        r#"select archive_id as "archive_id: Uuid", written_by, text from archive_notes where id = ?"#,
        id
    )
    .fetch_optional(&mut *db)
    .await?;
    if let Some(known) = known {
        let same = known.archive_id == archive_id && known.written_by == by && known.text == text;
        return if same {
            Ok(Written::Before)
        } else {
            Err(NotWritten::IdTaken)
        };
    }
    let count = sqlx::query_scalar!(
        "select count(*) from archive_notes where archive_id = ?",
        archive_id
    )
    .fetch_one(&mut *db)
    .await?;
    if count >= NOTES_AT_MOST {
        return Err(NotWritten::TooMany);
    }
    sqlx::query!(
        "insert into archive_notes (id, archive_id, written_by, written_at, text) values (?, ?, ?, utc_timestamp(3), ?)",
        id,
        archive_id,
        by,
        text
    )
    .execute(db)
    .await?;
    Ok(Written::Now)
}

/// All of a row's, newest first.
///
/// # Errors
/// What the database says.
pub async fn of(db: &MySqlPool, archive_id: Uuid) -> sqlx::Result<Vec<Note>> {
    sqlx::query_as!(
        Note,
        r#"select id as "id: Uuid", written_by, written_at as "written_at: DateTime<Utc>", text
           from archive_notes where archive_id = ? order by written_at desc, id desc limit ?"#,
        archive_id,
        NOTES_AT_MOST
    )
    .fetch_all(db)
    .await
}

/// Removes all of a row's, in the transaction that removes the row.
///
/// # Errors
/// What the database says.
pub(super) async fn forget(db: &mut MySqlConnection, archive_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("delete from archive_notes where archive_id = ?", archive_id)
        .execute(db)
        .await?;
    Ok(())
}
