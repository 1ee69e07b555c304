//! What would become of a replay, were it asked for now: each thing it depends on, and the reason for which it would be refused.
//!
//! The button and the act ask the same here, so that what cannot be clicked is refused to a program, too, with the same sentence. None of
//! it decides: the sale may be sold out a moment later, and the replay's own decision tells.

use super::{Looked, looked::Takes};
use crate::archives::refusal_sentence;
use compensation::archive::{Archived, Kind};
use coordinator::TxState;
use ordering::{
    OrderStatus,
    replay::Outlook,
    truth::{InRedis, Known},
};
use serde::Serialize;

/// What would become of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Preview {
    /// The code of the reason why it would be refused now; null where it may be tried.
    pub refusal: Option<&'static str>,
    /// What would happen, as a sentence.
    pub sentence: String,
    /// Units it would ask for; null where nobody can tell.
    pub units: Option<u32>,
    /// What it depends on.
    pub checks: Vec<Check>,
}

/// One thing it depends on.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    pub what: &'static str,
    pub stands: Stands,
    pub says: String,
    /// Of the refusal, where it would be refused for this.
    pub code: Option<&'static str>,
}

/// What a check says of the replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stands {
    /// Nothing is in the way.
    Fine,
    /// It would be refused for this.
    Refuses,
    /// It cannot be told now, and is looked at again when its turn comes.
    Unknown,
}

impl Stands {
    /// The colour of its chip.
    pub const fn tone(self) -> &'static str {
        match self {
            Self::Fine => "good",
            Self::Refuses => "bad",
            Self::Unknown => "plain",
        }
    }

    /// For people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Refuses => "in the way",
            Self::Unknown => "not known",
        }
    }
}

impl Check {
    fn fine(what: &'static str, says: impl Into<String>) -> Self {
        Self {
            what,
            stands: Stands::Fine,
            says: says.into(),
            code: None,
        }
    }

    fn unknown(what: &'static str, says: impl Into<String>) -> Self {
        Self {
            stands: Stands::Unknown,
            ..Self::fine(what, says)
        }
    }

    fn refuses(what: &'static str, code: &'static str) -> Self {
        Self {
            stands: Stands::Refuses,
            code: Some(code),
            ..Self::fine(what, refusal_sentence(code))
        }
    }
}

impl Preview {
    /// Of a row of the archive, and what was looked at with it.
    pub fn of(archived: &Archived, looked: &Looked) -> Self {
        let (order, held) = (looked.order(), archived.held);
        let units = order.as_ref().map(|order| order.quantity.get());
        let units = units.or(archived.quantity);
        let mut checks = vec![of_archive(archived)];
        if archived.kind() == Kind::Order {
            // What is held goes on with the message the retry queue has.
            if !held || !matches!(looked.takes, Takes::Archived) {
                checks.push(of_message(archived, looked));
            }
            checks.push(of_transaction(looked));
            if held {
                checks.push(of_held_units(archived, looked));
            } else {
                checks.extend(of_order(looked, units.unwrap_or_default()));
            }
        }
        let refusal = checks.iter().find_map(|check| check.code);
        let sentence = match (refusal, units) {
            (Some(code), _) => format!("It would be refused. {}", refusal_sentence(code)),
            (None, _) if held => {
                "Its own transaction goes on with the units that are held for it.".to_owned()
            }
            (None, Some(units)) => format!(
                "{} would be reserved again under generation {}, and the order decided like any other. The buyer keeps its number.",
                counted(i64::from(units)),
                archived.generation + 1
            ),
            (None, None) => "It would be tried again.".to_owned(),
        };
        Self {
            refusal,
            sentence,
            units,
            checks,
        }
    }
}

fn of_archive(archived: &Archived) -> Check {
    const WHAT: &str = "Archive";
    match archived.kind() {
        Kind::Transaction => Check::refuses(WHAT, "a_transaction"),
        Kind::Message => Check::refuses(WHAT, "not_an_order"),
        Kind::Order if archived.operation_id.is_some() => Check::refuses(WHAT, "replaying"),
        Kind::Order if archived.handled => Check::refuses(WHAT, "already_resolved"),
        Kind::Order => Check::fine(WHAT, "It is open, and in nobody's hands."),
    }
}

fn of_message(archived: &Archived, looked: &Looked) -> Check {
    const WHAT: &str = "Message";
    match &looked.takes {
        Takes::Unknown => return Check::refuses(WHAT, "no_such_version"),
        Takes::Version(_) if archived.held => return Check::refuses(WHAT, "held_as_it_is"),
        Takes::Version(_) | Takes::Archived => {}
    }
    match (&looked.message, looked.order()) {
        (_, Some(order)) => {
            let which = match looked.version() {
                None => "It is".to_owned(),
                Some(0) => "As it came it is".to_owned(),
                Some(version) => format!("Version {version} is"),
            };
            let units = counted(order.quantity.get().into());
            Check::fine(WHAT, format!("{which} an order of {units}."))
        }
        (Err(unread), None) if unread.passes => Check::unknown(
            WHAT,
            format!("Where it is kept does not answer: {}", unread.why),
        ),
        _ => Check::refuses(WHAT, "message_unreadable"),
    }
}

/// How the transaction that counts stands: units it has not given back yet come back by themselves, or by a reconcile.
fn of_transaction(looked: &Looked) -> Check {
    const WHAT: &str = "Transaction";
    let transactions = looked.seen.iter().flat_map(|seen| &seen.truth.transactions);
    let Some(state) = transactions.last().and_then(Known::state) else {
        return Check::fine(WHAT, "None is on its way.");
    };
    let says = match state {
        TxState::RolledBack => "It is rolled back, and its units were given back.",
        TxState::RollingBack => "It is rolled back; its units are being given back.",
        TxState::StuckRollingBack => {
            "It is rolled back and stuck: its units are not given back yet, and count as the buyer's until then."
        }
        TxState::Committed | TxState::Committing | TxState::StuckCommitting => {
            "It is committed: the order is the buyer's."
        }
        TxState::Begun | TxState::Prepared => "It is not decided yet.",
    };
    Check::fine(WHAT, says)
}

fn of_held_units(archived: &Archived, looked: &Looked) -> Check {
    const WHAT: &str = "Units";
    let Some(Ok(redis)) = looked.seen.as_ref().map(|seen| &seen.truth.redis) else {
        return Check::unknown(WHAT, "They are held for it; Redis does not tell now.");
    };
    let held = archived
        .gid
        .and_then(|gid| redis.reservations.get(&coordinator::Gid::from_uuid(gid)));
    match held {
        Some(held) => Check::fine(
            WHAT,
            format!("Redis holds {} for it.", counted(held.units.into())),
        ),
        None => Check::unknown(WHAT, "They are to be held for it, and Redis has none."),
    }
}

fn of_order(looked: &Looked, units: u32) -> Vec<Check> {
    let units = i64::from(units);
    let Some(outlook) = &looked.outlook else {
        return vec![Check::refuses("Order", "not_found")];
    };
    let refused = outlook.refusal(units);
    let order = match outlook.status {
        OrderStatus::Failed => Check::fine("Order", "It is failed: nobody has its units."),
        _ => Check::refuses("Order", "already_resolved"),
    };
    let sale = match (&outlook.sale, refused) {
        (None, _) => return vec![order, Check::refuses("Sale", "sale_not_found")],
        (Some(sale), _) if sale.paused => Check::refuses("Sale", "sale_paused"),
        (Some(sale), _) => {
            let until = sale.ends_at.format("%Y-%m-%d %H:%M");
            let says = if sale.ends_at <= chrono::Utc::now() {
                format!("It was over at {until} UTC; the order was admitted in time.")
            } else {
                format!("It takes orders until {until} UTC.")
            };
            Check::fine("Sale", says)
        }
    };
    let redis = looked
        .seen
        .as_ref()
        .and_then(|seen| seen.truth.redis.as_ref().ok());
    vec![
        order,
        sale,
        of_buyer(outlook, redis, units),
        of_stock(outlook, redis, units),
    ]
}

fn of_buyer(outlook: &Outlook, redis: Option<&InRedis>, units: i64) -> Check {
    const WHAT: &str = "Buyer";
    let limit = outlook.sale.as_ref().map_or(0, |sale| sale.limit);
    if outlook.buyer_units + units > limit {
        return Check::refuses(WHAT, "limit_exceeded");
    }
    let by_redis = redis.and_then(|redis| outlook.refusal_of_redis(units, i64::MAX, redis.units));
    if by_redis.is_some() {
        return Check::refuses(WHAT, "buyers_units_held");
    }
    let says = format!("Has {} of {limit}.", outlook.buyer_units);
    Check::fine(WHAT, says)
}

fn of_stock(outlook: &Outlook, redis: Option<&InRedis>, units: i64) -> Check {
    const WHAT: &str = "Stock";
    let available = outlook.sale.as_ref().map_or(0, |sale| sale.available);
    if available < units {
        let code = if available == 0 {
            "sold_out"
        } else {
            "insufficient_stock"
        };
        return Check::refuses(WHAT, code);
    }
    let Some(redis) = redis else {
        let says =
            format!("MySQL has {available}; how many are held by others, Redis does not tell now.");
        return Check::unknown(WHAT, says);
    };
    let numbers = redis.numbers;
    if outlook
        .refusal_of_redis(units, numbers.available, 0)
        .is_some_and(|code| code != "limit_exceeded")
    {
        return Check::refuses(WHAT, "units_held");
    }
    let says = format!(
        "{} free, {} held by others.",
        numbers.available, numbers.held
    );
    Check::fine(WHAT, says)
}

/// Units in words.
fn counted(units: i64) -> String {
    if units == 1 {
        "1 unit".to_owned()
    } else {
        format!("{units} units")
    }
}
