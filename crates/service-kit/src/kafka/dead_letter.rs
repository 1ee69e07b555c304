//! Dead letters as Spring Kafka writes them, so that tools that know those can read these.
//!
//! Text is UTF-8; the partition is a 4-byte, offset and timestamp are 8-byte big-endian integers.

use super::{Producer, SendError};
use rdkafka::{
    Message as _, Timestamp,
    message::{BorrowedMessage, Header, Headers, OwnedHeaders},
};
use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
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

/// A message as it was read, kept for the case that nobody can work on it.
#[derive(Debug, Clone)]
pub struct Original {
    key: Vec<u8>,
    payload: Vec<u8>,
    headers: OwnedHeaders,
    partition: i32,
    offset: i64,
    timestamp: Timestamp,
}

impl Original {
    /// Copies what `message` holds.
    #[must_use]
    pub fn of(message: &BorrowedMessage<'_>) -> Self {
        Self {
            key: message.key().unwrap_or_default().to_vec(),
            payload: message.payload().unwrap_or_default().to_vec(),
            headers: message
                .headers()
                .map(rdkafka::message::BorrowedHeaders::detach)
                .unwrap_or_default(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp(),
        }
    }

    /// The last header of this name, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = (0..self.headers.count())
            .rev()
            .filter_map(|at| header_at(&self.headers, at))
            .find(|header| header.key == name)?;
        std::str::from_utf8(header.value?).ok()
    }
}

/// The header there, unless its name is not UTF-8: whoever writes to a topic may choose any, and the client panics at such a one.
/// What it says then is the panic's usual line on standard error.
#[must_use]
pub fn header_at<H: Headers>(headers: &H, at: usize) -> Option<Header<'_, &[u8]>> {
    catch_unwind(AssertUnwindSafe(|| headers.get(at))).ok()
}

/// What went wrong with a message.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// The failure's kind.
    pub kind: &'a str,
    /// Its cause's kind.
    pub cause_kind: &'a str,
    /// What to read. No personal data.
    pub text: &'a str,
}

/// A message nobody can work on, with all it came with.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    key: Vec<u8>,
    payload: Vec<u8>,
    headers: OwnedHeaders,
}

impl DeadLetter {
    /// The message as it was, with where it came from (`topic`, read by `group`) and what went wrong.
    #[must_use]
    pub fn new(original: Original, topic: &str, group: &str, failure: Failure<'_>) -> Self {
        let (timestamp_ms, timestamp_type) = match original.timestamp {
            Timestamp::CreateTime(at) => (at, "CreateTime"),
            Timestamp::LogAppendTime(at) => (at, "LogAppendTime"),
            Timestamp::NotAvailable => (-1, "NoTimestampType"),
        };
        let origin = Origin {
            topic: topic.to_owned(),
            partition: original.partition,
            offset: original.offset,
            timestamp_ms,
            timestamp_type,
            consumer_group: group.to_owned(),
        };
        Self {
            key: original.key,
            payload: original.payload,
            headers: describe(original.headers, &origin, failure),
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers = self.headers.insert(header(name, value.as_bytes()));
        self
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

fn describe(original: OwnedHeaders, origin: &Origin, failure: Failure<'_>) -> OwnedHeaders {
    let Failure {
        kind, cause_kind, ..
    } = failure;
    let text = shortened(failure.text);
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

/// The text, or its beginning and how much is missing.
fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= TEXT_AT_MOST {
        return text.into();
    }
    let mark = format!("\n[cut: {} bytes in all]", text.len());
    let kept = text.floor_char_boundary(TEXT_AT_MOST - mark.len());
    format!("{}{mark}", &text[..kept]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let failure = Failure {
            kind: "poison",
            cause_kind: "json",
            text: "naïve",
        };
        let headers = describe(OwnedHeaders::new(), &origin, failure);
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
