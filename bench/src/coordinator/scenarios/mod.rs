//! The scenarios, by name.

mod backlog;
mod latency;
mod modes;
mod rebuild;
mod recover;
mod recover_foreign;
mod saturated;

use super::{results::Row, rounds::Budget, stage::Stage};
use clap::ValueEnum;
use std::fmt;

/// One way to look at the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// As many orders as it takes, of several sales
    Coordinator,
    /// The same in batches of one, by 16 callers
    #[value(name = "coordinator-batch-1")]
    CoordinatorBatch1,
    /// One order after the other, from submission to the last branch
    #[value(name = "latency-1")]
    Latency1,
    /// 1,200 orders a second, come what may
    #[value(name = "latency-500")]
    Latency500,
    /// As many orders as it takes, of one sale
    Contended,
    /// 10,000 decided orders whose branches nobody completed
    Recover,
    /// 1,000 of them with a participant outside that takes 300 ms
    RecoverForeign,
    /// What it costs recovery to pick work out of 1,000 to 1,000,000 unfinished transactions
    Backlog,
    /// The same orders written without a coordinator, and with one
    Modes,
    /// Hundreds of sales made anew in Redis, one with a million buyers
    Rebuild,
}

impl Scenario {
    /// What is run when nothing is asked for by name.
    pub const ALL: [Self; 10] = [
        Self::Coordinator,
        Self::CoordinatorBatch1,
        Self::Latency1,
        Self::Latency500,
        Self::Contended,
        Self::Recover,
        Self::RecoverForeign,
        Self::Backlog,
        Self::Modes,
        Self::Rebuild,
    ];

    /// Runs it on an empty stage.
    ///
    /// # Errors
    /// What the servers say; also when the product did not do what it should.
    pub async fn run(self, stage: &Stage, budget: Budget) -> anyhow::Result<Row> {
        match self {
            Self::Coordinator => saturated::several_sales(stage, budget).await,
            Self::CoordinatorBatch1 => saturated::batches_of_one(stage, budget).await,
            Self::Contended => saturated::one_sale(stage, budget).await,
            Self::Latency1 => latency::one_alone(stage, budget).await,
            Self::Latency500 => latency::offered(stage, budget).await,
            Self::Recover => recover::run(stage, budget).await,
            Self::RecoverForeign => recover_foreign::run(stage, budget).await,
            Self::Backlog => backlog::run(stage, budget).await,
            Self::Modes => modes::run(stage, budget).await,
            Self::Rebuild => rebuild::run(stage, budget).await,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value();
        f.write_str(name.as_ref().map_or("", |name| name.get_name()))
    }
}
