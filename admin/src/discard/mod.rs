//! Having one archived row given up for good: an order that is not to be tried again, or a message that is none. With a reason, always.

pub(crate) mod api;
pub(crate) mod page;
mod preview;

pub(crate) use preview::Preview;

use crate::{
    App,
    access::{Caller, Discard, Permission as _},
    audit::{self, Entry, Outcome},
    doubt::{self, Doubt},
    replay::{Looked, ReplayError},
};
use compensation::{archive, operations};
use uuid::Uuid;

/// Asks for it and gives the operation's id. Claim and audit are one transaction; what is refused is audited too.
///
/// # Errors
/// [`ReplayError`], whose reasons a claim's are.
pub(super) async fn ask(
    app: &App,
    caller: &Caller,
    id: Uuid,
    reason: &str,
) -> Result<Uuid, ReplayError> {
    let asked = claimed(app, caller, id, reason).await;
    let Err(refused) = &asked else { return asked };
    let outcome = match refused {
        ReplayError::Database(cause) if Doubt::of(cause).is_some() => return asked,
        ReplayError::Database(_) => Outcome::Failed,
        _ => Outcome::Refused,
    };
    let entry = Entry {
        act: Discard::NAME,
        subject: &id.to_string(),
        outcome,
        detail: refused.code(),
    };
    let audited = audit::record_alone(&app.db, &caller.who, entry).await;
    // A database that is away has been told of once.
    if outcome == Outcome::Refused {
        audited?;
    }
    asked
}

async fn claimed(app: &App, caller: &Caller, id: Uuid, reason: &str) -> Result<Uuid, ReplayError> {
    let archived = archive::find(&app.db, id)
        .await?
        .ok_or(ReplayError::NotFound)?;
    let looked = Looked::at(app, &archived, None).await?;
    // Whose hands it is in is told by the claim, with who and when.
    match Preview::of(&archived, &looked).refusal {
        None | Some("replaying") => {}
        Some(code) => return Err(ReplayError::Refused(code)),
    }
    let mut tx = app.db.begin().await?;
    let operation = operations::claim_discard_in(&mut tx, id, &caller.who.name, reason).await?;
    let entry = Entry {
        act: Discard::NAME,
        subject: &id.to_string(),
        outcome: Outcome::Done,
        detail: &format!("operation {operation}: {reason}"),
    };
    audit::record_of(&mut tx, operation, &caller.who, entry).await?;
    doubt::commit(tx).await?;
    Ok(operation)
}

/// The reason as it is stored: one there must be.
pub(crate) fn reason(text: Option<&str>) -> Result<&str, &'static str> {
    crate::replay::reason(text)?.ok_or("a reason is needed")
}
