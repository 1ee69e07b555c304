//! Words for verdicts and for what a reconcile does.

use crate::archives::Chip;
use ordering::{
    stock::ReservationState,
    truth::{Mend, Unknown, Verdict, Waits, Wrong},
};

/// The verdict, coloured.
pub(super) fn chip(verdict: &Verdict) -> Chip {
    let code = verdict.as_str();
    let tone = match code {
        "consistent" => "good",
        "on_its_way" => "busy",
        "unknown" => "plain",
        _ => "bad",
    };
    Chip::new(code.replace('_', " "), tone)
}

/// The verdict in sentences.
pub(super) fn sentences(verdict: &Verdict) -> Vec<String> {
    let mut said: Vec<String> = verdict.wrong.iter().map(wrong).collect();
    said.extend(verdict.waits.map(waits));
    said.extend(verdict.unknown.map(|why| unknown(why).to_owned()));
    if said.is_empty() {
        said.push("Everything that is written of this order agrees.".to_owned());
    }
    if verdict.sale_is_busy {
        said.push(
            "Decisions of its sale are on their way, so the numbers of sale and buyer cannot be compared just now."
                .to_owned(),
        );
    }
    said
}

/// What is wrong.
pub(super) fn wrong(wrong: &Wrong) -> String {
    match wrong {
        Wrong::Stuck { gid } => {
            format!("Its transaction {gid} is decided, and nobody tries to complete it any more.")
        }
        Wrong::StockLeaked { gid, units, .. } => format!(
            "Stock leaked: Redis still holds {units} of its units for transaction {gid}, which is settled. Nobody can buy them."
        ),
        Wrong::HeldWithoutUnits { .. } => {
            "Its units are to be kept for it, and Redis holds none.".to_owned()
        }
        Wrong::SaleDrifts { units } => {
            format!("Redis and MySQL differ by {units} units on its sale. MySQL is right.")
        }
        Wrong::BuyersUnits { mysql, redis } => format!(
            "MySQL counts {mysql} units of the buyer, Redis counts {redis}. MySQL is right."
        ),
        Wrong::OrderMissing { undecided: Some(_) } => {
            "The order is missing: it was given up, and nobody ever decided it.".to_owned()
        }
        Wrong::OrderMissing { undecided: None } => {
            "The order is missing: it was decided, and MySQL has no row of it any more. Look for it in a backup."
                .to_owned()
        }
        Wrong::ArchiveOpen { status } => {
            format!("The order is {status}, and the archive still asks for a person.")
        }
        Wrong::BuyersOrders { units, ordered } => format!(
            "MySQL contradicts itself: the buyer is counted as having {units} units, and the buyer's orders that stand have {ordered}. A person must look."
        ),
    }
}

fn waits(waits: Waits) -> String {
    match waits {
        Waits::Repairs => {
            "It is being tried, given up, replayed or reconciled: the rest follows by itself."
                .to_owned()
        }
        Waits::Transaction(gid) => {
            format!("Its transaction {gid} is not finished: the rest follows by itself.")
        }
        Waits::Reservation(gid) => format!(
            "The reservation of its transaction {gid} waits for a decision, which follows by itself."
        ),
    }
}

/// Why Redis' part is not known.
pub(super) const fn unknown(why: Unknown) -> &'static str {
    match why {
        Unknown::Away => "Redis does not answer: what it holds is not known.",
        Unknown::BeingRebuilt => {
            "Redis' part of its sale is being made anew from MySQL: it is known in a moment."
        }
        Unknown::NotAsked => {
            "Redis was not asked: there is no such sale, or this process knows no stock node."
        }
    }
}

/// What a click would do first.
pub(super) const fn would(mend: Mend) -> &'static str {
    match mend {
        Mend::Resume(_) => "Lets the stuck transaction go on, the way it was decided.",
        Mend::Complete(..) => "Tells Redis what was decided of these units.",
        Mend::Fence => {
            "Has the sale made anew in Redis from MySQL; for a moment its orders are refused."
        }
        Mend::GiveUp(_) => "Gives the order up by a decision; after that it can be replayed.",
        Mend::CloseArchive(_) => "Closes the archive's row.",
    }
}

/// Why nothing can be done now, as a sentence.
pub(super) fn refusal(code: &str) -> String {
    match code {
        "consistent" => "Nothing is to be done: everything agrees.",
        "on_its_way" => "Nothing is to be done yet: the rest follows by itself.",
        "unknown" => "It cannot be told what is to be done: Redis does not tell its part.",
        "needs_a_person" => "Nothing here can put it right: a person must look.",
        "in_hand" => "An operation has it in hand.",
        "not_an_order" => "It is no order, so there is nothing to compare.",
        other => return format!("It is refused: {other}."),
    }
    .to_owned()
}

/// Where a reservation stands.
pub(super) const fn reservation(state: ReservationState) -> &'static str {
    match state {
        ReservationState::Reserved | ReservationState::Prepared => "held",
        ReservationState::Confirmed => "sold",
        ReservationState::Returned => "sold and given back",
        ReservationState::Released => "given back",
        ReservationState::Gone => "final, long ago",
    }
}

/// What the item of a reconcile notes, as sentences; why it ended, where it was refused.
pub(crate) fn noted(notes: &str) -> String {
    let said: Vec<String> = notes.split(", ").map(note).collect();
    said.join(" ")
}

fn note(code: &str) -> String {
    let known = match code.split('@').next().unwrap_or(code) {
        "transaction_resumed" => "Its transaction was resumed.",
        "reservation_settled" => "Redis was told what was decided of its units.",
        "sale_rebuilt" => "Its sale was made anew in Redis from MySQL.",
        "order_given_up" => "The order was given up by a decision.",
        "archive_closed" => "The archive's row was closed.",
        "stuck" => "Its transaction is stuck again.",
        "stock_leaked" => "Units are still held for what is settled.",
        "held_without_units" => "Redis still holds none of the units that are to be kept for it.",
        "sale_drifts" => "Redis and MySQL still differ on its sale.",
        "buyers_units_differ" => "Redis and MySQL still differ on its buyer.",
        "order_missing" => "Its order is missing, and only a person can find it.",
        "archive_open" => "The archive's row is still open.",
        "buyers_orders_differ" => "MySQL contradicts itself on its buyer: a person must look.",
        "on_its_way" => "What was to follow by itself has not followed in time.",
        "unknown" => "Redis did not tell its part in time.",
        "archived_again" => {
            "It came back to the archive, and may have failed for another reason: ask again."
        }
        "message_unreadable" => "Its message cannot be read.",
        "cannot_be_given_up" => "It could not be decided: the compensator's log says why.",
        other => return format!("It ended: {other}."),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_told_one_after_another() {
        assert_eq!(
            noted("sale_rebuilt@3, sale_drifts"),
            "Its sale was made anew in Redis from MySQL. Redis and MySQL still differ on its sale."
        );
        assert_eq!(noted("odd"), "It ended: odd.");
    }

    #[test]
    fn a_verdict_says_all_it_knows() {
        let verdict = Verdict {
            unknown: Some(Unknown::Away),
            sale_is_busy: true,
            ..Verdict::default()
        };
        assert_eq!(chip(&verdict).label, "unknown");
        assert_eq!(sentences(&verdict).len(), 2);
        assert_eq!(chip(&Verdict::default()).tone, "good");
    }
}
