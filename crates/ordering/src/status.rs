//! What became of an order: the one list of its states, and what a transaction's stored outcome makes of them.

use coordinator::{Outcome, SUPERSEDED};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The reason stored with a transaction whose order was archived: it failed, and an operator may replay it.
pub const ARCHIVED: &str = "archived";

/// The stored states of an order. A buyer also sees `processing`, before there is a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Its units are the buyer's.
    Confirmed,
    /// Paid for.
    Paid,
    /// On its way.
    Shipped,
    /// Arrived.
    Delivered,
    /// Given up by the buyer before payment; units given back.
    Cancelled,
    /// Given back after payment; units given back.
    Refunded,
    /// Refused for a reason. Final.
    Rejected,
    /// Archived after its last try. An operator sees it and may replay it.
    Failed,
}

/// Not the name of any status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an order status")]
pub struct UnknownStatus(String);

impl OrderStatus {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Confirmed,
        Self::Paid,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
        Self::Refunded,
        Self::Rejected,
        Self::Failed,
    ];

    /// How it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }

    /// How the transaction that led here was decided. An order cancelled since was committed all the same.
    #[must_use]
    pub fn outcome(self, reason: Option<&str>) -> Outcome {
        match self {
            Self::Rejected => Outcome::RolledBack {
                reason: reason.unwrap_or_default().to_owned(),
            },
            Self::Failed => Outcome::RolledBack {
                reason: ARCHIVED.to_owned(),
            },
            _ => Outcome::Committed,
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OrderStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

/// How an order was settled, as everyone who submits it is told, the first time and every time after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderOutcome {
    /// The buyer has the units.
    Confirmed,
    /// Refused for this reason.
    Rejected {
        /// A short code.
        reason: String,
    },
    /// Archived.
    Failed,
    /// Another transaction settled the order.
    Superseded,
}

impl From<Outcome> for OrderOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Committed => Self::Confirmed,
            Outcome::RolledBack { reason } if reason == ARCHIVED => Self::Failed,
            Outcome::RolledBack { reason } if reason == SUPERSEDED => Self::Superseded,
            Outcome::RolledBack { reason } => Self::Rejected { reason },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_stored_under_its_own_name() {
        for status in OrderStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
    }

    #[test]
    fn a_cancelled_order_was_committed() {
        assert_eq!(OrderStatus::Cancelled.outcome(None), Outcome::Committed);
    }
}
