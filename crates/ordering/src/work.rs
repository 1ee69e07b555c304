//! An order as the coordinator carries it.

use crate::{
    ids::{OrderId, Quantity, SaleId},
    message::OrderMessage,
};
use coordinator::{Transaction, Work};
use identity::UserId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The work of placing one order. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PlaceOrder(Arc<OrderMessage>);

/// What is stored with the decision: enough to settle the reservation, also when Redis has lost it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderBranch {
    /// The sale.
    pub sale: SaleId,
    /// The order.
    pub order: OrderId,
    /// The buyer.
    pub user: UserId,
    /// Units asked for.
    pub units: Quantity,
}

impl PlaceOrder {
    /// The transaction that decides `message`.
    #[must_use]
    pub fn transaction(message: OrderMessage) -> Transaction<Self> {
        Transaction {
            gid: message.gid,
            label: message.sale_id.label(),
            work: Self(Arc::new(message)),
        }
    }

    /// The order.
    #[must_use]
    pub fn message(&self) -> &OrderMessage {
        &self.0
    }
}

impl Work for PlaceOrder {
    type Branch = OrderBranch;

    fn kind(&self) -> &'static str {
        "order"
    }

    fn branch(&self) -> OrderBranch {
        OrderBranch {
            sale: self.0.sale_id,
            order: self.0.order_id,
            user: self.0.user_id,
            units: self.0.quantity,
        }
    }
}
