//! Dead letters as Spring Kafka writes them, so that tools that know those can read these.
//!
//! Text is UTF-8; the partition is a 4-byte, offset and timestamp are 8-byte big-endian integers.

use super::{Producer, SendError};
use rdkafka::{
    Message as _, Timestamp,
    message::{BorrowedMessage, Header, OwnedHeaders},
};

/// The longest message and stack that are kept, in bytes.
const TEXT_AT_MOST: usize = 8_192;

/// Where a message came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, in milliseconds since 1970; −1 when it has none.
    pub timestamp_ms: i64,
    /// `CreateTime`, `LogAppendTime` or `NoTimestampType`.
    pub timestamp_type: &'static str,
    /// The group that could not read it.
    pub consumer_group: String,
}

/// A message nobody can work on, with all it came with.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    key: Vec<u8>,
    payload: Vec<u8>,
    headers: OwnedHeaders,
}

impl DeadLetter {
    /// The message as it was, with where it came from and what went wrong: the failure's kind, its cause's kind, its text.
    #[must_use]
    pub fn of(
        message: &BorrowedMessage<'_>,
        group: &str,
        kind: &str,
        cause_kind: &str,
        text: &str,
    ) -> Self {
        let (timestamp_ms, timestamp_type) = match message.timestamp() {
            Timestamp::CreateTime(at) => (at, "CreateTime"),
            Timestamp::LogAppendTime(at) => (at, "LogAppendTime"),
            Timestamp::NotAvailable => (-1, "NoTimestampType"),
        };
        let origin = Origin {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms,
            timestamp_type,
            consumer_group: group.to_owned(),
        };
        let original = message
            .headers()
            .map(rdkafka::message::BorrowedHeaders::detach)
            .unwrap_or_default();
        Self {
            key: message.key().unwrap_or_default().to_vec(),
            payload: message.payload().unwrap_or_default().to_vec(),
            headers: describe(original, &origin, kind, cause_kind, text),
        }
    }

    /// Publishes it.
    ///
    /// # Errors
    /// When it was not acknowledged; publishing it again may make a second copy.
    pub async fn send(&self, producer: &Producer, topic: &str) -> Result<(), SendError> {
        producer
            .send(topic, &self.key, &self.payload, self.headers.clone())
            .await
    }
}

fn describe(
    original: OwnedHeaders,
    origin: &Origin,
    kind: &str,
    cause_kind: &str,
    text: &str,
) -> OwnedHeaders {
    let text = shortened(text);
    original
        .insert(header("kafka_dlt-original-topic", origin.topic.as_bytes()))
        .insert(header(
            "kafka_dlt-original-partition",
            &origin.partition.to_be_bytes(),
        ))
        .insert(header(
            "kafka_dlt-original-offset",
            &origin.offset.to_be_bytes(),
        ))
        .insert(header(
            "kafka_dlt-original-timestamp",
            &origin.timestamp_ms.to_be_bytes(),
        ))
        .insert(header(
            "kafka_dlt-original-timestamp-type",
            origin.timestamp_type.as_bytes(),
        ))
        .insert(header(
            "kafka_dlt-original-consumer-group",
            origin.consumer_group.as_bytes(),
        ))
        .insert(header("kafka_dlt-exception-fqcn", kind.as_bytes()))
        .insert(header(
            "kafka_dlt-exception-cause-fqcn",
            cause_kind.as_bytes(),
        ))
        .insert(header("kafka_dlt-exception-message", text.as_bytes()))
        .insert(header("kafka_dlt-exception-stacktrace", text.as_bytes()))
}

const fn header<'a>(key: &'a str, value: &'a [u8]) -> Header<'a, &'a [u8]> {
    Header {
        key,
        value: Some(value),
    }
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_AT_MOST)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::message::Headers as _;

    #[test]
    fn numbers_are_big_endian_and_text_is_utf_8() {
        let origin = Origin {
            topic: "orders".to_owned(),
            partition: 3,
            offset: 258,
            timestamp_ms: 1,
            timestamp_type: "CreateTime",
            consumer_group: "order-consumer".to_owned(),
        };
        let headers = describe(OwnedHeaders::new(), &origin, "poison", "json", "naïve");
        let value = |key: &str| {
            headers
                .iter()
                .find(|header| header.key == key)
                .and_then(|header| header.value)
                .unwrap()
                .to_vec()
        };
        assert_eq!(value("kafka_dlt-original-partition"), [0, 0, 0, 3]);
        assert_eq!(value("kafka_dlt-original-offset"), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(
            value("kafka_dlt-original-timestamp"),
            [0, 0, 0, 0, 0, 0, 0, 1]
        );
        assert_eq!(value("kafka_dlt-exception-message"), "naïve".as_bytes());
    }
}
