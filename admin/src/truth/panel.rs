//! The panel on an archived order's page.

use super::{Seen, words};
use crate::{
    access::{Caller, Permission as _, Reconcile},
    archives::Chip,
    transactions::{branch_chip, page_of, state_chip},
};
use compensation::archive::Archived;
use ordering::truth::{InRedis, Known, Truth};
use serde::Serialize;

/// What its template needs.
#[derive(Debug, Serialize)]
pub(crate) struct Panel {
    verdict: Chip,
    sentences: Vec<String>,
    rows: Vec<Row>,
    transactions: Vec<Transaction>,
    action: String,
    /// What the button would do first.
    hint: Option<&'static str>,
    disabled: Option<String>,
    /// The operation that has it in hand.
    operation: Option<String>,
}

/// One thing in both stores.
#[derive(Debug, Serialize)]
struct Row {
    what: &'static str,
    mysql: String,
    redis: String,
}

#[derive(Debug, Serialize)]
struct Transaction {
    gid: String,
    /// Nothing of one that has no row.
    link: Option<String>,
    state: Chip,
    counts: bool,
    reservation: String,
    branches: Vec<Branch>,
}

#[derive(Debug, Serialize)]
struct Branch {
    participant: String,
    state: Chip,
}

impl Panel {
    /// The panel of what was seen of a row's order.
    pub fn of(seen: &Seen, caller: &Caller, archived: &Archived) -> Self {
        let disabled = match seen.refusal() {
            Some(code) => Some(words::refusal(code)),
            None if caller.may::<Reconcile>() => None,
            None => Some(format!(
                "Your role is {}: reconciling an order needs {}.",
                caller.role(),
                Reconcile::ROLE
            )),
        };
        Self {
            verdict: words::chip(&seen.verdict),
            sentences: words::sentences(&seen.verdict),
            rows: rows(&seen.truth),
            transactions: seen
                .truth
                .transactions
                .iter()
                .rev()
                .map(|known| Transaction::of(known, &seen.truth))
                .collect(),
            action: format!("/archives/{}/reconcile", archived.id),
            hint: seen.verdict.mend().map(words::would),
            disabled,
            operation: archived
                .operation_id
                .map(|operation| format!("/operations/{operation}")),
        }
    }
}

fn rows(truth: &Truth) -> Vec<Row> {
    let from_redis = |say: &dyn Fn(&InRedis) -> String| match &truth.redis {
        Ok(redis) => say(redis),
        Err(_) => "unknown".to_owned(),
    };
    vec![
        Row {
            what: "Order",
            mysql: truth.order.as_ref().map_or_else(
                || "no row".to_owned(),
                |order| match &order.reason {
                    Some(reason) => format!("{} ({reason}), {}", order.status, units(order.units)),
                    None => format!("{}, {}", order.status, units(order.units)),
                },
            ),
            redis: "–".to_owned(),
        },
        Row {
            what: "Sale's stock",
            mysql: truth.sale.as_ref().map_or_else(
                || "no such sale".to_owned(),
                |sale| {
                    format!(
                        "{} available, {} sold of {}",
                        sale.available, sale.sold, sale.total
                    )
                },
            ),
            redis: from_redis(&|redis| {
                let numbers = &redis.numbers;
                let owed = match numbers.owed {
                    0 => String::new(),
                    owed => format!(", {owed} owed"),
                };
                format!(
                    "{} available, {} held, {} sold{owed} of {}",
                    numbers.available, numbers.held, numbers.sold, numbers.total
                )
            }),
        },
        Row {
            what: "Buyer's units",
            mysql: format!(
                "{}; the orders that stand have {}",
                truth.buyer.units, truth.buyer.ordered
            ),
            redis: from_redis(&|redis| format!("{}, with those that are held", redis.units)),
        },
    ]
}

fn units(units: u32) -> String {
    if units == 1 {
        "1 unit".to_owned()
    } else {
        format!("{units} units")
    }
}

impl Transaction {
    fn of(known: &Known, truth: &Truth) -> Self {
        let counts = |gid| truth.order.as_ref().is_some_and(|order| order.gid == gid);
        Self {
            gid: known.gid.to_string(),
            link: known.details.as_ref().map(|_| page_of(known.gid)),
            state: known
                .state()
                .map_or_else(|| Chip::new("no row", "plain"), state_chip),
            counts: counts(known.gid),
            reservation: match &truth.redis {
                Err(_) => "unknown".to_owned(),
                Ok(redis) => redis.reservations.get(&known.gid).map_or_else(
                    || "none".to_owned(),
                    |reservation| {
                        format!(
                            "{}, {}",
                            words::reservation(reservation.state),
                            units(reservation.units)
                        )
                    },
                ),
            },
            branches: known
                .details
                .iter()
                .flat_map(|details| &details.branches)
                .map(|branch| Branch {
                    participant: branch.participant.clone(),
                    state: branch_chip(branch.state),
                })
                .collect(),
        }
    }
}
