//! Items of operations that have ended, written down in the audit: one line each, under the operation's id, in the name of whoever asked
//! for it.

use audit::{Entry, Outcome, record_all};
use compensation::operations::{ARCHIVED, End, Ends, Kind};
use sqlx::MySqlConnection;

/// Writes their lines in the transaction that ends them, as the last that is done in it.
///
/// # Errors
/// What the database says. Then they have not ended either.
pub(super) async fn write_down(db: &mut MySqlConnection, ends: &Ends) -> sqlx::Result<()> {
    let texts: Vec<(String, String)> = ends.all().iter().map(texts).collect();
    let entries: Vec<Entry<'_>> = ends
        .all()
        .iter()
        .zip(&texts)
        .map(|(end, (subject, detail))| Entry {
            operator: &end.asked_by,
            role: "",
            act: match end.kind {
                Kind::Replay => "item.replay",
                Kind::Discard => "item.discard",
                Kind::Reconcile => "item.reconcile",
            },
            subject,
            outcome: match end.state.as_str() {
                "refused" => Outcome::Refused,
                ARCHIVED => Outcome::Failed,
                _ => Outcome::Done,
            },
            detail,
            address: "",
            operation: Some(end.operation),
        })
        .collect();
    record_all(db, &entries).await
}

fn texts(end: &End) -> (String, String) {
    let how = match &end.reason {
        Some(reason) => format!("{}: {reason}", end.state),
        None => end.state.clone(),
    };
    (end.archive_id.to_string(), how)
}
