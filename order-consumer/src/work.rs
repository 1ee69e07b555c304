//! What is done with one message: decide the order, or hand what is none to the dead letters.

use crate::offsets::Ticket;
use coordinator::SubmitError;
use ordering::{
    OrderId, OrderOutcome,
    engine::OrderEngine,
    message::{BadMessage, OrderMessage},
};
use rdkafka::message::{BorrowedMessage, Message as _};
use service_kit::kafka::{DeadLetter, Producer};
use std::{error::Error as _, sync::Arc, time::Duration};
use tokio::time::sleep;
use tracing::warn;

/// The first wait before an order that failed alone is tried again, or a dead letter sent again; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Waits are up to this share longer or shorter, so that those that failed together do not come back together.
const JITTER: f64 = 0.2;

/// How long the wait after this many failures is, the first being 1. `dice` is anything in 0..1.
pub(crate) fn wait_after(failures: u32, dice: f64) -> Duration {
    let wait = FIRST_WAIT
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(LONGEST_WAIT);
    wait.mul_f64(1.0 + JITTER * (2.0 * dice - 1.0))
}

/// A message as it was read.
pub(crate) enum Read {
    Order(Box<OrderMessage>),
    Poison(DeadLetter),
    NewerVersion(u32),
}

/// Reads a message; what can never be an order becomes a dead letter.
pub(crate) fn read(message: &BorrowedMessage<'_>, group: &str) -> Read {
    match OrderMessage::parse(message.payload().unwrap_or_default()) {
        Ok(order) => Read::Order(Box::new(order)),
        Err(BadMessage::NewerVersion(version)) => Read::NewerVersion(version),
        Err(poison @ BadMessage::Poison(_)) => {
            let cause = poison.source().map(ToString::to_string).unwrap_or_default();
            warn!(
                partition = message.partition(),
                offset = message.offset(),
                "Message at {}/{} is no order, it goes to the dead letters: {cause}",
                message.partition(),
                message.offset()
            );
            let text = format!("{poison}: {cause}");
            Read::Poison(DeadLetter::of(
                message,
                group,
                "ordering::message::BadMessage",
                "serde_json::Error",
                &text,
            ))
        }
    }
}

/// An order in hand.
pub(crate) struct InHand {
    pub ticket: Ticket,
    pub order: Box<OrderMessage>,
    /// How often it failed by itself.
    pub failures: u32,
    /// Whether the gate waits for it.
    pub tried_for_the_gate: bool,
}

impl InHand {
    pub(crate) fn id(&self) -> OrderId {
        self.order.order_id
    }
}

/// One piece of work.
pub(crate) enum Job {
    Decide(InHand),
    Bury(Ticket, DeadLetter),
}

/// How it ended.
pub(crate) enum Done {
    Decided(InHand, Result<OrderOutcome, SubmitError>),
    Buried(Ticket),
}

/// What jobs need. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Tools {
    pub engine: OrderEngine,
    pub producer: Producer,
    pub dead_letters: Arc<str>,
}

impl Tools {
    /// Does one job. A dead letter is sent until it is acknowledged: only then may its offset finish.
    pub(crate) async fn work(self, job: Job) -> Done {
        match job {
            Job::Decide(in_hand) => {
                let outcome = self.engine.submit((*in_hand.order).clone()).await;
                Done::Decided(in_hand, outcome)
            }
            Job::Bury(ticket, letter) => {
                let mut failures = 0;
                while let Err(cause) = letter.send(&self.producer, &self.dead_letters).await {
                    failures += 1;
                    warn!("A dead letter was not acknowledged, it is sent again: {cause}");
                    sleep(wait_after(failures, rand::random())).await;
                }
                Done::Buried(ticket)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_minute_give_or_take() {
        assert_eq!(
            [1, 2, 3].map(|failures| wait_after(failures, 0.5)),
            [500, 1_000, 2_000].map(Duration::from_millis)
        );
        assert_eq!(
            [9, 40, u32::MAX].map(|failures| wait_after(failures, 0.5)),
            [LONGEST_WAIT; 3]
        );
        assert_eq!(
            (wait_after(9, 0.0), wait_after(9, 1.0)),
            (Duration::from_secs(24), Duration::from_secs(36))
        );
    }
}
