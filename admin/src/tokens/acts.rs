//! Making and ending them: each act and its line in the audit are one transaction, and what is refused is audited too.

use crate::{
    App,
    access::{Caller, grantable},
    audit::{self, Entry, Outcome},
    doubt,
};
use chrono::{DateTime, TimeDelta, Utc};
use identity::operator_tokens::{self, Scope, TokenError};
use std::time::Duration;
use uuid::Uuid;

/// A token to be made, as it was asked for.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub name: &'a str,
    pub scope: Vec<String>,
    pub days: u32,
}

/// What was made.
#[derive(Debug)]
pub(super) struct Made {
    pub id: Uuid,
    /// Shown once.
    pub secret: String,
    pub ends_at: DateTime<Utc>,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub(super) enum ActError {
    /// A sentence, and whether something is in the way that may change.
    #[error("{sentence}")]
    Refused { sentence: String, conflict: bool },
    #[error("MySQL failed")]
    Database(#[from] sqlx::Error),
}

/// Makes one for the caller.
pub(super) async fn create(app: &App, caller: &Caller, asked: Asked<'_>) -> Result<Made, ActError> {
    let name = asked.name.trim();
    let ttl = Duration::from_hours(24).saturating_mul(asked.days);
    let detail = format!(
        "{name}, for {} d, with {}",
        asked.days,
        asked.scope.join(" ")
    );
    let mut tx = app.db.begin().await?;
    let made = match fit(caller, asked.scope) {
        Ok(scope) => operator_tokens::create(&mut tx, caller.id, name, &scope, ttl).await,
        Err(cause) => Err(cause),
    };
    let (id, secret) = match made {
        Ok(made) => made,
        Err(TokenError::Database(cause)) => return Err(cause.into()),
        Err(cause) => {
            drop(tx);
            return refused(app, caller, cause).await;
        }
    };
    let entry = Entry {
        act: "token.create",
        subject: &caller.who.name,
        outcome: Outcome::Done,
        detail: &detail,
    };
    audit::record(&mut tx, &caller.who, entry).await?;
    doubt::commit(tx).await?;
    let ends_at = Utc::now() + TimeDelta::days(asked.days.into());
    Ok(Made {
        id,
        secret,
        ends_at,
    })
}

/// Ends one of the caller's, and gives its name; nothing where there is none.
pub(super) async fn end(app: &App, caller: &Caller, id: Uuid) -> Result<Option<String>, ActError> {
    let mut tx = app.db.begin().await?;
    let Some(name) = operator_tokens::end(&mut tx, caller.id, id).await? else {
        return Ok(None);
    };
    let entry = Entry {
        act: "token.end",
        subject: &caller.who.name,
        outcome: Outcome::Done,
        detail: &name,
    };
    audit::record(&mut tx, &caller.who, entry).await?;
    doubt::commit(tx).await?;
    Ok(Some(name))
}

/// No more than the caller has, and nothing that is unknown.
fn fit(caller: &Caller, names: Vec<String>) -> Result<Scope, TokenError> {
    let all_known = names.iter().all(|name| {
        grantable().any(|entry| entry.name == name && caller.may_by_name(entry.name, entry.role))
    });
    if !all_known {
        return Err(TokenError::Invalid(
            "a scope has permissions that are known, that you have yourself, and not tokens.manage",
        ));
    }
    Scope::new(names)
}

async fn refused<T>(app: &App, caller: &Caller, cause: TokenError) -> Result<T, ActError> {
    let conflict = matches!(cause, TokenError::Taken);
    let sentence = cause.to_string();
    let entry = Entry {
        act: "token.create",
        subject: &caller.who.name,
        outcome: Outcome::Refused,
        detail: &sentence,
    };
    audit::record_alone(&app.db, &caller.who, entry).await?;
    Err(ActError::Refused { sentence, conflict })
}
