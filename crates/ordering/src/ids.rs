//! The names of things that are sold and bought, and how much of them. Pure: no network, no clock but the one that mints.

use coordinator::{Gid, Label};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

macro_rules! uuid_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps an id that came from elsewhere.
            #[must_use]
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The id as it is stored.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_newtype! {
    /// Something that can be sold.
    ProductId
}

uuid_newtype! {
    /// One flash sale of one product: the thing all its orders contend for.
    SaleId
}

uuid_newtype! {
    /// One order, minted at admission: `UUIDv7`, the Kafka key and the primary key. Its last four bytes are its sale's tag.
    OrderId
}

impl ProductId {
    /// An id nobody has.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }
}

/// The last four bytes of a sale's id. Two sales may share one; it narrows a search, it decides nothing.
pub type SaleTag = [u8; 4];

impl SaleId {
    /// An id nobody has. Random at its end, so that its tag tells it from other sales.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }

    /// What this sale's orders carry in their ids.
    #[must_use]
    pub fn tag(self) -> SaleTag {
        tag_of(self.0)
    }

    /// The coordinator's label for whatever changes this sale.
    #[must_use]
    pub fn label(self) -> Label {
        Label::from_uuid(self.0)
    }
}

impl OrderId {
    /// A new order of `sale`: still a valid `UUIDv7`, with 42 random bits a millisecond besides the tag.
    #[must_use]
    pub fn mint(sale: SaleId) -> Self {
        let mut bytes = Uuid::now_v7().into_bytes();
        bytes[12..].copy_from_slice(&sale.tag());
        Self(Uuid::from_bytes(bytes))
    }

    /// The tag of the sale it was minted for.
    #[must_use]
    pub fn sale_tag(self) -> SaleTag {
        tag_of(self.0)
    }

    /// The transaction of the buyer's own request (generation 0).
    #[must_use]
    pub fn first_gid(self) -> Gid {
        Gid::from_uuid(self.0)
    }
}

fn tag_of(id: Uuid) -> SaleTag {
    let bytes = id.into_bytes();
    [bytes[12], bytes[13], bytes[14], bytes[15]]
}

/// Units asked for in one order, 1..=100. What the sale allows is the sale's rule, checked at admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Quantity(u32);

/// A quantity outside 1..=100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("quantity must be between 1 and 100, not {units}")]
pub struct BadQuantity {
    units: u32,
}

impl Quantity {
    /// The units.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Quantity {
    type Error = BadQuantity;

    fn try_from(units: u32) -> Result<Self, BadQuantity> {
        if (1..=100).contains(&units) {
            Ok(Self(units))
        } else {
            Err(BadQuantity { units })
        }
    }
}

impl From<Quantity> for u32 {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_id_is_a_uuid_v7_that_names_its_sale() {
        let sale = SaleId::fresh();
        let order = OrderId::mint(sale);
        assert_eq!(order.as_uuid().get_version_num(), 7);
        assert_eq!(order.sale_tag(), sale.tag());
        assert_ne!(order, OrderId::mint(sale));
    }

    #[test]
    fn a_quantity_is_between_1_and_100() {
        assert!(
            [1, 100]
                .into_iter()
                .all(|units| Quantity::try_from(units).is_ok())
        );
        assert!(
            [0, 101, u32::MAX]
                .into_iter()
                .all(|units| Quantity::try_from(units).is_err())
        );
    }
}
