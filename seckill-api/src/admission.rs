//! Admission of an order, as a task of its own that outlives the request: a client that hangs up leaves no lock and no
//! half-admitted order behind, and a stop waits for what was begun.
//!
//! Breaker → sale lock → reserve → publish → unlock. Nothing is accepted before Kafka has acknowledged it. Whatever cannot be told
//! is answered as unknown, with the order's id: it may be confirmed yet. Correctness rests neither on the lock nor on Redis.

mod publish;

use crate::{problems, sale_cache::Cached};
use axum::http::StatusCode;
use chrono::Utc;
use identity::UserId;
use ordering::{
    OrderId, Quantity,
    message::{Idempotency, OrderMessage, VERSION},
    sale_lock::{Attempt, SaleLock},
    sales::Sale,
    stock::{Refusal, Reserve, ReserveError, Reserved, Stock, Window},
};
use publish::Publisher;
use service_kit::{kafka::Producer, problem::Problem};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::task::TaskTracker;
use tracing::error;

/// How long an answer waits for the unlock; the unlock itself goes on.
const UNLOCK_WITHIN: Duration = Duration::from_millis(50);

/// What one buyer asks for.
pub(crate) struct Wanted {
    pub user: UserId,
    pub sale: Arc<Sale>,
    /// Where what Redis says of the stock is remembered.
    pub cached: Arc<Cached>,
    pub quantity: Quantity,
    pub remark: Option<String>,
    pub idempotency: Option<Idempotency>,
    /// The request's `traceparent`.
    pub trace: Option<String>,
}

/// Admits orders, a bounded number at once. Cloning shares the bound.
#[derive(Clone)]
pub(crate) struct Admission {
    pub stock: Stock,
    locks: SaleLock,
    lock_required: bool,
    publisher: Publisher,
    in_flight: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Admission {
    pub fn new(
        stock: Stock,
        locks: SaleLock,
        producer: Producer,
        tasks: TaskTracker,
        settings: &service_kit::settings::Settings,
    ) -> Self {
        Self {
            publisher: Publisher::new(producer, stock.clone(), &settings.kafka.orders_topic),
            stock,
            locks,
            lock_required: settings.sale_lock.required,
            in_flight: Arc::new(Semaphore::new(settings.admission.max_in_flight)),
            tasks,
        }
    }

    /// Admits an order; the order admitted may be an earlier one with the same key.
    pub async fn admit(&self, wanted: Wanted) -> Result<OrderId, Problem> {
        let permit = Arc::clone(&self.in_flight)
            .try_acquire_owned()
            .map_err(|_| problems::busy())?;
        self.publisher.check()?;
        let order = OrderId::mint(wanted.sale.id);
        let admission = self.clone();
        let task = self.tasks.spawn(async move {
            let _permit = permit;
            admission.run(order, wanted).await
        });
        task.await.unwrap_or_else(|cause| {
            error!(order.id = %order, "Admission of order {order} broke: {cause}");
            Err(problems::outcome_unknown(order))
        })
    }

    async fn run(&self, order: OrderId, wanted: Wanted) -> Result<OrderId, Problem> {
        let held = match self.locks.acquire(wanted.sale.id, wanted.user).await {
            Attempt::Held(held) => Some(held),
            Attempt::Contended => return Err(in_progress()),
            Attempt::NoMajority if self.lock_required => return Err(problems::unavailable()),
            // Counted as `sale_lock_seconds{outcome="no_majority"}`.
            Attempt::NoMajority => None,
        };
        let answer = self.reserve_and_publish(order, &wanted).await;
        if let Some(held) = held {
            let mut unlock = Box::pin(held.release());
            if timeout(UNLOCK_WITHIN, &mut unlock).await.is_err() {
                self.tasks.spawn(unlock);
            }
        }
        answer
    }

    async fn reserve_and_publish(
        &self,
        order: OrderId,
        wanted: &Wanted,
    ) -> Result<OrderId, Problem> {
        let message = message(order, wanted).to_bytes();
        let ask = Reserve {
            sale: wanted.sale.id,
            gid: order.first_gid(),
            order,
            user: wanted.user,
            units: wanted.quantity,
            idempotency: wanted.idempotency.as_ref(),
            message: &message,
            window: Window::Checked,
        };
        let reserved = self.stock.reserve(&ask).await;
        wanted.cached.sold_out.learn(&reserved);
        match reserved {
            Ok(Reserved::New) => self
                .publisher
                .publish_new(&ask, wanted.trace.as_deref())
                .await
                .map(|()| order),
            Ok(Reserved::Known {
                order,
                publish_again: Some(message),
                ..
            }) => self
                .publisher
                .publish_again(order, &message, wanted.trace.as_deref())
                .await
                .map(|()| order),
            Ok(Reserved::Known {
                order,
                publish_again: None,
                ..
            }) => Ok(order),
            Err(ReserveError::Refused(refusal)) => Err(refused(refusal)),
            Err(ReserveError::Fenced) => Err(problems::not_ready()),
            Err(ReserveError::Unknown(cause)) => {
                self.publisher.warn(order, &cause);
                Err(problems::outcome_unknown(order))
            }
        }
    }
}

fn message(order: OrderId, wanted: &Wanted) -> OrderMessage {
    OrderMessage {
        version: VERSION,
        order_id: order,
        gid: order.first_gid(),
        generation: 0,
        sale_id: wanted.sale.id,
        user_id: wanted.user,
        quantity: wanted.quantity,
        price: wanted.sale.price,
        remark: wanted.remark.clone(),
        idempotency: wanted.idempotency.clone(),
        created_at: Utc::now(),
    }
}

fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::IdempotencyConflict => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_conflict",
            "this Idempotency-Key was used with another body",
        ),
        Refusal::NotOpen => sale_not_open(),
        Refusal::AlreadyOrdered { order } => conflict(
            "already_ordered",
            "you have all units of this sale you may have",
        )
        .with("order_id", order.to_string())
        .with("status_url", crate::orders::status_url(order)),
        Refusal::LimitExceeded => conflict(
            "limit_exceeded",
            "with this order you would have more units than you may",
        ),
        Refusal::Busy => problems::busy(),
        Refusal::SoldOut => sold_out(),
        Refusal::Insufficient { available } => conflict(
            "insufficient_stock",
            "fewer units are left than you asked for",
        )
        .with("available", available),
    }
}

/// 403, also when the sale's window alone tells.
pub(crate) fn sale_not_open() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "sale_not_open",
        "the sale does not take orders now",
    )
}

/// 409, also when it is known without asking.
pub(crate) fn sold_out() -> Problem {
    conflict("sold_out", "nothing is left")
}

fn in_progress() -> Problem {
    conflict(
        "in_progress",
        "another request of yours in this sale is under way",
    )
    .retry_after(1)
}

fn conflict(code: &'static str, detail: &'static str) -> Problem {
    Problem::new(StatusCode::CONFLICT, code, detail)
}
