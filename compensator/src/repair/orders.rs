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

/// The same of a try, which may have been told when to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotPlaced {
    /// This order fails by itself; whoever it failed at asks to be left alone for so long.
    Failed(String, Option<Duration>),
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
    ) -> Result<OrderOutcome, NotPlaced> {
        if let Some(why) = self.faults.hit(Step::Decide, order, attempt) {
            return Err(NotPlaced::Failed(why, None));
        }
        let outcome = decided(self.engine.submit_in(order.clone(), trace)).await?;
        match self.faults.hit(Step::DecideLost, order, attempt) {
            Some(why) => Err(NotPlaced::Failed(why, None)),
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
            None => Ok(decided(self.engine.archive(order.clone())).await?),
        }
    }
}

impl From<NotPlaced> for NoOutcome {
    fn from(cause: NotPlaced) -> Self {
        match cause {
            NotPlaced::Failed(why, _) => Self::Failed(why),
            NotPlaced::NotNow(why) => Self::NotNow(why),
        }
    }
}

async fn decided(
    deciding: impl Future<Output = Result<OrderOutcome, SubmitError>>,
) -> Result<OrderOutcome, NotPlaced> {
    match timeout(DECIDED_WITHIN, deciding).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(SubmitError::CannotDecide(why))) => Err(NotPlaced::Failed(why, None)),
        Ok(Err(SubmitError::NotPromised(open))) => {
            Err(NotPlaced::Failed(open.why, open.retry_after))
        }
        Ok(Err(cause @ (SubmitError::Unavailable(_) | SubmitError::Stopped))) => {
            Err(NotPlaced::NotNow(cause.to_string()))
        }
        Err(_) => Err(NotPlaced::NotNow(format!(
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
