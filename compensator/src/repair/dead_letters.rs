//! Dead work goes to the dead-letter topic, where people and other programs see it.

use super::{Step, Tools};
use compensation::{
    headers::Failure,
    queue::{self, Claimed},
};
use futures::future::join_all;
use service_kit::kafka::SendError;
use std::collections::HashSet;
use tracing::{error, warn};
use uuid::Uuid;

/// One to be published.
#[derive(Clone, Copy)]
pub(super) struct Letter<'a> {
    pub work: &'a Claimed,
    /// The try it failed in, of its generation.
    pub number: u32,
    /// How. The last failure counts; the first is in the history.
    pub error: &'a str,
}

impl<'a> Letter<'a> {
    /// As it was claimed.
    pub fn of(work: &'a Claimed) -> Self {
        Self {
            work,
            number: work.attempts,
            error: work.error.as_deref().unwrap_or_default(),
        }
    }
}

impl Tools {
    /// Publishes dead work all at once, and notes that it is; gives those that Kafka and MySQL took. Published twice does no harm.
    pub(super) async fn publish_dead_letters(&self, letters: &[Letter<'_>]) -> HashSet<Uuid> {
        // While Kafka is known to be away nobody waits for it.
        if letters.is_empty() || self.producer.check().is_err() {
            return HashSet::new();
        }
        let sent = join_all(letters.iter().map(|letter| self.send_dead_letter(*letter))).await;
        let sent: Vec<Uuid> = sent.into_iter().flatten().collect();
        match queue::all_published(&self.db, &sent).await {
            Ok(()) => sent.into_iter().collect(),
            Err(cause) => {
                warn!(
                    "{} dead letters are sent again, MySQL did not note them: {cause}",
                    sent.len()
                );
                HashSet::new()
            }
        }
    }

    async fn send_dead_letter(&self, letter: Letter<'_>) -> Option<Uuid> {
        let Letter {
            work,
            number,
            error,
        } = letter;
        let mut headers = work.headers.clone();
        headers.set("attempt", number.to_string());
        headers.set("generation", work.generation.to_string());
        headers.failed(Failure {
            class: "coordinator::SubmitError",
            cause_class: "CannotDecide",
            message: error,
            stack: error,
        });
        let key = work.order_id.to_string();
        let sent = self
            .producer
            .send(
                &self.dlq_topic,
                key.as_bytes(),
                &work.payload,
                headers.to_kafka(),
            )
            .await;
        if matches!(sent, Err(SendError::TooLarge)) {
            // Nothing would ever change that; all of it is in MySQL.
            error!(order.id = %work.order_id, "The dead letter of order {} is too large for Kafka: it goes on without a copy there", work.order_id);
        } else if let Err(cause) = sent {
            warn!(order.id = %work.order_id, "Kafka did not take the dead letter of order {}, it is sent again: {cause}", work.order_id);
            return None;
        }
        self.passed(Step::Published).await;
        Some(work.gid)
    }
}
