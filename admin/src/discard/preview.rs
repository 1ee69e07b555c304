//! What a discard would mean for what is archived, and why it would be refused.

use crate::{archives::refusal_sentence, replay::Looked};
use compensation::archive::{Archived, Kind};
use ordering::OrderStatus;
use serde::Serialize;

/// What would become of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Preview {
    /// The code of the reason why it would be refused now; null where it may be discarded.
    pub refusal: Option<&'static str>,
    /// What would happen, as a sentence.
    pub sentence: String,
}

impl Preview {
    /// Of a row of the archive, and what was looked at with it.
    pub fn of(archived: &Archived, looked: &Looked) -> Self {
        let refusal = refusal(archived, looked);
        let sentence = match (refusal, archived.kind()) {
            (Some(code), _) => format!("It would be refused. {}", refusal_sentence(code)),
            (None, Kind::Order) if archived.held => format!(
                "It is decided as failed, and the {} held for it go back to the sale. It cannot be replayed afterwards.",
                archived
                    .quantity
                    .map_or_else(|| "units".to_owned(), |units| format!("units ({units})"))
            ),
            (None, Kind::Order) => {
                "The order stays failed: it has no units, and its buyer gets none. It leaves the open ones, and cannot be replayed afterwards."
                    .to_owned()
            }
            (None, _) => {
                "The message leaves the open ones. It is kept as long as everything that is handled."
                    .to_owned()
            }
        };
        Self { refusal, sentence }
    }
}

fn refusal(archived: &Archived, looked: &Looked) -> Option<&'static str> {
    if archived.kind() == Kind::Transaction {
        return Some("a_transaction");
    }
    if archived.operation_id.is_some() {
        return Some("replaying");
    }
    if archived.handled {
        return Some("already_resolved");
    }
    if archived.kind() == Kind::Message || archived.held {
        return None;
    }
    match &looked.outlook {
        None => Some("not_found"),
        Some(outlook) => (outlook.status != OrderStatus::Failed).then_some("already_resolved"),
    }
}
