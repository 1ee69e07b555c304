//! Having an archived order tried again: [looked at](Preview) first, claimed, audited with the claim.

pub(crate) mod api;
mod looked;
pub(crate) mod page;
mod preview;

pub(crate) use looked::Looked;
pub(crate) use preview::{Check, Preview};

use crate::{
    App,
    access::Caller,
    archives::refusal_sentence,
    audit::{self, Entry, Outcome},
    doubt::{self, Doubt},
    metrics,
};
use ::metrics::counter;
use chrono::{DateTime, Utc};
use compensation::{
    archive,
    operations::{self, Kind as Act, ReplayRefused},
};
use uuid::Uuid;

/// The column has so many.
pub(crate) const REASON_AT_MOST: usize = 500;

/// Why a replay was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    #[error("there is nothing archived under this id")]
    NotFound,
    #[error("it is {} by {by}", kind.being_done())]
    InHand {
        operation_id: Uuid,
        kind: Act,
        by: String,
        since: DateTime<Utc>,
    },
    /// It would fail again, or there is nothing to do: the code says which.
    #[error("refused: {0}")]
    Refused(&'static str),
    #[error("MySQL failed")]
    Database(#[from] sqlx::Error),
}

impl ReplayError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::InHand { kind, .. } => kind.doing(),
            Self::Refused(code) => code,
            Self::Database(_) => "unavailable",
        }
    }

    /// For people: what is in somebody's hands is told with who and when.
    pub fn sentence(&self) -> String {
        match self {
            Self::InHand {
                operation_id,
                kind,
                by,
                since,
            } => format!(
                "{by} is {} it since {} UTC (operation {operation_id}).",
                kind.doing(),
                since.format("%H:%M:%S")
            ),
            other => refusal_sentence(other.code()),
        }
    }
}

impl From<ReplayRefused> for ReplayError {
    fn from(refused: ReplayRefused) -> Self {
        match refused {
            ReplayRefused::NotFound => Self::NotFound,
            ReplayRefused::InHand {
                operation_id,
                kind,
                by,
                since,
            } => Self::InHand {
                operation_id,
                kind,
                by,
                since,
            },
            ReplayRefused::AlreadyResolved => Self::Refused("already_resolved"),
            ReplayRefused::NotAnOrder => Self::Refused("not_an_order"),
            ReplayRefused::NoSuchVersion(_) => Self::Refused("no_such_version"),
            ReplayRefused::HeldAsItIs => Self::Refused("held_as_it_is"),
            ReplayRefused::Database(cause) => Self::Database(cause),
        }
    }
}

/// Asks for the replay of an order, of one version of its message, or of the newest, and gives the operation's id. Claim and audit are one transaction; what is refused is audited too.
///
/// # Errors
/// [`ReplayError`].
pub(crate) async fn ask(
    app: &App,
    caller: &Caller,
    order: Uuid,
    version: Option<u32>,
    reason: Option<&str>,
) -> Result<Uuid, ReplayError> {
    let asked = claimed(app, caller, order, version, reason).await;
    let label = asked.as_ref().map_or_else(ReplayError::code, |_| "taken");
    counter!(metrics::REPLAYS_TOTAL, "outcome" => label).increment(1);
    if let Err(refused) = &asked {
        let outcome = match refused {
            ReplayError::Database(_) => Outcome::Failed,
            _ => Outcome::Refused,
        };
        let entry = Entry {
            act: "order.replay",
            subject: &order.to_string(),
            outcome,
            detail: refused.code(),
        };
        if let ReplayError::Database(cause) = refused
            && Doubt::of(cause).is_some()
        {
            return asked;
        }
        let audited = audit::record_alone(&app.db, &caller.who, entry).await;
        // A database that is away has been told of once; what may have been done has its line with it.
        if outcome == Outcome::Refused {
            audited?;
        }
    }
    asked
}

async fn claimed(
    app: &App,
    caller: &Caller,
    order: Uuid,
    version: Option<u32>,
    reason: Option<&str>,
) -> Result<Uuid, ReplayError> {
    let archived = archive::find(&app.db, order)
        .await?
        .ok_or(ReplayError::NotFound)?;
    let looked = Looked::at(app, &archived, version).await?;
    // What is under way is told by the claim, with who and when.
    match Preview::of(&archived, &looked).refusal {
        None | Some("replaying") => {}
        Some(code) => return Err(ReplayError::Refused(code)),
    }
    let mut tx = app.db.begin().await?;
    // The one that was looked at, also where somebody made the first edit since: what came is version 0.
    let version = looked.version();
    let taken = (!archived.held).then(|| version.unwrap_or(0));
    let by = &caller.who.name;
    let operation = operations::claim_version_in(&mut tx, order, taken, by, reason).await?;
    let version = version.map_or_else(String::new, |version| format!(", version {version}"));
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let detail = format!("operation {operation}{version}{reason}");
    let entry = Entry {
        act: "order.replay",
        subject: &order.to_string(),
        outcome: Outcome::Done,
        detail: &detail,
    };
    audit::record_of(&mut tx, operation, &caller.who, entry).await?;
    doubt::commit(tx).await?;
    Ok(operation)
}

/// The reason as it is stored: none when nothing was written.
pub(crate) fn reason(text: Option<&str>) -> Result<Option<&str>, &'static str> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    match text {
        Some(text) if text.chars().count() > REASON_AT_MOST => {
            Err("a reason may have 500 characters")
        }
        other => Ok(other),
    }
}
