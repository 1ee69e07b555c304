//! The stock branch of a transaction: asked before the decision, told after it, a batch at a time.

use super::{GIDS_A_CALL, Reply, Stock, StockError, measures::Measured, scripts};
use crate::{
    ids::{OrderId, Quantity, SaleId},
    keys::{self, Names},
};
use coordinator::Gid;
use futures::future::join_all;
use identity::UserId;
use redis::Value;
use std::collections::BTreeMap;

/// A reservation's answer to prepare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vote {
    /// It stands, or nothing is known of it: the decision is free.
    Yes,
    /// It was given back: the order may only be refused.
    No,
}

/// What a decision does to a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// Held units become sold.
    Confirm,
    /// Held units are given back.
    Release,
    /// Sold units are given back.
    Return,
}

/// One reservation to settle. Redis may have lost it: then the call's own user and units count.
#[derive(Debug, Clone, Copy)]
pub struct Completion {
    /// The sale.
    pub sale: SaleId,
    /// The transaction.
    pub gid: Gid,
    /// The order.
    pub order: OrderId,
    /// The buyer.
    pub user: UserId,
    /// Units.
    pub units: Quantity,
    /// The sale's epoch at the decision.
    pub epoch: i64,
    /// What to do.
    pub op: Op,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completed {
    /// Applied, now or before, or counted by a rebuild.
    Done,
    /// Fenced or no answer: again later.
    NotYet(String),
}

impl Stock {
    /// Asks whether reservations can still be settled either way, in the order of `batch`. It never fails: without an answer
    /// the decision is free, for MySQL decides alone.
    pub async fn prepare(&self, batch: &[(SaleId, Gid)]) -> Vec<Vote> {
        let _measured = Measured::new("prepare");
        let mut votes = vec![Vote::Yes; batch.len()];
        let mut by_sale: BTreeMap<SaleId, Vec<usize>> = BTreeMap::new();
        for (at, (sale, _)) in batch.iter().enumerate() {
            by_sale.entry(*sale).or_default().push(at);
        }
        let calls = by_sale.iter().flat_map(|(sale, places)| {
            places.chunks(GIDS_A_CALL).map(move |places| async move {
                (places, self.prepare_in(*sale, places, batch).await)
            })
        });
        for (places, answer) in join_all(calls).await {
            let Ok(reply) = answer else { continue };
            for (place, vote) in places.iter().zip(reply.rest()) {
                if *vote == Value::Int(0) {
                    votes[*place] = Vote::No;
                }
            }
        }
        votes
    }

    async fn prepare_in(
        &self,
        sale: SaleId,
        places: &[usize],
        batch: &[(SaleId, Gid)],
    ) -> Result<Reply, StockError> {
        self.at_epoch(sale, |names| {
            let mut keys = vec![keys::stock(sale)];
            keys.extend(
                places
                    .iter()
                    .map(|place| names.reservation(batch[*place].1)),
            );
            let mut call = scripts::PREPARE.call(&keys);
            call.arg(names.epoch);
            call
        })
        .await
    }

    /// Tells reservations what was decided, in the order of `batch`. It never fails: what could not be told is asked for again.
    pub async fn complete(&self, batch: &[Completion]) -> Vec<Completed> {
        let _measured = Measured::new("complete");
        let mut done = vec![Completed::Done; batch.len()];
        let mut alike: BTreeMap<(SaleId, i64, Op), Vec<usize>> = BTreeMap::new();
        for (at, one) in batch.iter().enumerate() {
            alike
                .entry((one.sale, one.epoch, one.op))
                .or_default()
                .push(at);
        }
        let calls = alike.iter().flat_map(|((sale, epoch, op), places)| {
            let names = Names {
                sale: *sale,
                epoch: *epoch,
            };
            places.chunks(GIDS_A_CALL).map(move |places| async move {
                (places, self.complete_in(names, *op, places, batch).await)
            })
        });
        for (places, answer) in join_all(calls).await {
            let why = match answer {
                Ok(reply) if reply.code() == "done" => continue,
                Ok(reply) => reply.unexpected().to_string(),
                Err(StockError::NoAnswer(cause)) => format!("Redis did not answer: {cause}"),
                Err(error) => error.to_string(),
            };
            for place in places {
                done[*place] = Completed::NotYet(why.clone());
            }
        }
        done
    }

    /// The names are those of the decision's epoch, not of the one known here: a newer one has counted it already.
    async fn complete_in(
        &self,
        names: Names,
        op: Op,
        places: &[usize],
        batch: &[Completion],
    ) -> Result<Reply, StockError> {
        let mut keys = vec![keys::stock(names.sale), names.buyers(), names.pending()];
        keys.extend(
            places
                .iter()
                .map(|place| names.reservation(batch[*place].gid)),
        );
        let script = match op {
            Op::Confirm => &scripts::CONFIRM,
            Op::Release => &scripts::RELEASE,
            Op::Return => &scripts::RETURN,
        };
        let mut call = script.call(&keys);
        call.arg(names.epoch);
        for Completion {
            gid,
            order,
            user,
            units,
            ..
        } in places.iter().map(|place| &batch[*place])
        {
            call.arg(gid.to_string())
                .arg(order.to_string())
                .arg(user.to_string())
                .arg(units.get());
        }
        self.send(&call).await
    }
}
