//! Words for what the coordinator stores in codes.

use crate::archives::Chip;
use coordinator::{BranchState, Direction, TxState, control::Listed};

/// The state, coloured.
pub(crate) fn state_chip(state: TxState) -> Chip {
    let tone = match state {
        TxState::Committed | TxState::RolledBack => "good",
        TxState::StuckCommitting | TxState::StuckRollingBack => "bad",
        TxState::Begun | TxState::Prepared | TxState::Committing | TxState::RollingBack => "busy",
    };
    Chip::new(state.as_str().replace('_', " "), tone)
}

/// Where a participant's part stands, coloured.
pub(crate) fn branch_chip(state: BranchState) -> Chip {
    let tone = match state {
        BranchState::Done => "good",
        BranchState::Refused => "bad",
        BranchState::Promised => "plain",
        BranchState::Asking | BranchState::Unknown | BranchState::Owed => "busy",
    };
    Chip::new(state.to_string().replace('_', " "), tone)
}

/// The colour of what a participant answered, which begins with what it means.
pub(super) fn answer_tone(answer: &str) -> &'static str {
    match answer.split(':').next() {
        Some("done") => "good",
        Some("still at it" | "not called") => "busy",
        _ => "bad",
    }
}

/// Which way it was decided.
pub(super) const fn direction(listed: &Listed) -> Option<&'static str> {
    match listed.direction {
        Some(Direction::Commit) => Some("commit"),
        Some(Direction::RollBack) => Some("roll_back"),
        None => None,
    }
}

/// What the state means to whoever looks, as a sentence.
pub(super) const fn meaning(state: TxState) -> &'static str {
    match state {
        TxState::Begun => "Its participants are being asked. Nothing is decided.",
        TxState::Prepared => "All participants promised. Nothing is decided.",
        TxState::Committing => "It was decided to commit; not every participant has answered yet.",
        TxState::RollingBack => {
            "It was decided to roll back; not every participant has answered yet."
        }
        TxState::Committed => "It is committed everywhere.",
        TxState::RolledBack => "It is rolled back everywhere.",
        TxState::StuckCommitting => {
            "It was decided to commit, and nobody tries to complete it any more. It can only go on committing."
        }
        TxState::StuckRollingBack => {
            "It was decided to roll back, and nobody tries to complete it any more. It can only go on rolling back."
        }
    }
}

/// Why an act cannot be, as a sentence.
pub(super) fn refusal(code: &str) -> String {
    match code {
        "already_decided" => "It is decided, and what is decided is never turned round.".to_owned(),
        "not_an_order" => {
            "It is not the transaction of an order, so nobody here can roll it back.".to_owned()
        }
        "held" => {
            "Its order was given up and its units are held: replay the order instead.".to_owned()
        }
        "settled" => "The retries of its order are over: it is being decided.".to_owned(),
        "message_unreadable" => {
            "Only a newer build can read what it was to do: nobody here can roll it back."
                .to_owned()
        }
        "not_stuck" => "It is not stuck: it goes on by itself, or has ended.".to_owned(),
        "dead_letter_pending" => {
            "It was just stopped, and its dead letter is still to be written: try again in a moment.".to_owned()
        }
        "already_stuck" => "It is stuck already: resume it.".to_owned(),
        "not_decided" => "It is not decided yet: roll it back instead.".to_owned(),
        "finished" => "It has finished.".to_owned(),
        other => format!("It is refused: {other}."),
    }
}
