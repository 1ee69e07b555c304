//! Logging in and out, in a browser and from a script.

pub(crate) mod api;
pub(crate) mod page;

use crate::{
    App,
    access::{Caller, Who},
    audit::{self, Entry, Outcome},
    metrics,
};
use ::metrics::counter;
use chrono::Utc;
use identity::{
    OperatorId,
    lock_outs::{self, Try},
    operator_sessions::{self, SessionKind},
    operators::{self, WithPassword},
    passwords::{self, PasswordError},
};
use std::time::Duration;

/// Longer ones belong to nobody, and need not be remembered among failed log-ins.
const NAME_AT_MOST: usize = 64;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogInError {
    #[error("there is no such operator, or the password is wrong")]
    BadCredentials,
    /// How long to wait.
    #[error("too many attempts to log in as this operator")]
    Throttled(Duration),
    #[error("a password could not be checked")]
    Password(#[from] PasswordError),
    #[error("MySQL failed")]
    Database(#[from] sqlx::Error),
}

impl LogInError {
    /// For the metric.
    const fn outcome(&self) -> &'static str {
        match self {
            Self::BadCredentials => "bad_credentials",
            Self::Throttled(_) => "throttled",
            Self::Password(_) | Self::Database(_) => "failed",
        }
    }
}

/// Logs in, and gives the secret of the log-in. After five wrong passwords each further try waits, twice as long as the one before.
pub(crate) async fn log_in(
    app: &App,
    from: &Who,
    username: &str,
    password: &str,
    kind: SessionKind,
) -> Result<String, LogInError> {
    let outcome = opened(app, from, username, password, kind).await;
    let label = outcome.as_ref().map_or_else(LogInError::outcome, |_| "ok");
    counter!(metrics::LOG_INS_TOTAL, "outcome" => label).increment(1);
    outcome
}

async fn opened(
    app: &App,
    from: &Who,
    username: &str,
    password: &str,
    kind: SessionKind,
) -> Result<String, LogInError> {
    let found = if username.chars().count() > NAME_AT_MOST {
        None
    } else {
        operators::find_by_name(&app.db, username).await?
    };
    let tried = match &found {
        Some(found) => begin(app, found.operator.id).await?,
        None => app
            .unknown_names
            .begin(&username.to_lowercase(), Utc::now()),
    };
    if let Try::Wait(wait) = tried {
        return Err(LogInError::Throttled(wait));
    }
    let hash = found.as_ref().map(|found| found.password_hash.as_str());
    // Takes as long for an operator who is not there.
    let right = passwords::verify(password, hash).await?;
    match found {
        Some(found) if right => open(app, from, found, kind).await,
        found => {
            wrong(app, from, found).await?;
            Err(LogInError::BadCredentials)
        }
    }
}

/// Counts a try, also that of somebody logged in who shows the password again.
pub(crate) async fn begin(app: &App, operator: OperatorId) -> sqlx::Result<Try> {
    lock_outs::begin(&mut *app.db.acquire().await?, operator).await
}

async fn open(
    app: &App,
    from: &Who,
    found: WithPassword,
    kind: SessionKind,
) -> Result<String, LogInError> {
    let who = Who {
        name: found.operator.username,
        role: Some(found.operator.role),
        address: from.address.clone(),
    };
    let mut tx = app.db.begin().await?;
    lock_outs::forget(&mut tx, found.operator.id).await?;
    let secret = operator_sessions::open(&mut tx, found.operator.id, kind, app.session_ttl).await?;
    let entry = Entry {
        act: "session.open",
        subject: &who.name,
        outcome: Outcome::Done,
        detail: how(kind),
    };
    audit::record(&mut tx, &who, entry).await?;
    tx.commit().await?;
    Ok(secret)
}

/// A name that nobody has is not written down: it may be a password in the wrong field.
async fn wrong(app: &App, from: &Who, found: Option<WithPassword>) -> sqlx::Result<()> {
    let (subject, detail) = match &found {
        Some(found) => (found.operator.username.as_str(), "wrong password"),
        None => ("", "no such operator"),
    };
    let entry = Entry {
        act: "session.open",
        subject,
        outcome: Outcome::Denied,
        detail,
    };
    audit::record_alone(&app.db, from, entry).await
}

/// Logs out.
pub(crate) async fn log_out(app: &App, caller: &Caller) -> sqlx::Result<()> {
    let mut tx = app.db.begin().await?;
    operator_sessions::end(&mut tx, &caller.secret).await?;
    let entry = Entry {
        act: "session.end",
        subject: &caller.who.name,
        outcome: Outcome::Done,
        detail: how(caller.kind),
    };
    audit::record(&mut tx, &caller.who, entry).await?;
    tx.commit().await
}

const fn how(kind: SessionKind) -> &'static str {
    match kind {
        SessionKind::Web => "in a browser",
        SessionKind::Bearer => "by a script",
    }
}
