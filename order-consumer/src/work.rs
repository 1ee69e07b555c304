//! What is done with one message: decide the order, hand it on when it fails alone, or hand what is no order to the dead letters.

use crate::offsets::Ticket;
use coordinator::SubmitError;
use ordering::{
    OrderId, OrderOutcome,
    engine::OrderEngine,
    faults::{Faults, Step},
    message::{BadMessage, OrderMessage},
};
use rdkafka::message::{BorrowedMessage, Message as _};
use service_kit::kafka::{DeadLetter, Failure, Original, Producer, RETRY_AFTER_HEADER};
use std::{error::Error as _, sync::Arc, time::Duration};
use tokio::time::sleep;
use tracing::warn;

/// The first wait before a message that was not acknowledged is sent again; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Waits are up to this share longer or shorter, so that those that failed together do not come back together.
const JITTER: f64 = 0.2;
/// The header that says in which trace an order was asked for.
const TRACE: &str = "traceparent";
/// Which try of an order this process makes, whatever becomes of it.
const FIRST_TRY: u32 = 1;

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
            let failure = Failure {
                kind: "ordering::message::BadMessage",
                cause_kind: "serde_json::Error",
                text: &format!("{poison}: {cause}"),
            };
            Read::Poison(DeadLetter::new(
                Original::of(message),
                message.topic(),
                group,
                failure,
            ))
        }
    }
}

/// An order in hand.
pub(crate) struct InHand {
    pub ticket: Ticket,
    pub order: Box<OrderMessage>,
    /// The message it was read from: what is handed on when it fails alone.
    pub original: Original,
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
    /// To the compensator, which tries it again; why, and no earlier than after so long.
    HandOn(InHand, String, Option<Duration>),
    Bury(Ticket, DeadLetter),
}

/// How it ended.
pub(crate) enum Done {
    Decided(InHand, Result<OrderOutcome, SubmitError>),
    HandedOn(Ticket),
    Buried(Ticket),
}

/// What jobs need. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Tools {
    pub engine: OrderEngine,
    pub producer: Producer,
    pub topics: Arc<Topics>,
    pub faults: Arc<Faults>,
}

/// Where messages come from and go to.
pub(crate) struct Topics {
    pub orders: String,
    pub group: String,
    pub compensation: String,
    pub dead_letters: String,
}

impl Tools {
    /// Does one job. What is handed on is sent until it is acknowledged: only then may its offset finish.
    pub(crate) async fn work(self, job: Job) -> Done {
        match job {
            Job::Decide(in_hand) => {
                let trace = in_hand.original.header(TRACE);
                let outcome = self.decide(&in_hand.order, trace).await;
                Done::Decided(in_hand, outcome)
            }
            Job::HandOn(in_hand, why, retry_after) => {
                let failure = Failure {
                    kind: "coordinator::SubmitError",
                    cause_kind: "CannotDecide",
                    text: &why,
                };
                let Topics {
                    orders,
                    group,
                    compensation,
                    ..
                } = &*self.topics;
                let mut letter = DeadLetter::new(in_hand.original, orders, group, failure);
                if let Some(wait) = retry_after {
                    let wait_ms = wait.as_millis().to_string();
                    letter = letter.with_header(RETRY_AFTER_HEADER, &wait_ms);
                }
                self.send(&letter, compensation).await;
                Done::HandedOn(in_hand.ticket)
            }
            Job::Bury(ticket, letter) => {
                self.send(&letter, &self.topics.dead_letters).await;
                Done::Buried(ticket)
            }
        }
    }

    async fn decide(
        &self,
        order: &OrderMessage,
        trace: Option<&str>,
    ) -> Result<OrderOutcome, SubmitError> {
        if let Some(why) = self.faults.hit(Step::Decide, order, FIRST_TRY) {
            return Err(SubmitError::CannotDecide(why));
        }
        let outcome = self.engine.submit_in(order.clone(), trace).await?;
        match self.faults.hit(Step::DecideLost, order, FIRST_TRY) {
            Some(why) => Err(SubmitError::CannotDecide(why)),
            None => Ok(outcome),
        }
    }

    async fn send(&self, letter: &DeadLetter, topic: &str) {
        let mut failures = 0;
        while let Err(cause) = letter.send(&self.producer, topic).await {
            failures += 1;
            warn!("A message to {topic} was not acknowledged, it is sent again: {cause}");
            sleep(wait_after(failures, rand::random())).await;
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
