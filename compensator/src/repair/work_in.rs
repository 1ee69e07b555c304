//! How an order gets into the retry queue, wherever its first try was made: once a transaction, with that try as the beginning of its
//! history, and with the tries of older generations before it.

use super::Tools;
use chrono::{DateTime, Utc};
use compensation::{
    archive,
    attempt::{Attempt, FAILED, Lane},
    headers::Headers,
    policy::Next,
    queue::{self, NewWork},
    state::State,
};
use ordering::message::OrderMessage;
use service_kit::kafka::RETRY_AFTER_HEADER;
use sqlx::MySqlConnection;
use std::time::Duration;

/// A first try that came to nothing.
pub(super) struct FirstTry {
    pub at: DateTime<Utc>,
    /// Who made it.
    pub worker: String,
    pub error: Option<String>,
    /// The message as it came.
    pub payload: Vec<u8>,
    pub headers: Headers,
}

impl Tools {
    /// Takes in an order whose first try failed. `false`: it is known, and stays as it is.
    pub(super) async fn take_failed(
        &self,
        db: &mut MySqlConnection,
        first: FirstTry,
        order: &OrderMessage,
    ) -> sqlx::Result<bool> {
        let tries = 1;
        let retry_after = first
            .headers
            .text(RETRY_AFTER_HEADER)
            .and_then(|text| text.parse().ok())
            .map(Duration::from_millis);
        let (state, after) = match self.policy.now().roll(tries, retry_after) {
            Next::Retry(after) => (State::Scheduled, after),
            Next::DeadLetter(after) => (State::Dead, after),
            Next::Archive => (State::Archiving, Duration::ZERO),
        };
        self.enqueue(db, first, order, state, tries, after).await
    }

    /// Takes in an order from the dead-letter topic, where others put it.
    pub(super) async fn take_dead(
        &self,
        db: &mut MySqlConnection,
        first: FirstTry,
        order: &OrderMessage,
    ) -> sqlx::Result<bool> {
        let policy = self.policy.now();
        let tries = policy.tries_before_dead_letter();
        let (state, after) = match policy.roll(tries, None) {
            Next::Retry(after) | Next::DeadLetter(after) => (State::Dead, after),
            Next::Archive => (State::Archiving, Duration::ZERO),
        };
        self.enqueue(db, first, order, state, tries, after).await
    }

    async fn enqueue(
        &self,
        db: &mut MySqlConnection,
        first: FirstTry,
        order: &OrderMessage,
        state: State,
        attempts: u32,
        due_after: Duration,
    ) -> sqlx::Result<bool> {
        let gid = order.gid.as_uuid();
        let order_id = order.order_id.as_uuid();
        let attempt = Attempt {
            generation: order.generation,
            attempt: attempts,
            lane: Lane::First,
            started_at: first.at,
            duration_ms: 0,
            worker: first.worker,
            outcome: FAILED.to_owned(),
            error: first.error.clone(),
            next_after_ms: u64::try_from(due_after.as_millis()).ok(),
        }
        .fit_to_be_stored();
        let mut history = archive::history_of(&mut *db, order_id).await?;
        history.push(attempt.clone());
        let work = NewWork {
            gid,
            kind: "order",
            order_id,
            generation: order.generation,
            sale_id: order.sale_id.as_uuid(),
            user_id: order.user_id.as_uuid(),
            state,
            attempts,
            due_after,
            payload: first.payload,
            headers: first.headers,
            history,
            error: first.error,
        };
        let taken = queue::enqueue(&mut *db, &work).await?;
        if taken {
            self.log.write(db, gid, order_id, &attempt).await?;
        }
        Ok(taken)
    }
}
