//! The words of alerts about orders, dead letters and transactions. Ids only: an alert leaves the house.

use super::Tools;
use compensation::{
    alerts::{Alert, Severity, incidents, record},
    archive::transaction::StuckTransaction,
    fingerprint::{Cause, Fingerprint},
    queue::Claimed,
};
use sqlx::MySqlConnection;
use uuid::Uuid;

/// Of an error so much is told, in characters.
const ERROR_AT_MOST: usize = 300;

impl Tools {
    /// Writes an alert in the caller's transaction: people are told if, and only if, that commits.
    pub(super) async fn tell(&self, db: &mut MySqlConnection, alert: &Alert) -> sqlx::Result<()> {
        record(db, alert).await
    }
}

/// An order's retries are used up, or it failed as a dead letter.
pub(super) fn dead_letter(work: &Claimed, attempts: u32, error: &str) -> Alert {
    of_order(
        Alert::new(
            "dead_letter",
            Severity::Warning,
            &work.order_id.to_string(),
            &format!(
                "Order {} is a dead letter after {attempts} tries",
                work.order_id
            ),
        ),
        work,
        error,
    )
    .fact("tries", attempts)
    .text("It is tried again by itself. Its units stay held.")
    .once(&occasion(work))
    .group(&incidents::dead_letter_group(
        Cause::of("decide", None, error).fingerprint(),
    ))
}

/// An order was given up, for this cause.
pub(super) fn archived(work: &Claimed, cause: Fingerprint, held: bool) -> Alert {
    let error = work.error.as_deref().unwrap_or_default();
    of_order(
        Alert::new(
            "archived",
            Severity::Urgent,
            &work.order_id.to_string(),
            &format!("Order {} was given up and archived", work.order_id),
        ),
        work,
        error,
    )
    .fact("tries", work.history.tries())
    .text(if held {
        "Its units stay held until it is replayed in the admin."
    } else {
        "Its units can be bought again. Look at it in the admin, and replay it there."
    })
    .once(&occasion(work))
    .group(&incidents::archived_group(cause))
}

/// An order could not even be given up. Those that fail alike are one incident.
pub(super) fn cannot_archive(work: &Claimed, error: &str) -> Alert {
    of_order(
        Alert::new(
            "archive_failed",
            Severity::Urgent,
            &work.order_id.to_string(),
            &format!("Order {} cannot be given up", work.order_id),
        ),
        work,
        error,
    )
    .text("It is tried again by itself, at growing intervals.")
    .once(&work.gid.to_string())
    .group(&group_of("archive_failed", error))
}

/// A message that is no order was archived, for this cause.
pub(super) fn no_order(id: Uuid, cause: Fingerprint, place: &str) -> Alert {
    Alert::new(
        "archived",
        Severity::Urgent,
        &id.to_string(),
        "A message that is no order was archived",
    )
    .fact("lay at", place)
    .text("It is kept as it came. Whoever wrote it has to look.")
    .once("")
    .group(&incidents::archived_group(cause))
}

/// A transaction is stuck and was archived under `id`. Raised anew each time: the caller's transaction keeps it from being doubled. Those
/// that got stuck alike are one incident.
pub(super) fn stuck(id: Uuid, known: &StuckTransaction) -> Alert {
    let title = format!("Transaction {} is stuck", known.gid);
    let alert = Alert::new(
        "transaction_stuck",
        Severity::Urgent,
        &id.to_string(),
        &title,
    )
    .fact("transaction", known.gid)
    .fact("kind", &known.kind)
    .fact("label", known.label)
    .fact("state", &known.state)
    .fact("tries", known.attempts);
    let alert = known.uncompensated.iter().fold(alert, |alert, one| {
        let error = one.last_error.as_deref().map(shown).unwrap_or_default();
        alert.fact(
            "not done",
            format!("{}: {} {error}", one.participant, one.state).trim_end(),
        )
    });
    let first = known
        .uncompensated
        .iter()
        .find_map(|one| one.last_error.as_deref());
    let error = known.last_error.as_deref().or(first).unwrap_or_default();
    alert
        .text("What was decided stays decided, and is not done everywhere. Mend what fails, and resume the transaction in the admin.")
        .group(&group_of("transaction_stuck", error))
}

/// The group of alerts of this kind about what failed alike.
fn group_of(kind: &str, error: &str) -> String {
    format!("{kind}/{}", Cause::of("", None, error).fingerprint())
}

fn of_order(alert: Alert, work: &Claimed, error: &str) -> Alert {
    alert
        .fact("order", work.order_id)
        .fact("sale", work.sale_id)
        .fact("generation", work.generation)
        .fact("error", shown(error))
}

/// A held order is given up again under the same gid: that is another occasion.
fn occasion(work: &Claimed) -> String {
    format!("{} {}", work.gid, work.history.tries())
}

/// The error's words without what differs from order to order: that may be a buyer's. No word with an at sign is left either.
pub(super) fn shown(error: &str) -> String {
    let pattern = Cause::of("", None, error).pattern;
    let words: Vec<&str> = pattern
        .split(' ')
        .filter(|word| !word.contains('@'))
        .collect();
    words.join(" ").chars().take(ERROR_AT_MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks when each has a group of its own: ten thousand of one cause are ten thousand incidents, each of them urgent.
    #[test]
    fn transactions_that_got_stuck_alike_are_one_incident() {
        let group = |error: Option<&str>| {
            let known = StuckTransaction {
                gid: Uuid::now_v7(),
                kind: "order".to_owned(),
                label: Uuid::nil(),
                state: "stuck_committing".to_owned(),
                direction: "commit".to_owned(),
                epoch: 1,
                reason: None,
                attempts: 9,
                last_error: error.map(str::to_owned),
                uncompensated: Vec::new(),
            };
            stuck(Uuid::now_v7(), &known).group_key()
        };
        let away = |ms| group(Some(&format!("stock does not answer within {ms} ms")));
        assert_eq!(away(100), away(250));
        assert_ne!(away(100), group(Some("loyalty refuses it")));
        assert_ne!(away(100), group(None));
        assert!(away(100).starts_with("transaction_stuck/"));
    }

    #[test]
    fn an_error_leaves_the_house_without_what_it_quotes() {
        assert_eq!(
            shown("1062: Duplicate entry 'ada@example.org' for key \"users\" at 7"),
            "<number>: Duplicate entry <text> for key \"users\" at <number>"
        );
        for said in [
            "Duplicate entry 'O'Brien@example.org' for key 'users'",
            "can't find 'ada@example.org' here",
            "receiver ada@example.org said no",
        ] {
            let shown = shown(said);
            assert!(
                !shown.contains("example") && !shown.contains("ada"),
                "{shown}"
            );
        }
    }
}
