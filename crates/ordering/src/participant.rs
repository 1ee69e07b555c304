//! The stock branch: a reservation in Redis takes part in the order's transaction.

use crate::{
    stock::{self, Completed, Op, Stock},
    work::{Act, OrderBranch, OrderWork},
};
use coordinator::{Answer, Completion, Direction, Participant, Transaction, Vote};
use futures::future::BoxFuture;

/// The reason of an order whose reservation was given back before it was decided.
pub const WITHDRAWN: &str = "withdrawn";

impl Participant<OrderWork> for Stock {
    fn name(&self) -> &'static str {
        "stock"
    }

    /// Only a reservation that was surely released votes no: without an answer MySQL decides alone. What gives units back is not
    /// asked for a promise.
    fn prepare<'a>(&'a self, batch: &'a [Transaction<OrderWork>]) -> BoxFuture<'a, Vec<Vote>> {
        Box::pin(async move {
            let placed =
                |transaction: &&Transaction<OrderWork>| transaction.work.act() == Act::Place;
            let reservations: Vec<_> = batch
                .iter()
                .filter(placed)
                .map(|transaction| (transaction.work.message().sale_id, transaction.gid))
                .collect();
            let mut answers = self.prepare(&reservations).await.into_iter();
            batch
                .iter()
                .map(
                    |transaction| match placed(&transaction).then(|| answers.next()) {
                        Some(Some(stock::Vote::No)) => Vote::No(WITHDRAWN.to_owned()),
                        _ => Vote::Yes,
                    },
                )
                .collect()
        })
    }

    fn complete<'a>(&'a self, batch: &'a [Completion<OrderBranch>]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(async move {
            let owed: Vec<_> = batch.iter().map(completion).collect();
            let completions: Vec<_> = owed.iter().flatten().copied().collect();
            let mut answers = self.complete(&completions).await.into_iter();
            owed.iter()
                .map(|owed| match owed.map(|_| answers.next()) {
                    Some(Some(Completed::NotYet(why))) => Answer::NotYet(why),
                    _ => Answer::Done,
                })
                .collect()
        })
    }
}

/// What Redis is told; nothing where an order that could not be cancelled stays as it is.
fn completion(completion: &Completion<OrderBranch>) -> Option<stock::Completion> {
    let OrderBranch {
        act,
        sale,
        order,
        user,
        units,
        reservation,
    } = completion.branch;
    let op = match (act, completion.direction) {
        (Act::Place | Act::Archive, Direction::Commit) => Op::Confirm,
        (Act::Place | Act::Archive, Direction::RollBack) => Op::Release,
        (Act::Cancel, Direction::Commit) => Op::Return,
        (Act::Cancel, Direction::RollBack) => return None,
    };
    Some(stock::Completion {
        sale,
        gid: reservation.unwrap_or(completion.gid),
        order,
        user,
        units,
        epoch: completion.epoch,
        op,
    })
}
