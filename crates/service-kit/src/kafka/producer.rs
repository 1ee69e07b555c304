//! Publishing with an acknowledgement from every in-sync replica.

use super::Breaker;
use rdkafka::{
    ClientConfig,
    error::KafkaError,
    message::OwnedHeaders,
    producer::{FutureProducer, FutureRecord, Producer as _},
    types::RDKafkaErrorCode,
    util::Timeout,
};
use std::{sync::Arc, time::Duration};

/// Why a message has no acknowledgement.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It was never taken for sending: it surely is not on the topic.
    #[error("the message was refused before it was sent")]
    Refused(#[source] KafkaError),
    /// It is larger than the client or the broker takes, and always will be.
    #[error("the message is too large for Kafka")]
    TooLarge,
    /// It was taken and not acknowledged: it may be on the topic, now or later.
    #[error("the message was not acknowledged")]
    Unknown(#[source] KafkaError),
}

/// Says nothing of whether Kafka is well.
fn is_too_large(cause: &KafkaError) -> bool {
    cause.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

/// Publishes messages. Cloning shares it.
#[derive(Clone)]
pub struct Producer {
    inner: FutureProducer,
    breaker: Arc<Breaker>,
}

impl Producer {
    /// Idempotent, acks=all, 2 ms of linger, 3 s to be acknowledged. Connects in the background.
    ///
    /// # Errors
    /// When the settings make no client.
    pub fn new(brokers: &str) -> Result<Self, KafkaError> {
        let inner = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "2")
            .set("message.timeout.ms", "3000")
            .set("request.timeout.ms", "2000")
            .set("socket.timeout.ms", "3000")
            .set("reconnect.backoff.max.ms", "500")
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "65536")
            .create()?;
        Ok(Self {
            inner,
            breaker: Arc::default(),
        })
    }

    /// Whether publishing is worth trying: refused while messages keep failing.
    ///
    /// # Errors
    /// How long to wait before asking again.
    pub fn check(&self) -> Result<(), Duration> {
        self.breaker.check()
    }

    /// Publishes one message and waits for its acknowledgement. Many at once share requests.
    ///
    /// # Errors
    /// [`SendError`] tells whether it may be on the topic all the same.
    pub async fn send(
        &self,
        topic: &str,
        key: &[u8],
        payload: &[u8],
        headers: OwnedHeaders,
    ) -> Result<(), SendError> {
        let record = FutureRecord::to(topic)
            .key(key)
            .payload(payload)
            .headers(headers);
        let sent = match self.inner.send_result(record) {
            Err((cause, _)) if is_too_large(&cause) => return Err(SendError::TooLarge),
            Err((cause, _)) => {
                self.breaker.failed();
                return Err(SendError::Refused(cause));
            }
            Ok(delivery) => delivery.await,
        };
        match sent {
            Ok(Ok(_)) => {
                self.breaker.succeeded();
                Ok(())
            }
            Ok(Err((cause, _))) if is_too_large(&cause) => Err(SendError::TooLarge),
            Ok(Err((cause, _))) => {
                self.breaker.failed();
                Err(SendError::Unknown(cause))
            }
            Err(_) => Err(SendError::Unknown(KafkaError::Canceled)),
        }
    }

    /// Waits until everything taken is acknowledged or given up, at most `within`. Blocks; for the end of a process.
    ///
    /// # Errors
    /// When messages are left.
    pub fn flush(&self, within: Duration) -> Result<(), KafkaError> {
        self.inner.flush(Timeout::After(within))
    }

    /// Asks the brokers for `topic`, to tell whether they answer. Blocks for at most `within`.
    ///
    /// # Errors
    /// When they do not.
    pub fn probe(&self, topic: &str, within: Duration) -> Result<(), KafkaError> {
        self.inner
            .client()
            .fetch_metadata(Some(topic), within)
            .map(|_| ())
    }
}
