//! The headers of a Kafka message, kept byte for byte, in order, repeats included.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rdkafka::message::{Header, OwnedHeaders};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Names and values as they came. Stored as JSON: `[[name, base64 of the value], …]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, Vec<u8>)>);

impl Headers {
    /// Those of a message.
    #[must_use]
    pub fn of(headers: Option<&impl rdkafka::message::Headers>) -> Self {
        Self(headers.map_or_else(Vec::new, |headers| {
            headers
                .iter()
                .map(|header| {
                    (
                        header.key.to_owned(),
                        header.value.unwrap_or_default().to_vec(),
                    )
                })
                .collect()
        }))
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
                    value: Some(value),
                })
            },
        )
    }

    /// The latest value under `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let found = self.0.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_slice())
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
        self.0.push((name.to_owned(), value.into()));
    }

    /// Sets it where there is none.
    pub fn set_once(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    /// Names and values for a person: the numbers of dead letters decoded, what is no text in hexadecimal.
    #[must_use]
    pub fn show(&self) -> Vec<(String, String)> {
        self.0
            .iter()
            .map(|(name, value)| (name.clone(), shown(name, value)))
            .collect()
    }
}

fn shown(name: &str, value: &[u8]) -> String {
    match name {
        "kafka_dlt-original-partition" => <[u8; 4]>::try_from(value)
            .map(|bytes| i32::from_be_bytes(bytes).to_string())
            .ok(),
        "kafka_dlt-original-offset" | "kafka_dlt-original-timestamp" => <[u8; 8]>::try_from(value)
            .map(|bytes| i64::from_be_bytes(bytes).to_string())
            .ok(),
        _ => None,
    }
    .or_else(|| std::str::from_utf8(value).ok().map(ToOwned::to_owned))
    .unwrap_or_else(|| {
        value
            .iter()
            .fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    })
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(
            self.0
                .iter()
                .map(|(name, value)| (name, BASE64_STANDARD.encode(value))),
        )
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::<(String, String)>::deserialize(from)?
            .into_iter()
            .map(|(name, value)| {
                Ok((
                    name,
                    BASE64_STANDARD.decode(value).map_err(de::Error::custom)?,
                ))
            })
            .collect::<Result<_, D::Error>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_byte_for_byte_with_their_order_and_repeats() {
        let headers = Headers(vec![
            ("a".to_owned(), vec![0, 255]),
            ("b".to_owned(), Vec::new()),
            ("a".to_owned(), b"two".to_vec()),
        ]);
        assert_eq!(Headers::from_json(&headers.to_json()).unwrap(), headers);
        assert_eq!(headers.get("a"), Some(&b"two"[..]));
    }

    #[test]
    fn a_person_reads_numbers_and_texts() {
        let headers = Headers(vec![
            (
                "kafka_dlt-original-partition".to_owned(),
                3_i32.to_be_bytes().to_vec(),
            ),
            (
                "kafka_dlt-original-offset".to_owned(),
                258_i64.to_be_bytes().to_vec(),
            ),
            ("text".to_owned(), "naïve".into()),
            ("bytes".to_owned(), vec![0xff, 0]),
        ]);
        let values: Vec<_> = headers.show().into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["3", "258", "naïve", "0xff00"]);
    }
}
