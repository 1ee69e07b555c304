//! The retry policy: looked at, tried out on paper, changed. A change is a new version and its line in the audit, in one transaction;
//! it names the version it was made from, so that nobody overwrites what they have not seen. What is refused is audited too.
//!
//! What may be in it, and what comes of it, is the crate `compensation`'s to say.

pub(crate) mod api;
mod differences;
mod fields;
pub(crate) mod page;

use crate::{
    App,
    access::Caller,
    audit::{self, Entry, Outcome},
    doubt::{self, Doubt},
};
use compensation::policy::{
    BadTerms, Policy, Terms,
    stored::{self, Changed, REASON_AT_MOST, ReadError, Version},
};
use differences::differences;

/// The act, and what it is done to, in the audit.
const ACT: &str = "policy.change";
const SUBJECT: &str = "retry_policy";

/// Why the policy was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("{0}")]
    Bad(#[from] BadTerms),
    #[error("{0}")]
    Reason(&'static str),
    #[error(
        "{by} made version {current} meanwhile: look at it, and make the change again from there"
    )]
    Meanwhile { current: u32, by: String },
    #[error("it cannot be read")]
    Read(#[from] ReadError),
}

impl From<sqlx::Error> for ChangeError {
    fn from(cause: sqlx::Error) -> Self {
        Self::Read(cause.into())
    }
}

/// Makes `terms` rule instead of version `from`, and gives what rules now.
///
/// # Errors
/// [`ChangeError`]; nothing was changed.
async fn change(
    app: &App,
    caller: &Caller,
    from: u32,
    terms: Terms,
    reason: &str,
) -> Result<Version, ChangeError> {
    let refused = match changed(app, caller, from, terms, reason).await {
        Err(refused) if !matches!(refused, ChangeError::Read(_)) => refused,
        done => return done,
    };
    let entry = Entry {
        act: ACT,
        subject: SUBJECT,
        outcome: Outcome::Refused,
        detail: &refused.to_string(),
    };
    audit::record_alone(&app.db, &caller.who, entry).await?;
    Err(refused)
}

async fn changed(
    app: &App,
    caller: &Caller,
    from: u32,
    terms: Terms,
    reason: &str,
) -> Result<Version, ChangeError> {
    let reason = checked(reason).map_err(ChangeError::Reason)?;
    let policy = Policy::try_from(terms)?;
    let before = stored::current(&app.db).await?;
    let mut tx = app.db.begin().await?;
    let Changed::Now(version) =
        stored::change(&mut tx, from, &policy, &caller.who.name, reason).await?
    else {
        drop(tx);
        let newest = stored::current(&app.db).await?;
        return Err(ChangeError::Meanwhile {
            current: newest.version,
            by: newest.changed_by,
        });
    };
    let what = differences(before.policy.terms(), policy.terms()).join(", ");
    let entry = Entry {
        act: ACT,
        subject: SUBJECT,
        outcome: Outcome::Done,
        detail: &format!("version {version}: {what}; {reason}"),
    };
    audit::record(&mut tx, &caller.who, entry).await?;
    doubt::commit(tx).await?;
    stored::current(&app.db).await.map_err(|cause| match cause {
        ReadError::Database(_) => ChangeError::from(Doubt::WasDone.error()),
        other => other.into(),
    })
}

fn checked(reason: &str) -> Result<&str, &'static str> {
    let reason = reason.trim();
    match reason.chars().count() {
        0 => Err("reason is missing: who looks at the history later wants to know why"),
        1..=REASON_AT_MOST => Ok(reason),
        _ => Err("reason must have at most 500 characters"),
    }
}
