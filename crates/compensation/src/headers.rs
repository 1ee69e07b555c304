//! The headers of a Kafka message, kept byte for byte, in order, repeats included.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rdkafka::message::{Header, OwnedHeaders};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use service_kit::kafka::header_at;
use std::fmt::Write as _;

/// What Spring Kafka begins the names of a dead letter's headers with.
const DEAD_LETTER: &str = "kafka_dlt-";
/// The longest stack trace, or message of an error, that is published again, in bytes: as `service-kit` writes dead letters.
pub const STACK_AT_MOST: usize = 8_192;
/// The longest value a page shows, in bytes.
const SHOWN_AT_MOST: usize = 16_384;
/// In place of a name that is not UTF-8: the client gives neither that name nor its value.
pub const UNREADABLE: &str = "(a header whose name is not UTF-8)";

/// Names and values as they came; one without a value is not one with an empty value. Stored as JSON:
/// `[[name, base64 of the value, or null], …]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, Option<Vec<u8>>)>);

/// What went wrong with a message, as Spring Kafka's headers tell it.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// The error's kind.
    pub class: &'a str,
    /// The kind of what caused it.
    pub cause_class: &'a str,
    /// What to read.
    pub message: &'a str,
    /// Where it happened.
    pub stack: &'a str,
}

impl Headers {
    /// Those of a message.
    #[must_use]
    pub fn of(headers: Option<&impl rdkafka::message::Headers>) -> Self {
        let Some(headers) = headers else {
            return Self::default();
        };
        let read = |at| {
            header_at(headers, at).map_or_else(
                || (UNREADABLE.to_owned(), None),
                |header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)),
            )
        };
        Self((0..headers.count()).map(read).collect())
    }

    /// Reads what [`Headers::to_json`] wrote.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_json(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// How they are stored.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self)
            .unwrap_or_else(|cause| unreachable!("texts always serialise: {cause}"))
    }

    /// For publishing them again.
    #[must_use]
    pub fn to_kafka(&self) -> OwnedHeaders {
        self.0.iter().fold(
            OwnedHeaders::new_with_capacity(self.0.len()),
            |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: value.as_deref(),
                })
            },
        )
    }

    /// The latest value under `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let found = self.0.iter().rev().find(|(key, _)| key == name);
        found.and_then(|(_, value)| value.as_deref())
    }

    /// The first value under `name`: who publishes a message again adds what he knows at the end.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.and_then(|(_, value)| value.as_deref())
    }

    /// The latest value under `name` as a text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Leaves one value under `name`.
    pub fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.0.retain(|(key, _)| key != name);
        self.0.push((name.to_owned(), Some(value.into())));
    }

    /// Tells of the latest failure, as Spring Kafka does when it publishes a dead letter: what tells of an earlier failure goes, also
    /// where it is there several times, and where the message came from first stays as it is. Long texts are cut, with a mark.
    pub fn failed(&mut self, failure: Failure<'_>) {
        let earlier = ["exception-", "key-exception-"].map(|part| format!("{DEAD_LETTER}{part}"));
        self.0
            .retain(|(name, _)| !earlier.iter().any(|begin| name.starts_with(begin)));
        for (name, value) in [
            ("exception-fqcn", failure.class),
            ("exception-cause-fqcn", failure.cause_class),
            ("exception-message", failure.message),
            ("exception-stacktrace", failure.stack),
        ] {
            let value = cut(value, STACK_AT_MOST).into_bytes();
            self.0.push((format!("{DEAD_LETTER}{name}"), Some(value)));
        }
    }

    /// Names and values for a person: the numbers of dead letters decoded, what is no text in hexadecimal, and long values cut.
    #[must_use]
    pub fn show(&self) -> Vec<(String, String)> {
        self.0
            .iter()
            .map(|(name, value)| {
                let shown = value
                    .as_deref()
                    .map_or_else(|| "(no value)".to_owned(), |value| shown(name, value));
                (name.clone(), shown)
            })
            .collect()
    }
}

/// The text, or its beginning and how much is missing; whole characters.
fn cut(text: &str, at_most: usize) -> String {
    if text.len() <= at_most {
        return text.to_owned();
    }
    let mark = format!("\n[cut: {} bytes in all]", text.len());
    let kept = text.floor_char_boundary(at_most.saturating_sub(mark.len()));
    format!("{}{mark}", &text[..kept])
}

fn shown(name: &str, value: &[u8]) -> String {
    match name {
        "kafka_dlt-original-partition" | "kafka_original-partition" | "retry_topic-attempts" => {
            <[u8; 4]>::try_from(value)
                .map(|bytes| i32::from_be_bytes(bytes).to_string())
                .ok()
        }
        "kafka_dlt-original-offset"
        | "kafka_dlt-original-timestamp"
        | "kafka_original-offset"
        | "kafka_original-timestamp" => <[u8; 8]>::try_from(value)
            .map(|bytes| i64::from_be_bytes(bytes).to_string())
            .ok(),
        // As many bytes as they need.
        "retry_topic-original-timestamp" | "retry_topic-backoff-timestamp" => as_needed(value),
        _ => None,
    }
    .or_else(|| {
        std::str::from_utf8(value)
            .ok()
            .map(|text| cut(text, SHOWN_AT_MOST))
    })
    .unwrap_or_else(|| hexadecimal(value))
}

/// A number in two's complement, big-endian, in up to 8 bytes.
fn as_needed(value: &[u8]) -> Option<String> {
    let first = value.first().filter(|_| value.len() <= 8)?;
    let sign = if *first < 0x80 { 0 } else { -1 };
    let number = value
        .iter()
        .fold(sign, |number: i64, byte| (number << 8) | i64::from(*byte));
    Some(number.to_string())
}

fn hexadecimal(value: &[u8]) -> String {
    let shown = &value[..value.len().min(SHOWN_AT_MOST / 2)];
    let mut text = "0x".to_owned();
    for byte in shown {
        let _ = write!(text, "{byte:02x}");
    }
    if shown.len() < value.len() {
        let _ = write!(text, "\n[cut: {} bytes in all]", value.len());
    }
    text
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(
            self.0
                .iter()
                .map(|(name, value)| (name, value.as_ref().map(|it| BASE64_STANDARD.encode(it)))),
        )
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::<(String, Option<String>)>::deserialize(from)?
            .into_iter()
            .map(|(name, value)| {
                let value = value.map(|value| BASE64_STANDARD.decode(value));
                Ok((name, value.transpose().map_err(de::Error::custom)?))
            })
            .collect::<Result<_, D::Error>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(name: &str, value: &[u8]) -> (String, Option<Vec<u8>>) {
        (name.to_owned(), Some(value.to_vec()))
    }

    /// Breaks when a header without a value is kept as an empty one.
    #[test]
    fn values_are_kept_byte_for_byte_with_their_order_and_repeats() {
        let headers = Headers(vec![
            some("a", &[0, 255]),
            some("b", b""),
            ("c".to_owned(), None),
            some("a", b"two"),
        ]);
        assert_eq!(Headers::from_json(&headers.to_json()).unwrap(), headers);
        assert_eq!(Headers::of(Some(&headers.to_kafka())), headers);
        assert_eq!(headers.get("a"), Some(&b"two"[..]));
        assert_eq!(headers.first("a"), Some(&[0, 255][..]));
        assert_eq!(headers.get("c"), None);
    }

    #[test]
    fn what_was_stored_before_values_could_be_missing_is_read() {
        let stored = Headers::from_json(r#"[["a","AP8="],["b",""]]"#).unwrap();
        assert_eq!(stored, Headers(vec![some("a", &[0, 255]), some("b", b"")]));
    }

    #[test]
    fn a_person_reads_numbers_and_texts() {
        let headers = Headers(vec![
            some("kafka_dlt-original-partition", &3_i32.to_be_bytes()),
            some("kafka_dlt-original-offset", &258_i64.to_be_bytes()),
            some("kafka_dlt-original-offset", b"no offset"),
            some("retry_topic-attempts", &2_i32.to_be_bytes()),
            some(
                "retry_topic-backoff-timestamp",
                &1_780_000_000_123_i64.to_be_bytes()[2..],
            ),
            some("text", "naïve".as_bytes()),
            some("bytes", &[0xff, 0]),
            ("none".to_owned(), None),
        ]);
        let values: Vec<_> = headers.show().into_iter().map(|(_, value)| value).collect();
        assert_eq!(
            values,
            [
                "3",
                "258",
                "no offset",
                "2",
                "1780000000123",
                "naïve",
                "0xff00",
                "(no value)"
            ]
        );
        let long = Headers(vec![
            some("a", &[b'x'; 1 << 20]),
            some("b", &[0xff; 1 << 20]),
        ]);
        for (_, value) in long.show() {
            assert!(value.len() < SHOWN_AT_MOST + 100);
            assert!(value.ends_with("[cut: 1048576 bytes in all]"));
        }
    }

    /// Breaks when only the latest of repeated headers is replaced, and when what is known of the first failure goes too.
    #[test]
    fn the_latest_failure_takes_the_place_of_earlier_ones_and_where_it_came_from_stays() {
        let original = |topic: &str| some("kafka_dlt-original-topic", topic.as_bytes());
        let mut headers = Headers(vec![
            some("traceparent", b"00-1"),
            original("orders"),
            some("kafka_dlt-exception-message", b"first"),
            some(
                "kafka_dlt-exception-fqcn",
                b"java.lang.IllegalStateException",
            ),
            some("kafka_dlt-exception-message", b"second"),
            some("kafka_dlt-key-exception-stacktrace", &[b'x'; 1 << 20]),
            original("orders-retry-0"),
        ]);
        headers.failed(Failure {
            class: "coordinator::SubmitError",
            cause_class: "CannotDecide",
            message: "third",
            stack: &"é".repeat(STACK_AT_MOST),
        });
        let stack = headers.text("kafka_dlt-exception-stacktrace").unwrap();
        assert!(stack.len() <= STACK_AT_MOST);
        assert!(stack.ends_with("é\n[cut: 16384 bytes in all]"));
        headers.set("kafka_dlt-exception-stacktrace", "cut");
        assert_eq!(
            headers.0,
            [
                some("traceparent", b"00-1"),
                original("orders"),
                original("orders-retry-0"),
                some("kafka_dlt-exception-fqcn", b"coordinator::SubmitError"),
                some("kafka_dlt-exception-cause-fqcn", b"CannotDecide"),
                some("kafka_dlt-exception-message", b"third"),
                some("kafka_dlt-exception-stacktrace", b"cut"),
            ]
        );
    }
}
