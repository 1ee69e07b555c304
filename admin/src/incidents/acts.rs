//! What operators do with incidents. Each act has its line in the audit, in its own transaction; what is refused has one too.

use crate::{
    App,
    access::Caller,
    audit::{self, Entry, Outcome},
    doubt,
};
use compensation::alerts::incidents::{self, Act, Done, NotDone, State};
use identity::operators;
use uuid::Uuid;

/// Does it.
///
/// # Errors
/// [`NotDone`]; nothing was done.
pub(super) async fn act(app: &App, caller: &Caller, id: Uuid, what: &Act) -> Result<Done, NotDone> {
    if let Act::Assign(Some(name)) = what {
        let known = operators::find_by_name(&app.db, name).await?;
        if known.is_none() {
            let unknown = NotDone::Bad("there is no operator of this name");
            return refused(app, caller, id, what, unknown).await;
        }
    }
    let mut tx = app.db.begin().await?;
    let state = match incidents::act(&mut tx, id, what, &caller.who.name).await {
        Ok(Done::Now(state)) => state,
        // A second click is no second act.
        Ok(Done::Before(state)) => return Ok(Done::Before(state)),
        Err(cause) => {
            drop(tx);
            return refused(app, caller, id, what, cause).await;
        }
    };
    let subject = id.to_string();
    let entry = Entry {
        act: &name(what),
        subject: &subject,
        outcome: Outcome::Done,
        detail: &detail(what, state),
    };
    audit::record(&mut tx, &caller.who, entry).await?;
    doubt::commit(tx).await?;
    Ok(Done::Now(state))
}

/// Why not, for people, with who and when.
pub(super) fn sentence(refused: &NotDone) -> String {
    let NotDone::NotNow { state, by, since } = refused else {
        return refused.to_string();
    };
    let who = by.as_deref().map(|by| format!(" by {by}"));
    let since = since.map(|at| format!(" since {} UTC", at.format("%Y-%m-%d %H:%M:%S")));
    format!(
        "it is {state}{}{}",
        who.unwrap_or_default(),
        since.unwrap_or_default()
    )
}

fn name(what: &Act) -> String {
    format!("incident.{}", what.as_str())
}

fn detail(what: &Act, state: State) -> String {
    match what {
        Act::Acknowledge | Act::Unsilence => format!("it is {state}"),
        Act::Assign(Some(to)) => format!("to {to}"),
        Act::Assign(None) => "to nobody".to_owned(),
        Act::Silence { during, reason } => {
            format!("for {} min: {}", during.as_secs() / 60, reason.trim())
        }
        Act::Close { reason } => reason.trim().to_owned(),
    }
}

async fn refused(
    app: &App,
    caller: &Caller,
    id: Uuid,
    what: &Act,
    cause: NotDone,
) -> Result<Done, NotDone> {
    if matches!(cause, NotDone::NotFound | NotDone::Database(_)) {
        return Err(cause);
    }
    let subject = id.to_string();
    let entry = Entry {
        act: &name(what),
        subject: &subject,
        outcome: Outcome::Refused,
        detail: &sentence(&cause),
    };
    audit::record_alone(&app.db, &caller.who, entry).await?;
    Err(cause)
}
