//! The policy in the table `settings`, where its newest version rules. Versions are only ever added: who looks later sees who changed
//! what, when and why.
//!
//! A change names the version it was made from and becomes the next one. The key lets one change do so, so that nobody overwrites what
//! they have not seen, without any lock.

use super::{BadTerms, Policy, Terms};
use chrono::{DateTime, Utc};
use sqlx::{MySqlConnection, MySqlPool};

/// The name of its rows.
const NAME: &str = "retry_policy";
/// Who wrote the first version.
pub const SETTINGS_FILE: &str = "settings file";
/// The longest reason, in characters.
pub const REASON_AT_MOST: usize = 500;
/// The first version.
const FIRST: u32 = 1;

/// A policy with where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// From 1.
    pub version: u32,
    /// What rules, or ruled.
    pub policy: Policy,
    /// An operator's name, or [`SETTINGS_FILE`].
    pub changed_by: String,
    /// Why.
    pub reason: String,
    /// By the database's clock.
    pub changed_at: DateTime<Utc>,
}

/// Why there is no policy to be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// MySQL failed.
    #[error("MySQL does not tell the retry policy")]
    Database(#[from] sqlx::Error),
    /// No process that reads the settings file has started yet.
    #[error(
        "there is no retry policy yet: start a compensator or an admin, which take it from their settings"
    )]
    Missing,
    /// It is no text of ours.
    #[error("version {0} of the retry policy cannot be read: a newer build may have written it")]
    Unreadable(u32, #[source] serde_json::Error),
    /// It is outside the bounds of this build.
    #[error("version {0} of the retry policy cannot rule: a newer build may have written it")]
    Bad(u32, #[source] BadTerms),
}

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It rules, as this version.
    Now(u32),
    /// Another change was made since.
    Meanwhile,
}

/// Writes the first version where there is none. Whoever comes later changes nothing.
///
/// # Errors
/// What the database says.
pub async fn seed(db: &MySqlPool, policy: &Policy) -> sqlx::Result<()> {
    // Not `insert ignore`: it would swallow more than a row that is there.
    let written = sqlx::query!(
        "insert into settings (name, version, value, changed_by, reason, changed_at) values (?, ?, ?, ?, 'the first start', utc_timestamp(3))",
        NAME,
        FIRST,
        to_json(policy.terms()),
        SETTINGS_FILE
    )
    .execute(db)
    .await;
    match written {
        Err(sqlx::Error::Database(cause)) if cause.is_unique_violation() => Ok(()),
        other => other.map(drop),
    }
}

/// The version that rules; the first is seeded from `file` where there is none.
///
/// # Errors
/// [`ReadError`], but not [`ReadError::Missing`].
pub async fn current_or_seed(db: &MySqlPool, file: &Policy) -> Result<Version, ReadError> {
    match current(db).await {
        Err(ReadError::Missing) => {
            seed(db, file).await?;
            current(db).await
        }
        found => found,
    }
}

/// The version that rules.
///
/// # Errors
/// [`ReadError`]
pub async fn current(db: &MySqlPool) -> Result<Version, ReadError> {
    page(db, u32::MAX, 1)
        .await?
        .pop()
        .ok_or(ReadError::Missing)?
        .version()
}

/// The number of the version that rules; `None`: there is none.
///
/// # Errors
/// What the database says.
pub async fn current_number(db: &MySqlPool) -> sqlx::Result<Option<u32>> {
    let newest = sqlx::query!(
        r#"select version as "version: u32" from settings where name = ? order by version desc limit 1"#,
        NAME
    )
    .fetch_optional(db)
    .await?;
    Ok(newest.map(|row| row.version))
}

/// Makes `policy` the one after version `from`, in the caller's transaction: it rules once that commits.
///
/// # Errors
/// What the database says.
pub async fn change(
    db: &mut MySqlConnection,
    from: u32,
    policy: &Policy,
    by: &str,
    reason: &str,
) -> sqlx::Result<Changed> {
    let version = from.saturating_add(1);
    let written = sqlx::query!(
        "insert into settings (name, version, value, changed_by, reason, changed_at)
         select name, ?, ?, ?, ?, utc_timestamp(3) from settings where name = ? and version = ?",
        version,
        to_json(policy.terms()),
        by.chars().take(64).collect::<String>(),
        reason.chars().take(REASON_AT_MOST).collect::<String>(),
        NAME,
        from
    )
    .execute(db)
    .await;
    match written {
        Ok(done) if done.rows_affected() == 1 => Ok(Changed::Now(version)),
        // There is no such version to start from.
        Ok(_) => Ok(Changed::Meanwhile),
        Err(sqlx::Error::Database(cause)) if cause.is_unique_violation() => Ok(Changed::Meanwhile),
        Err(cause) => Err(cause),
    }
}

/// A version as it is stored, whether this build can read it or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// From 1.
    pub version: u32,
    /// As JSON.
    pub value: String,
    /// An operator's name, or [`SETTINGS_FILE`].
    pub changed_by: String,
    /// Why.
    pub reason: String,
    /// By the database's clock.
    pub changed_at: DateTime<Utc>,
}

/// Up to `limit` versions below `before`, newest first.
///
/// # Errors
/// What the database says.
pub async fn page(db: &MySqlPool, before: u32, limit: u32) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as!(
        Stored,
        r#"select version as "version: u32", value, changed_by, reason, changed_at as "changed_at: DateTime<Utc>"
           from settings where name = ? and version < ? order by version desc limit ?"#,
        NAME,
        before,
        limit
    )
    .fetch_all(db)
    .await
}

impl Stored {
    /// What it says.
    ///
    /// # Errors
    /// [`ReadError::Unreadable`] and [`ReadError::Bad`]
    pub fn version(self) -> Result<Version, ReadError> {
        let number = self.version;
        let terms: Terms = serde_json::from_str(&self.value)
            .map_err(|cause| ReadError::Unreadable(number, cause))?;
        let policy = Policy::try_from(terms).map_err(|cause| ReadError::Bad(number, cause))?;
        Ok(Version {
            version: number,
            policy,
            changed_by: self.changed_by,
            reason: self.reason,
            changed_at: self.changed_at,
        })
    }
}

fn to_json(terms: &Terms) -> String {
    serde_json::to_string(terms)
        .unwrap_or_else(|cause| unreachable!("checked terms are plain numbers: {cause}"))
}
