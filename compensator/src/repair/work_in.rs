//! How an order gets into the retry queue, wherever its first try was made: once a transaction, with that try as the beginning of its
//! history, and with the tries of older generations before it.

use super::Tools;
use chrono::{DateTime, Utc};
use compensation::{
    archive,
    attempt::{Attempt, FAILED, History, Lane},
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

impl FirstTry {
    fn bytes(&self) -> usize {
        let of_headers = self.headers.0.iter();
        let of_headers = of_headers
            .map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len))
            .sum::<usize>();
        self.payload.len() + of_headers
    }
}

/// The most bytes of messages in one statement, before they are written as text; well below what servers take.
const BYTES_AT_MOST: usize = 4 << 20;

/// Where work begins, and when it is looked at first.
#[derive(Clone, Copy)]
struct Begins {
    state: State,
    attempts: u32,
    due_after: Duration,
}

impl Tools {
    /// Takes in an order whose first try failed. `false`: it is known, and stays as it is.
    pub(super) async fn take_failed(
        &self,
        db: &mut MySqlConnection,
        first: FirstTry,
        order: &OrderMessage,
    ) -> sqlx::Result<bool> {
        let begins = self.of_failed(&first);
        self.enqueue(db, first, order, begins).await
    }

    /// Takes in many of them. Those that are known stay as they are.
    pub(super) async fn take_all_failed(
        &self,
        db: &mut MySqlConnection,
        failed: Vec<(FirstTry, OrderMessage)>,
    ) -> sqlx::Result<()> {
        if failed.is_empty() {
            return Ok(());
        }
        let orders = failed.iter().map(|(_, order)| order.order_id.as_uuid());
        let histories = archive::histories_of(&mut *db, orders).await?;
        let (mut part, mut bytes) = (Vec::new(), 0);
        for (first, order) in failed {
            let begins = self.of_failed(&first);
            let history = histories.get(&order.order_id.as_uuid());
            let history = history.cloned().unwrap_or_default();
            bytes += first.bytes();
            part.push(new_work(first, &order, begins, &history));
            if bytes > BYTES_AT_MOST {
                self.enqueue_all(&mut *db, std::mem::take(&mut part))
                    .await?;
                bytes = 0;
            }
        }
        self.enqueue_all(db, part).await
    }

    /// Takes in an order from the dead-letter topic, where others put it.
    pub(super) async fn take_dead(
        &self,
        db: &mut MySqlConnection,
        first: FirstTry,
        order: &OrderMessage,
    ) -> sqlx::Result<bool> {
        let policy = self.policy.now();
        let attempts = policy.tries_before_dead_letter();
        let (state, due_after) = match policy.roll(attempts, None) {
            Next::Retry(after) | Next::DeadLetter(after) => (State::Dead, after),
            Next::Archive => (State::Archiving, Duration::ZERO),
        };
        let begins = Begins {
            state,
            attempts,
            due_after,
        };
        self.enqueue(db, first, order, begins).await
    }

    fn of_failed(&self, first: &FirstTry) -> Begins {
        let attempts = 1;
        let retry_after = first
            .headers
            .text(RETRY_AFTER_HEADER)
            .and_then(|text| text.parse().ok())
            .map(Duration::from_millis);
        let (state, due_after) = match self.policy.now().roll(attempts, retry_after) {
            Next::Retry(after) => (State::Scheduled, after),
            Next::DeadLetter(after) => (State::Dead, after),
            Next::Archive => (State::Archiving, Duration::ZERO),
        };
        Begins {
            state,
            attempts,
            due_after,
        }
    }

    async fn enqueue(
        &self,
        db: &mut MySqlConnection,
        first: FirstTry,
        order: &OrderMessage,
        begins: Begins,
    ) -> sqlx::Result<bool> {
        let history = archive::history_of(&mut *db, order.order_id.as_uuid()).await?;
        let (work, attempt) = new_work(first, order, begins, &history);
        let taken = queue::enqueue(&mut *db, &work).await?;
        if taken {
            self.log
                .write(db, work.gid, work.order_id, &attempt)
                .await?;
        }
        Ok(taken)
    }

    async fn enqueue_all(
        &self,
        db: &mut MySqlConnection,
        new: Vec<(NewWork, Attempt)>,
    ) -> sqlx::Result<()> {
        let (works, attempts): (Vec<NewWork>, Vec<Attempt>) = new.into_iter().unzip();
        let mut tries = Vec::with_capacity(works.len());
        let all = queue::enqueue_all(&mut *db, &works).await?;
        for (work, attempt) in works.iter().zip(attempts) {
            // Some are known, which happens when messages come again: each is told apart.
            if all || queue::enqueue(&mut *db, work).await? {
                tries.push((work.gid, work.order_id, attempt));
            }
        }
        self.log.write_all(db, tries).await
    }
}

fn new_work(
    first: FirstTry,
    order: &OrderMessage,
    begins: Begins,
    history: &History,
) -> (NewWork, Attempt) {
    let attempt = Attempt {
        generation: order.generation,
        attempt: begins.attempts,
        lane: Lane::First,
        started_at: first.at,
        duration_ms: 0,
        worker: first.worker,
        outcome: FAILED.to_owned(),
        error: first.error.clone(),
        next_after_ms: u64::try_from(begins.due_after.as_millis()).ok(),
    }
    .fit_to_be_stored();
    let work = NewWork {
        gid: order.gid.as_uuid(),
        kind: "order",
        order_id: order.order_id.as_uuid(),
        generation: order.generation,
        sale_id: order.sale_id.as_uuid(),
        user_id: order.user_id.as_uuid(),
        state: begins.state,
        attempts: begins.attempts,
        due_after: begins.due_after,
        payload: first.payload,
        headers: first.headers,
        history: history.and(attempt.clone()),
        error: first.error,
    };
    (work, attempt)
}
