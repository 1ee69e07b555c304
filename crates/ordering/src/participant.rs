//! The stock branch: a reservation in Redis takes part in the order's transaction.

use crate::{
    stock::{self, Completed, Op, Stock},
    work::{OrderBranch, PlaceOrder},
};
use coordinator::{Answer, Completion, Direction, Participant, Transaction, Vote};
use futures::future::BoxFuture;

/// The reason of an order whose reservation was given back before it was decided.
pub const WITHDRAWN: &str = "withdrawn";

impl Participant<PlaceOrder> for Stock {
    fn name(&self) -> &'static str {
        "stock"
    }

    /// Only a reservation that was surely released votes no: without an answer MySQL decides alone.
    fn prepare<'a>(&'a self, batch: &'a [Transaction<PlaceOrder>]) -> BoxFuture<'a, Vec<Vote>> {
        Box::pin(async move {
            let reservations: Vec<_> = batch
                .iter()
                .map(|transaction| (transaction.work.message().sale_id, transaction.gid))
                .collect();
            self.prepare(&reservations)
                .await
                .into_iter()
                .map(|vote| match vote {
                    stock::Vote::Yes => Vote::Yes,
                    stock::Vote::No => Vote::No(WITHDRAWN.to_owned()),
                })
                .collect()
        })
    }

    fn complete<'a>(&'a self, batch: &'a [Completion<OrderBranch>]) -> BoxFuture<'a, Vec<Answer>> {
        Box::pin(async move {
            let completions: Vec<_> = batch.iter().map(completion).collect();
            self.complete(&completions)
                .await
                .into_iter()
                .map(|completed| match completed {
                    Completed::Done => Answer::Done,
                    Completed::NotYet(why) => Answer::NotYet(why),
                })
                .collect()
        })
    }
}

fn completion(completion: &Completion<OrderBranch>) -> stock::Completion {
    let OrderBranch {
        sale,
        order,
        user,
        units,
    } = completion.branch;
    stock::Completion {
        sale,
        gid: completion.gid,
        order,
        user,
        units,
        epoch: completion.epoch,
        op: match completion.direction {
            Direction::Commit => Op::Confirm,
            Direction::RollBack => Op::Release,
        },
    }
}
