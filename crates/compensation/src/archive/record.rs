//! What is kept of a message that was given up, in the form in which files and objects have it: one line of JSON.

use super::{Message, Subject, ToArchive};
use crate::headers::Headers;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use uuid::Uuid;

/// A message with what is known of it. The same one is always the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The id of its row.
    pub id: Uuid,
    /// 0, or the replay that failed.
    #[serde(default)]
    pub generation: u32,
    /// The last error.
    pub error: String,
    /// Every try before it was given up, as [`crate::attempt::History`] is stored.
    pub history: serde_json::Value,
    /// The message's headers.
    pub headers: Headers,
    /// The message's value, in base64: it may be anything.
    #[serde(with = "bytes")]
    pub payload: Vec<u8>,
    /// Its key, in base64 as well.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "some_bytes")]
    pub key: Option<Vec<u8>>,
    /// Whether it came without a value.
    #[serde(default)]
    pub tombstone: bool,
}

impl Record {
    /// What is kept of it.
    #[must_use]
    pub fn of(what: &ToArchive) -> Self {
        let generation = match what.subject {
            Subject::Order(order) => order.generation,
            Subject::Transaction { .. } | Subject::Message => 0,
        };
        Self {
            id: what.id,
            generation,
            error: what.error.clone(),
            history: serde_json::to_value(&what.history).unwrap_or_default(),
            headers: what.headers.clone(),
            payload: what.payload.clone(),
            key: what.envelope.key.clone(),
            tombstone: what.envelope.is_tombstone,
        }
    }

    /// The line, without its end.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self)
            .unwrap_or_else(|cause| unreachable!("texts and bytes always serialise: {cause}"))
    }

    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// A name that another content does not have: kept twice it is the same one, and given up again with a longer history it is
    /// another.
    pub(super) fn name(&self) -> String {
        format!(
            "{}-{}-{}",
            self.id,
            self.generation,
            digest(&self.to_bytes())
        )
    }
}

/// Half of a SHA-256, in hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(32);
    for byte in &Sha256::digest(bytes)[..16] {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl From<Record> for Message {
    fn from(record: Record) -> Self {
        Self {
            payload: record.payload,
            headers: record.headers,
            key: record.key,
            is_tombstone: record.tombstone,
        }
    }
}

mod bytes {
    use super::{BASE64_STANDARD, Deserialize, Engine as _, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: de::Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        BASE64_STANDARD.decode(text).map_err(de::Error::custom)
    }
}

mod some_bytes {
    use super::{BASE64_STANDARD, Deserialize, Engine as _, Serializer, de};

    #[expect(clippy::ref_option, reason = "serde gives a reference to the field")]
    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => to.serialize_some(&BASE64_STANDARD.encode(bytes)),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: de::Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| BASE64_STANDARD.decode(text).map_err(de::Error::custom))
            .transpose()
    }
}
