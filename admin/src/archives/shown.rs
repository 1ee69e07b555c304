//! Words for what the archive stores in codes.

use compensation::{
    archive::{Kind, listing::State},
    attempt::Lane,
};
use uuid::Uuid;

/// A small coloured word.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Chip {
    pub label: String,
    /// `good`, `bad`, `busy` or `plain`.
    pub tone: &'static str,
}

impl Chip {
    pub fn new(label: impl Into<String>, tone: &'static str) -> Self {
        Self {
            label: label.into(),
            tone,
        }
    }
}

/// What is worth seeing at a glance; the state only where it is not clear from the place.
pub(super) fn chips(
    state: Option<State>,
    resolution: Option<&str>,
    held: bool,
    times_archived: u32,
    edited: bool,
    kind: Kind,
) -> Vec<Chip> {
    let mut chips = Vec::new();
    chips.extend(match (state, resolution) {
        (None, _) => None,
        (Some(State::Open), _) => Some(Chip::new("open", "bad")),
        (Some(State::Replaying), _) => Some(Chip::new("replaying", "busy")),
        (Some(State::Handled), Some(how)) => Some(Chip::new(how, outcome_tone(how))),
        (Some(State::Handled), None) => Some(Chip::new("handled", "plain")),
    });
    if held {
        chips.push(Chip::new("units held", "busy"));
    }
    if times_archived > 1 {
        chips.push(Chip::new(format!("failed {times_archived}×"), "bad"));
    }
    if edited {
        chips.push(Chip::new("edited", "busy"));
    }
    match kind {
        Kind::Order => {}
        Kind::Transaction => chips.push(Chip::new("transaction", "plain")),
        Kind::Message => chips.push(Chip::new("not an order", "plain")),
    }
    chips
}

/// The id people know it by: a transaction's row has one of its own, which nobody knows.
pub(super) fn shown_id(kind: Kind, id: Uuid, gid: Option<Uuid>) -> Uuid {
    match kind {
        Kind::Transaction => gid.unwrap_or(id),
        Kind::Order | Kind::Message => id,
    }
}

/// The colour of an outcome, of a try or of an order.
pub(crate) fn outcome_tone(outcome: &str) -> &'static str {
    match outcome {
        "confirmed" | "done" | "delivered" | "completed" | "reconciled" => "good",
        "failed" | "archived" | "refused" | "undelivered" | "urgent" | "denied" => "bad",
        "requested" | "processing" | "pending" | "running" | "warning" | "replaying" => "busy",
        _ => "plain",
    }
}

/// What a try was.
pub(super) fn lane(lane: Lane) -> &'static str {
    match lane {
        Lane::First => "First try",
        Lane::Retry => "Retry",
        Lane::DeadLetter => "Try as a dead letter",
        Lane::Archive => "Given up",
        Lane::Call => "Call",
    }
}

/// Why a replay, or another act, cannot be, as a sentence.
pub(crate) fn refusal(code: &str) -> String {
    match code {
        "sold_out" => "The sale is sold out: restock it first.".to_owned(),
        "insufficient_stock" => "The sale has fewer units left than the order wants.".to_owned(),
        "limit_exceeded" => {
            "The buyer has bought as many units of this sale as one may.".to_owned()
        }
        "sale_paused" => "The sale is paused: open it first.".to_owned(),
        "sale_not_found" => "The sale is not there any more.".to_owned(),
        "already_resolved" => "The order is settled: nothing is left to do.".to_owned(),
        "not_found" => "There is no order behind it.".to_owned(),
        "not_an_order" => "The message is no order, so there is nothing to replay.".to_owned(),
        "a_transaction" => {
            "It is a transaction, and no order to be replayed: resume it.".to_owned()
        }
        "replaying" => "An operation has it in hand.".to_owned(),
        "message_unreadable" => "Its message cannot be read as an order.".to_owned(),
        "no_such_version" => "There is no such version of it.".to_owned(),
        "too_many_versions" => "It has as many versions as one may have.".to_owned(),
        "held_as_it_is" => {
            "Its units are held for it as it is: it goes on so, or is discarded.".to_owned()
        }
        "units_held" => {
            "The units that are left are held by orders on their way: try again in a moment, or reconcile the sale."
                .to_owned()
        }
        "buyers_units_held" => {
            "With units that are still held, the buyer has as many as one may: try again in a moment, or reconcile the order."
                .to_owned()
        }
        "one_by_one" => "That is done on one order at a time.".to_owned(),
        other => format!("It is refused: {other}."),
    }
}
