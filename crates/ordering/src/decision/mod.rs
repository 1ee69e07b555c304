//! The order's last resource: the rows of an order commit with the coordinator's decision, or not at all.
//!
//! One lock order everywhere, each sorted by key: existing `orders`, then `sale_buyers`, then `sale_inventory` last; new `orders`
//! are inserted while all of these are held. MySQL alone decides here: what Redis admitted is only a claim.

mod grant;
mod rows;

pub use grant::Reason;

use crate::{ids::OrderId, message::OrderMessage, status::OrderStatus, work::PlaceOrder};
use coordinator::{Ballot, LastResource, Outcome, Ruling, SUPERSEDED, Verdict};
use futures::future::BoxFuture;
use grant::{Ask, BuyerOf, Shelves};
use rows::{ExistingOrder, NewOrder};
use sqlx::MySqlConnection;
use std::collections::{HashMap, HashSet};

/// Rules on orders. Holds nothing: all it knows is read under the decision's locks.
#[derive(Debug, Clone, Copy, Default)]
pub struct OrderRows;

impl LastResource<PlaceOrder> for OrderRows {
    fn rule<'a>(
        &'a self,
        db: &'a mut MySqlConnection,
        ballots: &'a [Ballot<PlaceOrder>],
    ) -> BoxFuture<'a, Result<Vec<Ruling>, sqlx::Error>> {
        Box::pin(rule(db, ballots))
    }
}

async fn rule(
    db: &mut MySqlConnection,
    ballots: &[Ballot<PlaceOrder>],
) -> sqlx::Result<Vec<Ruling>> {
    let messages: Vec<&OrderMessage> = ballots
        .iter()
        .map(|ballot| ballot.transaction.work.message())
        .collect();
    let existing = rows::lock_existing(db, &messages).await?;
    let standing = stand(&messages, &existing);
    let open: Vec<&OrderMessage> = messages
        .iter()
        .zip(&standing)
        .filter(|(_, standing)| standing.is_open())
        .map(|(message, _)| *message)
        .collect();
    if open.is_empty() {
        return Ok(standing.into_iter().filter_map(Standing::settled).collect());
    }

    let mut shelves = Shelves::default();
    rows::lock_buyers(db, &open, &mut shelves).await?;
    rows::read_keys(db, &open, &mut shelves).await?;
    rows::lock_inventory(db, &open, &mut shelves).await?;

    let mut rulings = Vec::with_capacity(ballots.len());
    let mut new = Vec::with_capacity(open.len());
    let mut replayed = Vec::new();
    for ((ballot, message), standing) in ballots.iter().zip(&messages).zip(standing) {
        let takes_over = matches!(standing, Standing::Replay);
        if let Some(ruling) = standing.settled() {
            rulings.push(ruling);
            continue;
        }
        let (verdict, epoch) = judge(&mut shelves, message, ballot.refused.as_deref())?;
        let order = NewOrder::new(message, &verdict);
        if takes_over {
            replayed.push(order);
        } else {
            new.push(order);
        }
        rulings.push(Ruling { verdict, epoch });
    }
    rows::take_units(db, &shelves).await?;
    rows::insert(db, &new).await?;
    rows::take_over(db, &replayed).await?;
    Ok(rulings)
}

/// Where an order stands before this decision.
enum Standing {
    /// Nothing is known of it.
    New,
    /// It failed, and this is its next generation.
    Replay,
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
            Self::New | Self::Replay => None,
        }
    }
}

fn stand(messages: &[&OrderMessage], existing: &HashMap<OrderId, ExistingOrder>) -> Vec<Standing> {
    let mut seen = HashSet::new();
    messages
        .iter()
        .map(|message| match existing.get(&message.order_id) {
            Some(row) if row.gid == message.gid => {
                Standing::Settled(row.status.outcome(row.reason.as_deref()))
            }
            // Two transactions of one order in one batch: the first one decides.
            _ if !seen.insert(message.order_id) => superseded(),
            None => Standing::New,
            Some(row)
                if row.status == OrderStatus::Failed
                    && message.generation == row.generation + 1 =>
            {
                Standing::Replay
            }
            Some(_) => superseded(),
        })
        .collect()
}

fn superseded() -> Standing {
    Standing::Settled(Outcome::RolledBack {
        reason: SUPERSEDED.to_owned(),
    })
}

fn judge(
    shelves: &mut Shelves,
    message: &OrderMessage,
    refused: Option<&str>,
) -> sqlx::Result<(Verdict, i64)> {
    let epoch = shelves
        .inventory
        .get(&message.sale_id)
        .ok_or(sqlx::Error::RowNotFound)?
        .epoch;
    if let Some(reason) = refused {
        return Ok((Verdict::Refused(reason.to_owned()), epoch));
    }
    let verdict = match shelves
        .grant(&ask(message))
        .map_err(|_| sqlx::Error::RowNotFound)?
    {
        Ok(()) => Verdict::Granted,
        Err(reason) => Verdict::Refused(reason.as_str().to_owned()),
    };
    Ok((verdict, epoch))
}

fn ask(message: &OrderMessage) -> Ask<'_> {
    Ask {
        order: message.order_id,
        buyer: buyer_of(message),
        // At most 100: it always fits.
        units: i32::try_from(message.quantity.get()).unwrap_or(i32::MAX),
        key: message
            .idempotency
            .as_ref()
            .map(|idempotency| idempotency.key.as_str()),
    }
}

const fn buyer_of(message: &OrderMessage) -> BuyerOf {
    (message.sale_id, message.user_id)
}
