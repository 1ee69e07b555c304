//! Operators' personal tokens: what a script shows instead of a password. A token has an end, and may do no more than its scope says and
//! its operator may at that moment; it makes no other token and changes no password. Only its SHA-256 is stored.

use crate::{OperatorId, OperatorRole, operators::Operator};
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use sqlx::{MySqlConnection, MySqlPool};
use std::{collections::BTreeSet, time::Duration};
use uuid::Uuid;

/// How a token begins, so that it is known for one wherever it turns up.
pub const PREFIX: &str = "rdt_";
/// The most an operator has at a time.
pub const AT_MOST: i64 = 50;
/// The longest a token holds.
pub const LONGEST: Duration = Duration::from_hours(24 * 366);
/// A token's name is at most so long, in characters.
pub const NAME_AT_MOST: usize = 64;

/// The permissions a token has, by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(BTreeSet<String>);

/// Why there is no such token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Its name, scope or end.
    #[error("{0}")]
    Invalid(&'static str),
    /// The operator has one of this name.
    #[error("a token has this name already")]
    Taken,
    /// What the database says.
    #[error("MySQL failed")]
    Database(#[from] sqlx::Error),
}

/// A token that holds.
#[derive(Debug, Clone)]
pub struct Found {
    /// Which it is.
    pub id: Uuid,
    /// Whose it is, as the account is now.
    pub operator: Operator,
    /// What it may do of that.
    pub scope: Scope,
}

/// A token as its operator sees it.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Which it is.
    pub id: Uuid,
    /// What its operator calls it.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was used last, to the minute.
    pub seen_at: Option<DateTime<Utc>>,
    /// When it ends, or ended.
    pub ends_at: DateTime<Utc>,
}

impl Scope {
    /// These permissions.
    ///
    /// # Errors
    /// [`TokenError::Invalid`] when there is none.
    pub fn new(names: impl IntoIterator<Item = String>) -> Result<Self, TokenError> {
        let names: BTreeSet<String> = names.into_iter().collect();
        if names.is_empty() {
            return Err(TokenError::Invalid(
                "a token without a permission opens nothing: choose at least one",
            ));
        }
        Ok(Self(names))
    }

    /// Whether the permission with this name is in it.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// All of them, by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    fn stored(&self) -> String {
        self.names().collect::<Vec<_>>().join(" ")
    }

    fn of_stored(text: &str) -> Self {
        Self(text.split_whitespace().map(str::to_owned).collect())
    }
}

/// Makes a token that ends after `ttl`, and gives its secret, which nobody else has. Locks the operator's account.
///
/// # Errors
/// [`TokenError`].
pub async fn create(
    db: &mut MySqlConnection,
    operator: OperatorId,
    name: &str,
    scope: &Scope,
    ttl: Duration,
) -> Result<(Uuid, String), TokenError> {
    if name.is_empty() || name.chars().count() > NAME_AT_MOST || name.chars().any(char::is_control)
    {
        return Err(TokenError::Invalid(
            "a token's name has 1 to 64 characters, none of them a control character",
        ));
    }
    if ttl.is_zero() || ttl > LONGEST {
        return Err(TokenError::Invalid("a token holds for 1 to 366 days"));
    }
    // Two at once are one after the other here, and one that comes after a reset finds that there was one.
    let may = sqlx::query_scalar!(
        r#"select must_change = 0 as "may!: bool" from operators where id = ? for update"#,
        operator
    )
    .fetch_optional(&mut *db)
    .await?;
    if may != Some(true) {
        return Err(TokenError::Invalid(
            "the password was reset meanwhile: log in again",
        ));
    }
    let held = sqlx::query_scalar!(
        "select count(*) from operator_tokens where operator_id = ?",
        operator
    )
    .fetch_one(&mut *db)
    .await?;
    if held >= AT_MOST {
        return Err(TokenError::Invalid(
            "nobody has more than 50 tokens: end one that is not needed any more",
        ));
    }
    let id = Uuid::now_v7();
    let secret = format!(
        "{PREFIX}{:032x}{:032x}",
        rand::random::<u128>(),
        rand::random::<u128>()
    );
    sqlx::query!(
        "insert into operator_tokens (id, operator_id, name, token_hash, scope, created_at, ends_at)
         values (?, ?, ?, ?, ?, utc_timestamp(3), utc_timestamp(3) + interval ? second)",
        id,
        operator,
        name,
        hash(&secret),
        scope.stored(),
        ttl.as_secs()
    )
    .execute(db)
    .await
    .map_err(|cause| match &cause {
        sqlx::Error::Database(refusal) if refusal.is_unique_violation() => TokenError::Taken,
        _ => TokenError::Database(cause),
    })?;
    Ok((id, secret))
}

/// The token with this secret, unless it has ended. That it was used is written down once a minute.
///
/// # Errors
/// What the database says.
pub async fn find(db: &MySqlPool, secret: &str) -> sqlx::Result<Option<Found>> {
    let row = sqlx::query!(
        r#"select t.id as "token: Uuid", t.scope, o.id as "id: OperatorId", o.username, o.role as "role: OperatorRole",
                  o.must_change as "must_change: bool", o.created_at as "created_at: DateTime<Utc>",
                  coalesce(t.seen_at < utc_timestamp(3) - interval 1 minute, 1) as "unseen!: bool"
           from operator_tokens t join operators o on o.id = t.operator_id
           where t.token_hash = ? and t.ends_at > utc_timestamp(3)"#,
        hash(secret)
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if row.unseen {
        sqlx::query!(
            "update operator_tokens set seen_at = utc_timestamp(3) where id = ?",
            row.token
        )
        .execute(db)
        .await?;
    }
    Ok(Some(Found {
        id: row.token,
        operator: Operator {
            id: row.id,
            username: row.username,
            role: row.role,
            must_change: row.must_change,
            created_at: row.created_at,
        },
        scope: Scope::of_stored(&row.scope),
    }))
}

/// An operator's tokens, the newest first; those that ended too.
///
/// # Errors
/// What the database says.
pub async fn list(db: &MySqlPool, operator: OperatorId) -> sqlx::Result<Vec<Listed>> {
    let rows = sqlx::query!(
        r#"select id as "id: Uuid", name, scope, created_at as "created_at: DateTime<Utc>", seen_at as "seen_at: DateTime<Utc>",
                  ends_at as "ends_at: DateTime<Utc>"
           from operator_tokens where operator_id = ? order by id desc"#,
        operator
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Listed {
            id: row.id,
            name: row.name,
            scope: Scope::of_stored(&row.scope),
            created_at: row.created_at,
            seen_at: row.seen_at,
            ends_at: row.ends_at,
        })
        .collect())
}

/// Ends an operator's token and gives its name; nothing where there is none.
///
/// # Errors
/// What the database says.
pub async fn end(
    db: &mut MySqlConnection,
    operator: OperatorId,
    id: Uuid,
) -> sqlx::Result<Option<String>> {
    let name = sqlx::query_scalar!(
        "select name from operator_tokens where operator_id = ? and id = ? for update",
        operator,
        id
    )
    .fetch_optional(&mut *db)
    .await?;
    if name.is_some() {
        sqlx::query!("delete from operator_tokens where id = ?", id)
            .execute(db)
            .await?;
    }
    Ok(name)
}

/// Ends all of an operator's tokens, and says how many those were.
///
/// # Errors
/// What the database says.
pub async fn end_all(db: &mut MySqlConnection, operator: OperatorId) -> sqlx::Result<u64> {
    let ended = sqlx::query!(
        "delete from operator_tokens where operator_id = ?",
        operator
    )
    .execute(db)
    .await?;
    Ok(ended.rows_affected())
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}
