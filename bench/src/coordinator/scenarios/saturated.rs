//! As fast as it goes: enough callers that every batch is full.

use crate::coordinator::{
    bare_load::{self, Shape},
    engine_load,
    results::{Compared, Row},
    rounds::{Budget, alternate},
    stage::Stage,
};
use coordinator::Limits;
use serde_json::{Map, json};

/// Several batches can be in flight, each of a sale of its own.
const SALES: usize = 8;
/// Two batches' worth a sale: one is decided, the next is gathered.
const CALLERS_A_SALE: usize = 400;
/// Callers, batches in flight and sales where a batch is one order.
const SINGLES: usize = 16;
/// A first guess, for the warm-up alone.
const ORDERS_A_SECOND: f64 = 15_000.0;
const SINGLES_A_SECOND: f64 = 1_000.0;

struct Contest<'a> {
    name: &'static str,
    limits: Limits,
    sales: usize,
    callers: usize,
    shapes: &'a [Shape],
    first_guess: f64,
}

/// Many orders of several sales.
pub async fn several_sales(stage: &Stage, budget: Budget) -> anyhow::Result<Row> {
    let contest = Contest {
        name: "coordinator",
        limits: stage.limits(),
        sales: SALES,
        callers: SALES * CALLERS_A_SALE,
        shapes: &Shape::ALL,
        first_guess: ORDERS_A_SECOND,
    };
    contest.run(stage, budget).await
}

/// All on one sale's row.
pub async fn one_sale(stage: &Stage, budget: Budget) -> anyhow::Result<Row> {
    let limits = stage.limits();
    let contest = Contest {
        name: "contended",
        limits,
        sales: 1,
        callers: limits.batch_at_most * 4,
        shapes: &Shape::ALL,
        first_guess: ORDERS_A_SECOND,
    };
    contest.run(stage, budget).await
}

/// What batches save: each order is decided alone.
pub async fn batches_of_one(stage: &Stage, budget: Budget) -> anyhow::Result<Row> {
    let contest = Contest {
        name: "coordinator-batch-1",
        limits: Limits {
            batch_size: 1,
            batch_at_most: 1,
            batches_in_flight: SINGLES,
            ..stage.limits()
        },
        sales: SINGLES,
        callers: SINGLES,
        shapes: &[Shape::new(1, SINGLES)],
        first_guess: SINGLES_A_SECOND,
    };
    contest.run(stage, budget).await
}

impl Contest<'_> {
    async fn run(&self, stage: &Stage, budget: Budget) -> anyhow::Result<Row> {
        let product = async |orders| {
            let lists = stage.reserved(self.sales, orders).await?;
            engine_load::saturate(stage, self.limits, self.callers, lists).await
        };
        let floor = async |shape, orders| {
            let lists = stage.reserved(self.sales, orders).await?;
            bare_load::saturate(stage, shape, &lists).await
        };

        let guess = budget.trial_at(self.first_guess);
        let rate = product(guess).await?.rate();
        let mut best = (self.shapes[0], 0.0);
        // Twice, so that one hiccup does not choose.
        for shape in self.shapes.iter().chain(self.shapes) {
            let in_warm_up = shape.batch * self.sales.max(shape.in_flight);
            let tried = floor(*shape, budget.trial_at(rate) + in_warm_up)
                .await?
                .rate();
            if tried > best.1 {
                best = (*shape, tried);
            }
        }
        let (shape, floor_rate) = best;

        let rounds = alternate(
            budget,
            async || product(budget.orders_at(rate)).await,
            async || floor(shape, budget.orders_at(floor_rate)).await,
        )
        .await?;
        let mut settings = Map::new();
        settings.insert("engine".to_owned(), engine_load::shown(self.limits));
        settings.insert("floor".to_owned(), shape.shown());
        settings.insert("sales".to_owned(), json!(self.sales));
        settings.insert("callers".to_owned(), json!(self.callers));
        settings.insert("latency".to_owned(), json!("submission to outcome"));
        Row::of(
            self.name,
            &rounds.product,
            &rounds.floor,
            Compared::ByRate,
            settings,
        )
    }
}
