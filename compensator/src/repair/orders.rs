//! How an order is tried, and how it is given up: under its own gid, so that a repeat finds what was decided before.

use compensation::operations;
use coordinator::SubmitError;
use ordering::{
    OrderOutcome,
    engine::OrderEngine,
    faults::{Faults, Step},
    message::OrderMessage,
};
use std::time::Duration;
use tokio::time::timeout;

/// How long a decision may take before its claim is given back; well below the claim's own time.
const DECIDED_WITHIN: Duration = Duration::from_secs(10);

/// Decides orders, unless a fault was asked for.
pub(super) struct Orders {
    engine: OrderEngine,
    faults: Faults,
}

/// Why there is no outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoOutcome {
    /// This order fails by itself.
    Failed(String),
    /// Nothing can be decided now, whatever the order: that was no try.
    NotNow(String),
}

impl Orders {
    pub(super) fn new(engine: OrderEngine, faults: Faults) -> Self {
        Self { engine, faults }
    }

    /// Tries an order for the `attempt`th time, all its generations counted, in the trace it was asked for in.
    pub(super) async fn place(
        &self,
        order: &OrderMessage,
        attempt: u32,
        trace: Option<&str>,
    ) -> Result<OrderOutcome, NoOutcome> {
        if let Some(why) = self.faults.hit(Step::Decide, order, attempt) {
            return Err(NoOutcome::Failed(why));
        }
        let outcome = decided(self.engine.submit_in(order.clone(), trace)).await?;
        match self.faults.hit(Step::DecideLost, order, attempt) {
            Some(why) => Err(NoOutcome::Failed(why)),
            None => Ok(outcome),
        }
    }

    /// Gives an order up, for the `attempt`th time; tells how it was settled before, if it was.
    pub(super) async fn archive(
        &self,
        order: &OrderMessage,
        attempt: u32,
    ) -> Result<OrderOutcome, NoOutcome> {
        match self.faults.hit(Step::Archive, order, attempt) {
            Some(why) => Err(NoOutcome::Failed(why)),
            None => decided(self.engine.archive(order.clone())).await,
        }
    }
}

async fn decided(
    deciding: impl Future<Output = Result<OrderOutcome, SubmitError>>,
) -> Result<OrderOutcome, NoOutcome> {
    match timeout(DECIDED_WITHIN, deciding).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(SubmitError::CannotDecide(why) | SubmitError::NotPromised(why))) => {
            Err(NoOutcome::Failed(why))
        }
        Ok(Err(cause @ (SubmitError::Unavailable(_) | SubmitError::Stopped))) => {
            Err(NoOutcome::NotNow(cause.to_string()))
        }
        Err(_) => Err(NoOutcome::NotNow(format!(
            "no decision within {} s",
            DECIDED_WITHIN.as_secs()
        ))),
    }
}

/// How an outcome is kept: its code, and the reason where there is one.
pub(super) fn told(outcome: &OrderOutcome) -> (&'static str, Option<&str>) {
    match outcome {
        OrderOutcome::Confirmed => ("confirmed", None),
        OrderOutcome::Rejected { reason } => ("rejected", Some(reason)),
        OrderOutcome::Failed => (operations::ARCHIVED, None),
        OrderOutcome::Superseded => (operations::SUPERSEDED, None),
    }
}
