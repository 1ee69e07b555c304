//! Accounts in MySQL. Names and addresses differ or not as the column's collation says: `Bob` and `bob` are one.

use crate::{
    Role, UserId,
    credentials::{Email, Invalid, Password, Username},
    passwords::{self, PasswordError},
};
use chrono::{DateTime, SubsecRound as _, Utc};
use sqlx::MySqlPool;

/// One account.
#[derive(Clone)]
pub struct User {
    /// The account.
    pub id: UserId,
    /// Its name.
    pub username: String,
    /// Where its owner can be reached. Never logged.
    pub email: String,
    /// Argon2, in PHC form.
    pub password_hash: String,
    /// What kind of account it is.
    pub role: Role,
    /// By the clock of the process that made it.
    pub created_at: DateTime<Utc>,
}

/// An account to be made; nothing is checked yet.
#[derive(Clone, Copy)]
pub struct NewUser<'a> {
    /// See [`Username`].
    pub username: &'a str,
    /// See [`Email`].
    pub email: &'a str,
    /// See [`Password`].
    pub password: &'a str,
    /// What kind of account it will be.
    pub role: Role,
}

/// Why no account was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Name, address or password are not what they must be.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Another account has the name or the address.
    #[error("the user name or e-mail address is taken")]
    Taken,
    /// The password could not be hashed.
    #[error("the password could not be hashed")]
    Password(#[source] PasswordError),
    /// The database did not take it; it may have it all the same.
    #[error("the account could not be stored")]
    Database(#[source] sqlx::Error),
}

/// Makes an account.
///
/// # Errors
/// [`CreateError`].
pub async fn create(db: &MySqlPool, new: NewUser<'_>) -> Result<User, CreateError> {
    let (username, email) = (Username::parse(new.username)?, Email::parse(new.email)?);
    let password = Password::parse(new.password)?;
    let user = User {
        id: UserId::fresh(),
        username: username.as_str().to_owned(),
        email: email.as_str().to_owned(),
        password_hash: passwords::hash(&password)
            .await
            .map_err(CreateError::Password)?,
        role: new.role,
        created_at: Utc::now().trunc_subsecs(3),
    };
    sqlx::query!(
        "insert into users (id, username, email, password_hash, role, created_at) values (?, ?, ?, ?, ?, ?)",
        user.id,
        user.username,
        user.email,
        user.password_hash,
        user.role.as_str(),
        user.created_at
    )
    .execute(db)
    .await
    .map_err(|cause| match &cause {
        sqlx::Error::Database(refusal) if refusal.is_unique_violation() => CreateError::Taken,
        _ => CreateError::Database(cause),
    })?;
    Ok(user)
}

/// The account with this user name or, when there is an `@` in it, this e-mail address.
///
/// # Errors
/// What the database says.
pub async fn find_by_login(db: &MySqlPool, login: &str) -> sqlx::Result<Option<User>> {
    if login.contains('@') {
        sqlx::query_as!(
            User,
            r#"select id as "id: UserId", username, email, password_hash, role as "role: Role",
                      created_at as "created_at: DateTime<Utc>" from users where email = ?"#,
            login
        )
        .fetch_optional(db)
        .await
    } else {
        sqlx::query_as!(
            User,
            r#"select id as "id: UserId", username, email, password_hash, role as "role: Role",
                      created_at as "created_at: DateTime<Utc>" from users where username = ?"#,
            login
        )
        .fetch_optional(db)
        .await
    }
}

/// The account, if it is still there.
///
/// # Errors
/// What the database says.
pub async fn find(db: &MySqlPool, user: UserId) -> sqlx::Result<Option<User>> {
    sqlx::query_as!(
        User,
        r#"select id as "id: UserId", username, email, password_hash, role as "role: Role",
                  created_at as "created_at: DateTime<Utc>" from users where id = ?"#,
        user
    )
    .fetch_optional(db)
    .await
}
