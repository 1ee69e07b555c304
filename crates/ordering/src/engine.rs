//! The coordinator as orders use it: the stock branch in Redis, the order's rows in MySQL, one answer for each order.

use crate::{
    decision::OrderRows, message::OrderMessage, status::OrderOutcome, stock::Stock, work::OrderWork,
};
use coordinator::{Engine, Limits, Pace, Recovered, Sessions, SubmitError, Transaction};
use service_kit::{mysql, settings::Settings};
use sqlx::{MySqlPool, mysql::MySqlConnectOptions};
use std::{sync::Arc, time::Duration};

/// Decides orders. Cloning shares the engine.
#[derive(Clone)]
pub struct OrderEngine(Engine<OrderWork>);

impl OrderEngine {
    /// Starts an engine on the current runtime. It opens its own few sessions, beside any pool.
    #[must_use]
    pub fn start(limits: Limits, mysql: MySqlConnectOptions, stock: Stock) -> Self {
        Self(Engine::start(
            limits,
            Sessions::new(mysql),
            vec![Arc::new(stock)],
            Arc::new(OrderRows),
        ))
    }

    /// The engine of a process, as the settings say.
    #[must_use]
    pub fn of_process(settings: &Settings, stock: Stock) -> Self {
        let transaction = &settings.transaction;
        let limits = Limits {
            batch_size: transaction.batch_size,
            batch_wait: Duration::from_millis(transaction.batch_wait_ms),
            batches_in_flight: transaction.batches_in_flight,
            queue: transaction.queue,
        };
        Self::start(limits, mysql::options(&settings.database.mysql), stock)
    }

    /// Settles one order and tells how; the same again for every repeat. Its units in Redis follow by themselves.
    ///
    /// # Errors
    /// [`SubmitError::Unavailable`] when nothing can be decided now, whatever the order;
    /// [`SubmitError::CannotDecide`] when this order alone cannot be written. In both cases nothing was decided.
    pub async fn submit(&self, message: OrderMessage) -> Result<OrderOutcome, SubmitError> {
        self.settle(OrderWork::place(message)).await
    }

    /// Gives one order up: it is `failed`, and its units in Redis are given back. Of an order that was settled before, tells how.
    ///
    /// Texts that the tables might refuse are cut: what is wrong with an order must not keep it from being given up.
    ///
    /// # Errors
    /// As [`OrderEngine::submit`].
    pub async fn archive(&self, message: OrderMessage) -> Result<OrderOutcome, SubmitError> {
        self.settle(OrderWork::archive(message.fit_to_be_stored()))
            .await
    }

    /// Takes a confirmed order back: `Confirmed` says that it is cancelled now, or was.
    ///
    /// # Errors
    /// As [`OrderEngine::submit`].
    pub(crate) async fn cancel(&self, placed: OrderMessage) -> Result<OrderOutcome, SubmitError> {
        self.settle(OrderWork::cancel(placed)).await
    }

    async fn settle(
        &self,
        transaction: Transaction<OrderWork>,
    ) -> Result<OrderOutcome, SubmitError> {
        self.0.submit(transaction).await.map(OrderOutcome::from)
    }

    /// Takes no more, and returns once all that was taken is decided and its completion was tried.
    pub async fn drain(self) {
        self.0.drain().await;
    }
}

/// Completes what an engine decided and left: see [`coordinator::Recovery`].
pub struct Recovery(coordinator::Recovery<OrderWork>);

impl Recovery {
    /// Many may run at once, in any process.
    #[must_use]
    pub fn new(db: MySqlPool, stock: Stock, pace: Pace) -> Self {
        Self(coordinator::Recovery::new(db, vec![Arc::new(stock)], pace))
    }

    /// Completes one batch of due transactions. Call it again while it finishes any.
    ///
    /// # Errors
    /// What the database says; what was claimed comes back after its lease.
    pub async fn run_batch(&self) -> sqlx::Result<Recovered> {
        self.0.run_batch().await
    }

    /// Publishes how many transactions are unfinished, and for how long.
    ///
    /// # Errors
    /// What the database says.
    pub async fn observe(&self) -> sqlx::Result<()> {
        self.0.observe().await
    }
}
