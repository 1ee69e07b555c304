//! The order as it travels through Kafka: what was admitted, with the price and the rules that held then.

use crate::ids::{OrderId, Quantity, SaleId};
use chrono::{DateTime, Datelike as _, Utc};
use coordinator::Gid;
use identity::UserId;
use serde::{Deserialize, Serialize, de};

/// The version this build writes, and the newest it reads.
pub const VERSION: u32 = 1;

/// Nobody replays an order so often.
const GENERATIONS_AT_MOST: u32 = 1_000_000;
/// What the columns take, in characters.
const REMARK_AT_MOST: usize = 500;
const KEY_AT_MOST: usize = 128;
const BODY_HASH_AT_MOST: usize = 64;

/// One message on the topic `orders`; its Kafka key is the order id as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderMessage {
    /// [`VERSION`] of the build that wrote it.
    pub version: u32,
    /// The order.
    pub order_id: OrderId,
    /// The transaction that is to decide it.
    pub gid: Gid,
    /// 0 is the buyer's own request; a replay of an archived order is the next one.
    pub generation: u32,
    /// The sale it belongs to.
    pub sale_id: SaleId,
    /// Who ordered.
    pub user_id: UserId,
    /// Units asked for.
    pub quantity: Quantity,
    /// Price of one unit at admission, in minor units.
    pub price: i64,
    /// Free text of the buyer, at most 500 characters. Never logged.
    pub remark: Option<String>,
    /// The buyer's key for this request and the digest of its body, when there was one.
    pub idempotency: Option<Idempotency>,
    /// When it was admitted, by the API's clock.
    pub created_at: DateTime<Utc>,
}

/// What makes a repeat of a request recognisable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Idempotency {
    /// The header's value, 1..=128 visible ASCII characters.
    pub key: String,
    /// SHA-256 of the request body as parsed, in hexadecimal.
    pub body_hash: String,
}

/// Why a message cannot be an order.
#[derive(Debug, thiserror::Error)]
pub enum BadMessage {
    /// No retry can help: it goes to the dead letters at once.
    #[error("not an order message")]
    Poison(#[source] serde_json::Error),
    /// Written by a newer build. Intake pauses until this process is replaced.
    #[error("message version {0} is newer than {VERSION}")]
    NewerVersion(u32),
}

#[derive(Deserialize)]
struct JustVersion {
    version: u32,
}

impl OrderMessage {
    /// Reads a message off the topic.
    ///
    /// # Errors
    /// [`BadMessage::NewerVersion`] when only the version could be understood, else [`BadMessage::Poison`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BadMessage> {
        let version = serde_json::from_slice::<JustVersion>(bytes)
            .map_err(BadMessage::Poison)?
            .version;
        if version > VERSION {
            return Err(BadMessage::NewerVersion(version));
        }
        let message: Self = serde_json::from_slice(bytes).map_err(BadMessage::Poison)?;
        if message.generation > GENERATIONS_AT_MOST {
            let too_many = format!("generation is above {GENERATIONS_AT_MOST}");
            return Err(BadMessage::Poison(de::Error::custom(too_many)));
        }
        Ok(message)
    }

    /// The bytes that are published, and kept with the reservation.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_else(|cause| {
            unreachable!("a message of plain fields always serialises: {cause}")
        })
    }

    /// The same with what the columns of `orders` would refuse cut or left out.
    #[must_use]
    pub fn fit_to_be_stored(mut self) -> Self {
        self.remark = self
            .remark
            .map(|remark| remark.chars().take(REMARK_AT_MOST).collect());
        self.idempotency = self.idempotency.filter(|known| {
            known.key.chars().count() <= KEY_AT_MOST && known.body_hash.len() <= BODY_HASH_AT_MOST
        });
        // Bound as a TIMESTAMP, which knows the years 1970 to 2038.
        if !(1971..2038).contains(&self.created_at.year()) {
            self.created_at = Utc::now();
        }
        self
    }
}
