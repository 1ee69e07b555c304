//! The coordinator as orders use it: the stock branch in Redis, the order's rows in MySQL, one answer for each order.

use crate::{
    decision::OrderRows,
    foreign::Foreign,
    message::OrderMessage,
    status::{ARCHIVED, OrderOutcome},
    stock::Stock,
    work::{OrderWork, TakenBack},
};
use coordinator::{
    Engine, Gid, Limits, Pace, Participant, Participants, Recovered, ResumeError, Sessions,
    SubmitError, Transaction, TxState,
};
use service_kit::{mysql, settings::Settings};
use sqlx::{MySqlConnection, MySqlPool, mysql::MySqlConnectOptions};
use std::{sync::Arc, time::Duration};

/// Decides orders. Cloning shares the engine.
#[derive(Clone)]
pub struct OrderEngine {
    engine: Engine<OrderWork>,
    foreign: Foreign,
}

impl OrderEngine {
    /// Starts an engine on the current runtime. It opens its own few sessions, beside any pool.
    #[must_use]
    pub fn start(
        limits: Limits,
        mysql: MySqlConnectOptions,
        stock: Stock,
        foreign: Foreign,
    ) -> Self {
        let participants = participants(stock, &foreign);
        let sessions = Sessions::new(mysql);
        Self {
            engine: Engine::start(limits, sessions, participants, Arc::new(OrderRows)),
            foreign,
        }
    }

    /// The engine of a process, as the settings say. A process calls foreign participants through one [`Foreign`], that its limits
    /// are its own.
    #[must_use]
    pub fn of_process(settings: &Settings, stock: Stock, foreign: Foreign) -> Self {
        let mysql = mysql::options(&settings.database.mysql);
        Self::start(limits(settings), mysql, stock, foreign)
    }

    /// Settles one order and tells how; the same again for every repeat. Its units in Redis follow by themselves.
    ///
    /// # Errors
    /// [`SubmitError::Unavailable`] when nothing can be decided now, whatever the order;
    /// [`SubmitError::CannotDecide`] when this order alone cannot be written, [`SubmitError::NotPromised`] when a participant outside
    /// has not promised its part. In all cases nothing was decided.
    pub async fn submit(&self, message: OrderMessage) -> Result<OrderOutcome, SubmitError> {
        self.submit_in(message, None).await
    }

    /// The same in a W3C trace context: spans carry it, and foreign participants are told.
    ///
    /// # Errors
    /// As [`OrderEngine::submit`].
    pub async fn submit_in(
        &self,
        message: OrderMessage,
        trace: Option<&str>,
    ) -> Result<OrderOutcome, SubmitError> {
        let foreign = self.foreign.of(message.sale_id);
        self.settle(OrderWork::place_with(message, foreign, trace))
            .await
    }

    /// Gives one order up: it is `failed`, and its units in Redis are given back. Of an order that was settled before, tells how.
    ///
    /// Texts that the tables might refuse are cut: what is wrong with an order must not keep it from being given up.
    ///
    /// # Errors
    /// As [`OrderEngine::submit`].
    pub async fn archive(&self, message: OrderMessage) -> Result<OrderOutcome, SubmitError> {
        let archive = OrderWork::archive(message.fit_to_be_stored());
        let outcome = self.engine.refuse(archive, ARCHIVED).await?;
        Ok(OrderOutcome::from(outcome))
    }

    /// Takes a confirmed order back: `Confirmed` says that it is cancelled now, or was.
    ///
    /// # Errors
    /// As [`OrderEngine::submit`].
    pub(crate) async fn cancel(
        &self,
        placed: OrderMessage,
        why: TakenBack,
    ) -> Result<OrderOutcome, SubmitError> {
        self.settle(OrderWork::cancel(placed, why)).await
    }

    async fn settle(
        &self,
        transaction: Transaction<OrderWork>,
    ) -> Result<OrderOutcome, SubmitError> {
        self.engine
            .submit(transaction)
            .await
            .map(OrderOutcome::from)
    }

    /// Takes no more, and returns once all that was taken is decided and its completion was tried.
    pub async fn drain(self) {
        self.engine.drain().await;
    }
}

/// The order of a transaction that was begun and is not decided, as it was written down with it; `None` where it is not undecided.
///
/// # Errors
/// What the database says; [`sqlx::Error::Decode`] where only a newer build can read it.
pub async fn undecided(db: &mut MySqlConnection, gid: Gid) -> sqlx::Result<Option<OrderMessage>> {
    let work: Option<OrderWork> = coordinator::control::undecided(db, gid).await?;
    Ok(work.map(|work| work.message().clone()))
}

/// The bounds of a process's engine, as the settings say.
#[must_use]
pub fn limits(settings: &Settings) -> Limits {
    let transaction = &settings.transaction;
    Limits {
        batch_size: transaction.batch_size,
        batch_at_most: transaction.batch_at_most,
        batch_wait: Duration::from_millis(transaction.batch_wait_ms),
        batches_in_flight: transaction.batches_in_flight,
        queue: transaction.queue,
        timeout: Duration::from_secs(transaction.timeout_s),
    }
}

fn participants(stock: Stock, foreign: &Foreign) -> Participants<OrderWork> {
    let own: Vec<Arc<dyn Participant<OrderWork>>> = vec![Arc::new(stock)];
    Participants::from(own).and_foreign(foreign.participants.clone())
}

/// Completes what an engine decided and left: see [`coordinator::Recovery`].
pub struct Recovery(coordinator::Recovery<OrderWork>);

impl Recovery {
    /// Many may run at once, in any process.
    #[must_use]
    pub fn new(db: MySqlPool, stock: Stock, foreign: &Foreign, pace: Pace) -> Self {
        let participants = participants(stock, foreign);
        Self(coordinator::Recovery::new(db, participants, pace))
    }

    /// Completes one batch of due transactions. Call it again while it finishes any.
    ///
    /// # Errors
    /// What the database says; what was claimed comes back after its lease.
    pub async fn run_batch(&self) -> sqlx::Result<Recovered> {
        self.0.run_batch().await
    }

    /// Returns once the foreign participants that are being told have answered, or had their time.
    pub async fn told(&self) {
        self.0.told().await;
    }

    /// Orders that were begun and not decided in time, the oldest first, at most `limit`; for `lease` nobody else is given them.
    ///
    /// # Errors
    /// What the database says.
    pub async fn overdue(&self, lease: Duration, limit: u32) -> sqlx::Result<Vec<OrderMessage>> {
        let overdue = self.0.overdue(lease, limit).await?;
        let messages = overdue.iter().map(|it| it.work.message().clone());
        Ok(messages.collect())
    }

    /// Lets a stuck transaction go on.
    ///
    /// # Errors
    /// [`ResumeError`]
    pub async fn resume(&self, gid: Gid) -> Result<TxState, ResumeError> {
        self.0.resume(gid).await
    }

    /// Publishes how many transactions are unfinished, and for how long.
    ///
    /// # Errors
    /// What the database says.
    pub async fn observe(&self) -> sqlx::Result<()> {
        self.0.observe().await
    }
}
