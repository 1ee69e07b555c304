//! What a row of the archive is about.

use uuid::Uuid;

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An order that was given up. An operator may replay it.
    Order,
    /// A transaction that was decided and is stuck. An operator may resume it.
    Transaction,
    /// A message that is no order.
    Message,
}

impl Kind {
    /// What these columns stand for: only an order has an order id, and a message has no transaction.
    #[must_use]
    pub const fn of(order_id: Option<Uuid>, gid: Option<Uuid>) -> Self {
        match (order_id, gid) {
            (Some(_), _) => Self::Order,
            (None, Some(_)) => Self::Transaction,
            (None, None) => Self::Message,
        }
    }

    /// How it is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Transaction => "transaction",
            Self::Message => "message",
        }
    }
}
