//! The order's last resource: the rows of an order commit with the coordinator's decision, or not at all.
//!
//! One lock order everywhere, each sorted by key: existing `orders`, then `sale_buyers`, then `sale_inventory` last; new `orders`
//! are inserted while all of these are held. MySQL alone decides here: what Redis admitted is only a claim.

mod grant;
mod rows;

pub use grant::Reason;

use crate::{
    ids::OrderId,
    message::OrderMessage,
    status::{ARCHIVED, OrderStatus},
    work::{Act, OrderWork},
};
use coordinator::{Ballot, LastResource, Outcome, Ruling, SUPERSEDED, Verdict};
use futures::future::BoxFuture;
use grant::{Ask, BuyerOf, Shelves};
use rows::{ExistingOrder, NewOrder};
use sqlx::MySqlConnection;
use std::collections::{HashMap, HashSet};

/// Rules on orders. Holds nothing: all it knows is read under the decision's locks.
#[derive(Debug, Clone, Copy, Default)]
pub struct OrderRows;

impl LastResource<OrderWork> for OrderRows {
    fn rule<'a>(
        &'a self,
        db: &'a mut MySqlConnection,
        ballots: &'a [Ballot<OrderWork>],
    ) -> BoxFuture<'a, Result<Vec<Ruling>, sqlx::Error>> {
        Box::pin(rule(db, ballots))
    }
}

/// The reason of a cancellation that came too late.
pub const NOT_CANCELLABLE: &str = "not_cancellable";

async fn rule(
    db: &mut MySqlConnection,
    ballots: &[Ballot<OrderWork>],
) -> sqlx::Result<Vec<Ruling>> {
    let all: Vec<&OrderMessage> = ballots
        .iter()
        .map(|it| it.transaction.work.message())
        .collect();
    let existing = rows::lock_existing(db, &all).await?;
    let standing = stand(ballots, &existing);
    let open = |acts: &[Act]| -> Vec<&OrderMessage> {
        ballots
            .iter()
            .zip(&standing)
            .filter(|(ballot, standing)| {
                standing.is_open() && acts.contains(&ballot.transaction.work.act())
            })
            .map(|(ballot, _)| ballot.transaction.work.message())
            .collect()
    };
    let of_buyers = open(&[Act::Place, Act::Cancel]);
    let placed = open(&[Act::Place]);
    let of_sales = open(&Act::ALL);
    if of_sales.is_empty() {
        return Ok(standing.into_iter().filter_map(Standing::settled).collect());
    }

    let mut shelves = Shelves::default();
    rows::lock_buyers(db, &of_buyers, &mut shelves).await?;
    rows::read_keys(db, &placed, &mut shelves).await?;
    rows::lock_inventory(db, &of_sales, &mut shelves).await?;

    let mut rulings = Vec::with_capacity(ballots.len());
    let (mut new, mut replayed, mut cancelled) = (Vec::new(), Vec::new(), Vec::new());
    for (ballot, standing) in ballots.iter().zip(standing) {
        let work = &ballot.transaction.work;
        let takes_over = matches!(standing, Standing::Replay);
        if matches!(standing, Standing::Superseded) {
            rulings.push(superseded(&shelves, work.message()));
            continue;
        }
        if let Some(ruling) = standing.settled() {
            rulings.push(ruling);
            continue;
        }
        let ruling = judge(&mut shelves, ballot)?;
        match work.act() {
            Act::Cancel => cancelled.push(work),
            Act::Place | Act::Archive => {
                let order = NewOrder::new(work, &ruling.verdict);
                if takes_over { &mut replayed } else { &mut new }.push(order);
            }
        }
        rulings.push(ruling);
    }
    rows::take_units(db, &shelves).await?;
    rows::insert(db, &new).await?;
    rows::take_over(db, &replayed).await?;
    rows::cancel(db, &cancelled).await?;
    Ok(rulings)
}

/// Where an order stands before this decision.
enum Standing {
    /// Nothing is known of it.
    New,
    /// It failed, and this is its next generation.
    Replay,
    /// It is confirmed, and is to be cancelled.
    Confirmed,
    /// Another transaction settled it: what this one reserved is given back.
    Superseded,
    /// Decided before.
    Settled(Outcome),
}

impl Standing {
    const fn is_open(&self) -> bool {
        !matches!(self, Self::Settled(_))
    }

    fn settled(self) -> Option<Ruling> {
        match self {
            Self::Settled(outcome) => Some(Ruling {
                verdict: Verdict::AlreadySettled(outcome),
                epoch: 0,
            }),
            Self::New | Self::Replay | Self::Confirmed | Self::Superseded => None,
        }
    }
}

fn stand(
    ballots: &[Ballot<OrderWork>],
    existing: &HashMap<OrderId, ExistingOrder>,
) -> Vec<Standing> {
    let mut seen = HashSet::new();
    ballots
        .iter()
        .map(|ballot| {
            let work = &ballot.transaction.work;
            let message = work.message();
            let row = existing.get(&message.order_id);
            if work.act() == Act::Cancel {
                return cancellable(message, row);
            }
            match row {
                Some(row) if row.gid == message.gid => {
                    Standing::Settled(row.status.outcome(row.reason.as_deref()))
                }
                // Two transactions of one order in one batch: the first one decides.
                _ if !seen.insert(message.order_id) => Standing::Superseded,
                None => Standing::New,
                Some(row)
                    if row.status == OrderStatus::Failed
                        && message.generation == row.generation + 1 =>
                {
                    Standing::Replay
                }
                Some(_) => Standing::Superseded,
            }
        })
        .collect()
}

/// Only what this very transaction placed, and nobody paid for, can be taken back.
fn cancellable(message: &OrderMessage, row: Option<&ExistingOrder>) -> Standing {
    match row {
        Some(row) if row.gid != message.gid => Standing::Settled(Outcome::RolledBack {
            reason: SUPERSEDED.to_owned(),
        }),
        Some(row) if row.status == OrderStatus::Confirmed => Standing::Confirmed,
        // Retention removed the transaction that cancelled it.
        Some(row) if row.status == OrderStatus::Cancelled => Standing::Settled(Outcome::Committed),
        _ => Standing::Settled(Outcome::RolledBack {
            reason: NOT_CANCELLABLE.to_owned(),
        }),
    }
}

/// The order's row stays as it is. Of a sale nobody knows nothing was reserved.
fn superseded(shelves: &Shelves, message: &OrderMessage) -> Ruling {
    let reason = SUPERSEDED.to_owned();
    match shelves.inventory.get(&message.sale_id) {
        Some(inventory) => Ruling {
            verdict: Verdict::Refused(reason),
            epoch: inventory.epoch,
        },
        None => Ruling {
            verdict: Verdict::AlreadySettled(Outcome::RolledBack { reason }),
            epoch: 0,
        },
    }
}

fn judge(shelves: &mut Shelves, ballot: &Ballot<OrderWork>) -> sqlx::Result<Ruling> {
    let work = &ballot.transaction.work;
    let message = work.message();
    let epoch = shelves
        .inventory
        .get(&message.sale_id)
        .map(|inventory| inventory.epoch);
    let verdict = match (work.act(), epoch, &ballot.refused) {
        // Of a sale nobody knows nothing was ever reserved: the order is given up all the same, and nothing is left to complete.
        (Act::Archive, None, _) => Verdict::AlreadySettled(OrderStatus::Failed.outcome(None)),
        (Act::Archive, Some(_), _) => Verdict::Refused(ARCHIVED.to_owned()),
        (_, None, _) => return Err(sqlx::Error::RowNotFound),
        (Act::Cancel, Some(_), _) => {
            shelves
                .give_back(buyer_of(message), units_of(message))
                .map_err(|_| sqlx::Error::RowNotFound)?;
            Verdict::Granted
        }
        (Act::Place, Some(_), Some(reason)) => Verdict::Refused(reason.clone()),
        (Act::Place, Some(_), None) => match shelves
            .grant(&ask(message))
            .map_err(|_| sqlx::Error::RowNotFound)?
        {
            Ok(()) => Verdict::Granted,
            Err(reason) => Verdict::Refused(reason.as_str().to_owned()),
        },
    };
    Ok(Ruling {
        verdict,
        epoch: epoch.unwrap_or_default(),
    })
}

fn ask(message: &OrderMessage) -> Ask<'_> {
    Ask {
        order: message.order_id,
        buyer: buyer_of(message),
        units: units_of(message),
        key: message
            .idempotency
            .as_ref()
            .map(|idempotency| idempotency.key.as_str()),
    }
}

const fn buyer_of(message: &OrderMessage) -> BuyerOf {
    (message.sale_id, message.user_id)
}

/// At most 100: it always fits.
fn units_of(message: &OrderMessage) -> i32 {
    i32::try_from(message.quantity.get()).unwrap_or(i32::MAX)
}
