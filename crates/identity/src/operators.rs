//! Operators' accounts in MySQL.
//!
//! What changes one takes a connection, so that the act and its line in the audit commit together. There is always an admin: who
//! would take the last one away is refused, under a lock on all of them.

use crate::{
    OperatorId, OperatorRole,
    credentials::{Invalid, Password, Username},
    lock_outs, operator_sessions, operator_tokens,
    passwords::{self, PasswordError},
};
use chrono::{DateTime, Utc};
use sqlx::{MySqlConnection, MySqlPool};

/// Letters and digits that are not taken for one another.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Of 32 letters each: 100 bits.
const GENERATED_LENGTH: usize = 20;

/// One account.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The account.
    pub id: OperatorId,
    /// Its name.
    pub username: String,
    /// What it may do.
    pub role: OperatorRole,
    /// Whether its password opens nothing but the page that changes it.
    pub must_change: bool,
    /// By the database's clock.
    pub created_at: DateTime<Utc>,
}

/// An account with what its password is checked against.
#[derive(Clone)]
pub struct WithPassword {
    /// The account.
    pub operator: Operator,
    /// Argon2, in PHC form.
    pub password_hash: String,
}

/// An account to be made: its name and password are fit, and the slow part is done.
#[derive(Clone)]
pub struct NewOperator {
    username: Username,
    password: NewPassword,
    role: OperatorRole,
}

/// A password to be stored.
#[derive(Clone)]
pub struct NewPassword {
    hash: String,
    must_change: bool,
}

/// Why there is no account or password like this.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// Name or password are not what they must be.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Another operator has the name.
    #[error("the user name is taken")]
    Taken,
    /// There is no such operator.
    #[error("there is no such operator")]
    NotFound,
    /// Nobody would be left to make operators.
    #[error("the last admin cannot be taken away")]
    LastAdmin,
    /// The password could not be hashed.
    #[error("the password could not be hashed")]
    Password(#[source] PasswordError),
    /// The database did not take it.
    #[error("the operator could not be stored")]
    Database(#[from] sqlx::Error),
}

impl NewPassword {
    /// A password its owner chose.
    ///
    /// # Errors
    /// [`OperatorError::Invalid`], [`OperatorError::Password`].
    pub async fn chosen(password: &str) -> Result<Self, OperatorError> {
        Ok(Self {
            hash: hashed(password).await?,
            must_change: false,
        })
    }

    /// A password made here, which its owner must change, with its text to be shown once.
    ///
    /// # Errors
    /// [`OperatorError::Password`].
    pub async fn generated() -> Result<(Self, String), OperatorError> {
        let bytes: [u8; GENERATED_LENGTH] = rand::random();
        let text: String = bytes
            .iter()
            .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
            .collect();
        let password = Self {
            hash: hashed(&text).await?,
            must_change: true,
        };
        Ok((password, text))
    }
}

async fn hashed(password: &str) -> Result<String, OperatorError> {
    passwords::hash(&Password::parse(password)?)
        .await
        .map_err(OperatorError::Password)
}

impl NewOperator {
    /// An account with this name.
    ///
    /// # Errors
    /// [`OperatorError::Invalid`].
    pub fn new(
        username: &str,
        password: NewPassword,
        role: OperatorRole,
    ) -> Result<Self, OperatorError> {
        Ok(Self {
            username: Username::parse(username)?,
            password,
            role,
        })
    }
}

/// Makes an account.
///
/// # Errors
/// [`OperatorError::Taken`], [`OperatorError::Database`].
pub async fn create(
    db: &mut MySqlConnection,
    new: &NewOperator,
) -> Result<OperatorId, OperatorError> {
    let id = OperatorId::fresh();
    sqlx::query!(
        "insert into operators (id, username, password_hash, role, must_change, created_at) values (?, ?, ?, ?, ?, utc_timestamp(3))",
        id,
        new.username.as_str(),
        new.password.hash,
        new.role.as_str(),
        new.password.must_change
    )
    .execute(db)
    .await
    .map_err(|cause| match &cause {
        sqlx::Error::Database(refusal) if refusal.is_unique_violation() => OperatorError::Taken,
        _ => OperatorError::Database(cause),
    })?;
    Ok(id)
}

/// Whether there is any operator.
///
/// # Errors
/// What the database says.
pub async fn any(db: &MySqlPool) -> sqlx::Result<bool> {
    let one = sqlx::query!("select id from operators limit 1")
        .fetch_optional(db)
        .await?;
    Ok(one.is_some())
}

/// The account with this name, in the spelling the database takes for it.
///
/// # Errors
/// What the database says.
pub async fn find_by_name(db: &MySqlPool, username: &str) -> sqlx::Result<Option<WithPassword>> {
    let row = sqlx::query!(
        r#"select id as "id: OperatorId", username, password_hash, role as "role: OperatorRole", must_change as "must_change: bool",
                  created_at as "created_at: DateTime<Utc>" from operators where username = ?"#,
        username
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| WithPassword {
        operator: Operator {
            id: row.id,
            username: row.username,
            role: row.role,
            must_change: row.must_change,
            created_at: row.created_at,
        },
        password_hash: row.password_hash,
    }))
}

/// The account, if it is still there.
///
/// # Errors
/// What the database says.
pub async fn find(db: &mut MySqlConnection, id: OperatorId) -> sqlx::Result<Option<Operator>> {
    sqlx::query_as!(
        Operator,
        r#"select id as "id: OperatorId", username, role as "role: OperatorRole", must_change as "must_change: bool",
                  created_at as "created_at: DateTime<Utc>" from operators where id = ?"#,
        id
    )
    .fetch_optional(db)
    .await
}

/// All of them, by name.
///
/// # Errors
/// What the database says.
pub async fn list(db: &MySqlPool) -> sqlx::Result<Vec<Operator>> {
    sqlx::query_as!(
        Operator,
        r#"select id as "id: OperatorId", username, role as "role: OperatorRole", must_change as "must_change: bool",
                  created_at as "created_at: DateTime<Utc>" from operators order by username"#
    )
    .fetch_all(db)
    .await
}

/// Gives a role. It holds from the operator's next request on. Locks all admins.
///
/// # Errors
/// [`OperatorError::NotFound`], [`OperatorError::LastAdmin`], [`OperatorError::Database`].
pub async fn set_role(
    db: &mut MySqlConnection,
    id: OperatorId,
    role: OperatorRole,
) -> Result<(), OperatorError> {
    if role != OperatorRole::Admin {
        another_admin_stays(db, id).await?;
    }
    find(db, id).await?.ok_or(OperatorError::NotFound)?;
    sqlx::query!(
        "update operators set role = ? where id = ?",
        role.as_str(),
        id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Gives a password, and ends every log-in made with the one before.
///
/// # Errors
/// [`OperatorError::NotFound`], [`OperatorError::Database`].
pub async fn set_password(
    db: &mut MySqlConnection,
    id: OperatorId,
    password: &NewPassword,
) -> Result<(), OperatorError> {
    find(db, id).await?.ok_or(OperatorError::NotFound)?;
    sqlx::query!(
        "update operators set password_hash = ?, must_change = ? where id = ?",
        password.hash,
        password.must_change,
        id
    )
    .execute(&mut *db)
    .await?;
    operator_sessions::end_all(db, id).await?;
    Ok(())
}

/// Removes an account and ends its log-ins and tokens. What it did stays in the audit under its name. Locks all admins.
///
/// # Errors
/// [`OperatorError::NotFound`], [`OperatorError::LastAdmin`], [`OperatorError::Database`].
pub async fn remove(db: &mut MySqlConnection, id: OperatorId) -> Result<(), OperatorError> {
    another_admin_stays(db, id).await?;
    let removed = sqlx::query!("delete from operators where id = ?", id)
        .execute(&mut *db)
        .await?;
    if removed.rows_affected() == 0 {
        return Err(OperatorError::NotFound);
    }
    operator_tokens::end_all(&mut *db, id).await?;
    lock_outs::forget(&mut *db, id).await?;
    operator_sessions::end_all(db, id).await?;
    Ok(())
}

/// Two admins who take each other away at once are one after the other here.
async fn another_admin_stays(
    db: &mut MySqlConnection,
    id: OperatorId,
) -> Result<(), OperatorError> {
    let admins = sqlx::query_scalar!(
        r#"select id as "id: OperatorId" from operators where role = 'admin' order by id for update"#
    )
    .fetch_all(db)
    .await?;
    if admins == [id] {
        return Err(OperatorError::LastAdmin);
    }
    Ok(())
}
