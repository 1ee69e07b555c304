//! What operators say of a group. Each change has its line in the audit, in its own transaction; what is refused has one too.

use crate::{
    App,
    access::{Caller, MarkGroup, Permission as _},
    audit::{self, Entry, Outcome},
    doubt,
};
use compensation::{
    archive::marks::{self, Assignee, Change, Marked, NotMarked, Status},
    fingerprint::Fingerprint,
};
use identity::operators;

/// Says it.
///
/// # Errors
/// [`NotMarked`]; nothing was changed.
pub(super) async fn mark(
    app: &App,
    caller: &Caller,
    group: Fingerprint,
    change: &Change,
) -> Result<(), NotMarked> {
    let mut change = change.clone();
    if let Assignee::To(name) = &mut change.assignee {
        let Some(found) = operators::find_by_name(&app.db, name).await? else {
            let unknown = NotMarked::Bad("there is no operator of this name");
            return refused(app, caller, group, unknown).await;
        };
        // Letters count alike, large or small: as the account has it.
        *name = found.operator.username;
    }
    let change = &change;
    let mut tx = app.db.begin().await?;
    let (before, now) = match marks::mark(&mut tx, group, change, &caller.who.name).await {
        Ok(Marked::Now { before, now }) => (before, now),
        // A second click is no second act.
        Ok(Marked::Before) => return Ok(()),
        Err(cause) => {
            drop(tx);
            return refused(app, caller, group, cause).await;
        }
    };
    let detail = told(&before, &now, change.reason.trim());
    let entry = Entry {
        act: MarkGroup::NAME,
        subject: &group.to_string(),
        outcome: Outcome::Done,
        detail: &detail,
    };
    audit::record(&mut tx, &caller.who, entry).await?;
    doubt::commit(tx).await?;
    Ok(())
}

/// Why not, for people, with who and when.
pub(super) fn sentence(refused: &NotMarked) -> String {
    match refused {
        NotMarked::Meanwhile { by, at } => format!(
            "{by} changed it at {} UTC, after this was shown; look again",
            at.format("%Y-%m-%d %H:%M:%S")
        ),
        other => other.to_string(),
    }
}

type Said = (Status, Option<String>);

fn told(before: &Said, now: &Said, reason: &str) -> String {
    let nobody = |name: &Option<String>| name.clone().unwrap_or_else(|| "nobody".to_owned());
    let mut parts = Vec::new();
    if before.0 != now.0 {
        parts.push(format!("{} after {}", now.0, before.0));
    }
    if before.1 != now.1 {
        parts.push(format!("looked after by {}", nobody(&now.1)));
    }
    let what = parts.join(", ");
    if reason.is_empty() {
        what
    } else {
        format!("{what}: {reason}")
    }
}

async fn refused(
    app: &App,
    caller: &Caller,
    group: Fingerprint,
    cause: NotMarked,
) -> Result<(), NotMarked> {
    if matches!(cause, NotMarked::NotFound | NotMarked::Database(_)) {
        return Err(cause);
    }
    let entry = Entry {
        act: MarkGroup::NAME,
        subject: &group.to_string(),
        outcome: Outcome::Refused,
        detail: &sentence(&cause),
    };
    audit::record_alone(&app.db, &caller.who, entry).await?;
    Err(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_with_what_was_before_and_why() {
        let open = (Status::Open, None);
        let ann = (Status::Ignored, Some("ann".to_owned()));
        assert_eq!(
            told(&open, &ann, "known"),
            "ignored after open, looked after by ann: known"
        );
        assert_eq!(
            told(&ann, &(Status::Ignored, None), ""),
            "looked after by nobody"
        );
    }
}
