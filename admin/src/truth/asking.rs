//! Asking for a reconcile: looked at first, claimed, audited with the claim.

use super::Seen;
use crate::{
    App,
    access::{Caller, Permission as _, Reconcile},
    audit::{self, Entry, Outcome},
    doubt::{self, Doubt},
    replay::ReplayError,
};
use compensation::{archive, operations};
use uuid::Uuid;

/// Asks for the reconcile of an order and gives the operation's id. Claim and audit are one transaction; what is refused is audited too.
///
/// # Errors
/// [`ReplayError`], whose reasons a claim's are.
pub(super) async fn ask(
    app: &App,
    caller: &Caller,
    order: Uuid,
    reason: Option<&str>,
) -> Result<Uuid, ReplayError> {
    let asked = claimed(app, caller, order, reason).await;
    let Err(refused) = &asked else { return asked };
    let outcome = match refused {
        ReplayError::Database(cause) if Doubt::of(cause).is_some() => return asked,
        ReplayError::Database(_) => Outcome::Failed,
        _ => Outcome::Refused,
    };
    let entry = Entry {
        act: Reconcile::NAME,
        subject: &order.to_string(),
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

async fn claimed(
    app: &App,
    caller: &Caller,
    order: Uuid,
    reason: Option<&str>,
) -> Result<Uuid, ReplayError> {
    let archived = archive::find(&app.db, order)
        .await?
        .ok_or(ReplayError::NotFound)?;
    let seen = Seen::of(app, &archived)
        .await?
        .ok_or(ReplayError::Refused("not_an_order"))?;
    // Whose hands it is in is told by the claim, with who and when.
    match seen.refusal() {
        None | Some("in_hand") => {}
        Some(code) => return Err(ReplayError::Refused(code)),
    }
    let mut tx = app.db.begin().await?;
    let operation =
        operations::claim_reconcile_in(&mut tx, order, &caller.who.name, reason).await?;
    let verdict = seen.verdict.as_str();
    let detail = match reason {
        Some(reason) => format!("operation {operation}, {verdict}: {reason}"),
        None => format!("operation {operation}, {verdict}"),
    };
    let entry = Entry {
        act: Reconcile::NAME,
        subject: &order.to_string(),
        outcome: Outcome::Done,
        detail: &detail,
    };
    audit::record_of(&mut tx, operation, &caller.who, entry).await?;
    doubt::commit(tx).await?;
    Ok(operation)
}
