//! The one place where orders are published, and what is answered when Kafka did not take one.

use crate::{every_second::EverySecond, problems};
use ordering::{
    OrderId,
    stock::{Reserve, Stock, Withdrawn},
};
use rdkafka::message::{Header, OwnedHeaders};
use service_kit::{
    kafka::{Producer, SendError},
    problem::Problem,
};
use std::{error::Error, sync::Arc};
use tracing::warn;

/// Publishes to the topic of orders.
#[derive(Clone)]
pub(super) struct Publisher {
    producer: Producer,
    stock: Stock,
    topic: Arc<str>,
    warn: Arc<EverySecond>,
}

impl Publisher {
    pub fn new(producer: Producer, stock: Stock, topic: &str) -> Self {
        Self {
            producer,
            stock,
            topic: topic.into(),
            warn: Arc::new(EverySecond::new()),
        }
    }

    /// 503 while publishing keeps failing, before anything is reserved for it.
    pub fn check(&self) -> Result<(), Problem> {
        self.producer.check().map_err(|wait| {
            let seconds = wait
                .as_millis()
                .div_ceil(1_000)
                .try_into()
                .unwrap_or(u32::MAX);
            problems::unavailable().retry_after(seconds.max(1))
        })
    }

    /// Publishes what was just reserved. What Kafka surely does not have is withdrawn.
    pub async fn publish_new(
        &self,
        reserved: &Reserve<'_>,
        trace: Option<&str>,
    ) -> Result<(), Problem> {
        match self.send(reserved.order, reserved.message, trace).await {
            Ok(()) => Ok(()),
            Err(refused @ (SendError::Refused(_) | SendError::TooLarge)) => {
                self.warn(reserved.order, &refused);
                Err(self.withdraw(reserved).await)
            }
            Err(SendError::Unknown(cause)) => {
                self.warn(reserved.order, &cause);
                Err(problems::outcome_unknown(reserved.order))
            }
        }
    }

    /// Publishes what an earlier request reserved and perhaps never published. It cannot be withdrawn: that request, or the scan
    /// for overdue reservations, may have published it by now.
    pub async fn publish_again(
        &self,
        order: OrderId,
        message: &[u8],
        trace: Option<&str>,
    ) -> Result<(), Problem> {
        self.send(order, message, trace).await.map_err(|cause| {
            self.warn(order, &cause);
            problems::outcome_unknown(order)
        })
    }

    async fn withdraw(&self, reserved: &Reserve<'_>) -> Problem {
        let key = reserved
            .idempotency
            .map(|idempotency| idempotency.key.as_str());
        match self
            .stock
            .withdraw(reserved.sale, reserved.gid, reserved.user, key)
            .await
        {
            Ok(Withdrawn::Released) => problems::unavailable(),
            Ok(Withdrawn::PublishedAgain | Withdrawn::Nothing) => {
                problems::outcome_unknown(reserved.order)
            }
            Err(cause) => {
                self.warn(reserved.order, &cause);
                problems::outcome_unknown(reserved.order)
            }
        }
    }

    async fn send(
        &self,
        order: OrderId,
        message: &[u8],
        trace: Option<&str>,
    ) -> Result<(), SendError> {
        let mut headers = OwnedHeaders::new_with_capacity(3)
            .insert(Header {
                key: "attempt",
                value: Some("1"),
            })
            .insert(Header {
                key: "generation",
                value: Some("0"),
            });
        if let Some(trace) = trace {
            headers = headers.insert(Header {
                key: "traceparent",
                value: Some(trace),
            });
        }
        self.producer
            .send(&self.topic, order.to_string().as_bytes(), message, headers)
            .await
    }

    /// Tells the log what went wrong with one order a second: when a server is away it is the same for all.
    pub fn warn(&self, order: OrderId, cause: &dyn Error) {
        if self.warn.claim() {
            let (mut causes, mut next) = (cause.to_string(), cause.source());
            while let Some(cause) = next {
                causes = format!("{causes}: {cause}");
                next = cause.source();
            }
            warn!(order.id = %order, "Order {order} and perhaps others were not admitted: {causes}");
        }
    }
}
