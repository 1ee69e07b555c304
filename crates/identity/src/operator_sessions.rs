//! Operators' log-ins. Only the SHA-256 of a session's secret is stored: whoever reads the table cannot log in with it.
//!
//! Each request asks the database, so a role that changed, a password that was reset and an operator who was removed take effect
//! at once. A browser's log-in ends when nobody used it for a while; a script's has said when it ends, and ends then.

use crate::{OperatorId, OperatorRole, operators::Operator};
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use sqlx::{MySqlConnection, MySqlPool};
use std::time::Duration;

/// A log-in that was used is written down this often at most.
const SEEN_EVERY_S: u64 = 60;
/// Ended ones removed at a time.
const SWEPT_AT_ONCE: u32 = 500;

/// How a log-in is shown with each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(rename_all = "snake_case")]
pub enum SessionKind {
    /// A cookie, and a CSRF token with whatever changes something.
    Web,
    /// `Authorization: Bearer …`.
    Bearer,
}

/// A log-in that holds.
#[derive(Debug, Clone)]
pub struct Session {
    /// Whose it is, as the account is now.
    pub operator: Operator,
    /// How it is shown.
    pub kind: SessionKind,
    /// What its forms carry.
    pub csrf: String,
}

impl SessionKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Bearer => "bearer",
        }
    }
}

/// Logs an operator in for `ttl` at most, and gives the secret the browser or script shows from now on; nobody else has it. Removes
/// some log-ins that have ended.
///
/// # Errors
/// What the database says.
pub async fn open(
    db: &mut MySqlConnection,
    operator: OperatorId,
    kind: SessionKind,
    ttl: Duration,
) -> sqlx::Result<String> {
    sqlx::query!(
        "delete from operator_sessions where expires_at < utc_timestamp(3) limit ?",
        SWEPT_AT_ONCE
    )
    .execute(&mut *db)
    .await?;
    let secret = secret();
    sqlx::query!(
        "insert into operator_sessions (token_hash, operator_id, kind, csrf, created_at, seen_at, expires_at)
         values (?, ?, ?, ?, utc_timestamp(3), utc_timestamp(3), utc_timestamp(3) + interval ? second)",
        hash(&secret),
        operator,
        kind.as_str(),
        self::secret(),
        ttl.as_secs()
    )
    .execute(db)
    .await?;
    Ok(secret)
}

/// Who makes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// Somebody who is there.
    Person,
    /// A page that looks again by itself: it keeps no log-in alive that nobody uses.
    Page,
}

/// The log-in with this secret, unless it has ended: at its time, or, a browser's, `idle` after the last request of a person.
///
/// # Errors
/// What the database says.
pub async fn find(db: &MySqlPool, secret: &str, idle: Duration) -> sqlx::Result<Option<Session>> {
    find_for(db, secret, idle, Asker::Person).await
}

/// The same, for whoever asks.
///
/// # Errors
/// What the database says.
pub async fn find_for(
    db: &MySqlPool,
    secret: &str,
    idle: Duration,
    asker: Asker,
) -> sqlx::Result<Option<Session>> {
    let hash = hash(secret);
    let row = sqlx::query!(
        r#"select o.id as "id: OperatorId", o.username, o.role as "role: OperatorRole", o.must_change as "must_change: bool",
                  o.created_at as "created_at: DateTime<Utc>", s.kind as "kind: SessionKind", s.csrf,
                  timestampdiff(second, s.seen_at, utc_timestamp(3)) as "unseen_s!: i64"
           from operator_sessions s join operators o on o.id = s.operator_id
           where s.token_hash = ? and s.expires_at > utc_timestamp(3)
             and (s.kind = 'bearer' or s.seen_at > utc_timestamp(3) - interval ? second)"#,
        hash,
        idle.as_secs()
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let written_every = SEEN_EVERY_S.min(idle.as_secs() / 4);
    if asker == Asker::Person
        && row.kind == SessionKind::Web
        && row.unseen_s.unsigned_abs() >= written_every
    {
        sqlx::query!(
            "update operator_sessions set seen_at = utc_timestamp(3) where token_hash = ?",
            hash
        )
        .execute(db)
        .await?;
    }
    Ok(Some(Session {
        operator: Operator {
            id: row.id,
            username: row.username,
            role: row.role,
            must_change: row.must_change,
            created_at: row.created_at,
        },
        kind: row.kind,
        csrf: row.csrf,
    }))
}

/// Logs out. Again: the same.
///
/// # Errors
/// What the database says.
pub async fn end(db: &mut MySqlConnection, secret: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from operator_sessions where token_hash = ?",
        hash(secret)
    )
    .execute(db)
    .await
    .map(drop)
}

/// Ends every log-in of an operator.
///
/// # Errors
/// What the database says.
pub async fn end_all(db: &mut MySqlConnection, operator: OperatorId) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from operator_sessions where operator_id = ?",
        operator
    )
    .execute(db)
    .await
    .map(drop)
}

/// 256 random bits as 64 hexadecimal digits.
fn secret() -> String {
    format!(
        "{:032x}{:032x}",
        rand::random::<u128>(),
        rand::random::<u128>()
    )
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}
