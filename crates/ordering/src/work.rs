//! An order as the coordinator carries it, and what is to be done with it.

use crate::{
    ids::{OrderId, Quantity, SaleId},
    message::OrderMessage,
};
use coordinator::{Gid, Transaction, Work};
use identity::UserId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// What a transaction does to its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Gives the units to the buyer, or refuses.
    #[default]
    Place,
    /// Gives the order up: it is `failed`, and its units are given back. Under the gid that was to place it, so that one of the two
    /// is decided and never both.
    Archive,
    /// Takes a confirmed order back: its units are given back. Under a gid derived from the one that placed it.
    Cancel,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Place, Self::Archive, Self::Cancel];
}

/// Why a confirmed order is taken back. Whoever asks, it is the same transaction: the first one's reason stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakenBack {
    /// Its buyer asked for it.
    #[default]
    ByBuyer,
    /// Nobody paid for it in time.
    Unpaid,
}

impl TakenBack {
    /// As the order's row says it; a buyer's own wish needs no reason.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::ByBuyer => None,
            Self::Unpaid => Some("unpaid"),
        }
    }
}

/// The work on one order. Cheap to clone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(into = "Stored", from = "Stored")]
pub struct OrderWork {
    act: Act,
    message: Arc<OrderMessage>,
    /// Names of the foreign participants that have a part in it.
    foreign: Vec<String>,
    /// Of an order that is taken back.
    taken_back: TakenBack,
    /// The trace it was asked for in.
    trace: Option<Arc<str>>,
}

/// As it is stored while it is undecided.
#[derive(Serialize, Deserialize)]
struct Stored {
    act: Act,
    message: OrderMessage,
    foreign: Vec<String>,
    #[serde(default)]
    taken_back: TakenBack,
}

impl From<OrderWork> for Stored {
    fn from(work: OrderWork) -> Self {
        Self {
            act: work.act,
            message: Arc::unwrap_or_clone(work.message),
            foreign: work.foreign,
            taken_back: work.taken_back,
        }
    }
}

impl From<Stored> for OrderWork {
    fn from(stored: Stored) -> Self {
        Self {
            act: stored.act,
            message: Arc::new(stored.message),
            foreign: stored.foreign,
            taken_back: stored.taken_back,
            trace: None,
        }
    }
}

/// What is stored with the decision: enough to settle the reservation, also when Redis has lost it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderBranch {
    /// What is done.
    #[serde(default)]
    pub act: Act,
    /// The sale.
    pub sale: SaleId,
    /// The order.
    pub order: OrderId,
    /// The buyer.
    pub user: UserId,
    /// Units asked for.
    pub units: Quantity,
    /// The gid its reservation was made under, where that is not the transaction's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation: Option<Gid>,
}

impl OrderWork {
    /// The transaction that decides `message`.
    #[must_use]
    pub fn place(message: OrderMessage) -> Transaction<Self> {
        Self::transaction(message.gid, Act::Place, message)
    }

    /// The same with these foreign participants, in this trace.
    #[must_use]
    pub fn place_with(
        message: OrderMessage,
        foreign: Vec<String>,
        trace: Option<&str>,
    ) -> Transaction<Self> {
        let mut transaction = Self::place(message);
        transaction.work.foreign = foreign;
        transaction.work.trace = trace.map(Arc::from);
        transaction
    }

    /// The transaction that gives `message` up.
    #[must_use]
    pub fn archive(message: OrderMessage) -> Transaction<Self> {
        Self::transaction(message.gid, Act::Archive, message)
    }

    /// The transaction that takes back what `placed` placed; the same one however often, and for whatever reason, it is asked for.
    #[must_use]
    pub fn cancel(placed: OrderMessage, why: TakenBack) -> Transaction<Self> {
        let mut transaction = Self::transaction(give_back_gid(placed.gid), Act::Cancel, placed);
        transaction.work.taken_back = why;
        transaction
    }

    fn transaction(gid: Gid, act: Act, message: OrderMessage) -> Transaction<Self> {
        Transaction {
            gid,
            label: message.sale_id.label(),
            work: Self {
                act,
                message: Arc::new(message),
                foreign: Vec::new(),
                taken_back: TakenBack::default(),
                trace: None,
            },
        }
    }

    /// What is done with it.
    #[must_use]
    pub fn act(&self) -> Act {
        self.act
    }

    /// Why it is taken back, where it is.
    #[must_use]
    pub fn taken_back(&self) -> TakenBack {
        self.taken_back
    }

    /// The order.
    #[must_use]
    pub fn message(&self) -> &OrderMessage {
        &self.message
    }
}

impl Work for OrderWork {
    type Branch = OrderBranch;

    fn kind(&self) -> &'static str {
        match self.act {
            Act::Place => "order",
            Act::Archive => "archive",
            Act::Cancel => "cancel",
        }
    }

    fn branch(&self) -> OrderBranch {
        OrderBranch {
            act: self.act,
            sale: self.message.sale_id,
            order: self.message.order_id,
            user: self.message.user_id,
            units: self.message.quantity,
            reservation: (self.act == Act::Cancel).then_some(self.message.gid),
        }
    }

    fn foreign(&self) -> Vec<String> {
        self.foreign.clone()
    }

    fn traceparent(&self) -> Option<&str> {
        self.trace.as_deref()
    }
}

/// The one transaction that may take back what `placed` placed: a digest of it, so that everyone who asks names the same.
fn give_back_gid(placed: Gid) -> Gid {
    let mut digest = Sha256::new();
    digest.update("give back ");
    digest.update(placed.as_uuid().as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.finalize()[..16]);
    Gid::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_an_order_back_is_named_after_what_placed_it() {
        let placed = OrderId::mint(SaleId::fresh()).first_gid();
        assert_eq!(give_back_gid(placed), give_back_gid(placed));
        assert_ne!(give_back_gid(placed), placed);
        assert_ne!(
            give_back_gid(placed),
            give_back_gid(OrderId::mint(SaleId::fresh()).first_gid())
        );
    }

    #[test]
    fn what_is_stored_of_undecided_work_is_read_as_it_was() {
        let (sale, user) = (SaleId::fresh(), UserId::fresh());
        let order = OrderId::mint(sale);
        let message = OrderMessage {
            version: crate::message::VERSION,
            order_id: order,
            gid: order.first_gid(),
            generation: 0,
            sale_id: sale,
            user_id: user,
            quantity: Quantity::try_from(2).unwrap(),
            price: 999,
            remark: Some("\"quoted\", 🎁".to_owned()),
            idempotency: None,
            created_at: chrono::DateTime::UNIX_EPOCH,
        };
        let foreign = vec!["coupon".to_owned()];
        let work = OrderWork::place_with(message.clone(), foreign.clone(), Some("00-a-b-01")).work;
        let stored = serde_json::to_string(&work).unwrap();
        let read: OrderWork = serde_json::from_str(&stored).unwrap();
        assert_eq!((read.act(), read.message()), (Act::Place, &message));
        assert_eq!(read.foreign(), foreign);
    }

    #[test]
    fn branches_that_were_stored_before_there_were_acts_are_read() {
        let (sale, user) = (SaleId::fresh(), UserId::fresh());
        let order = OrderId::mint(sale);
        let stored =
            serde_json::json!({"sale": sale, "order": order, "user": user, "units": 2}).to_string();
        let branch: OrderBranch = serde_json::from_str(&stored).unwrap();
        assert_eq!((branch.act, branch.reservation), (Act::Place, None));
    }
}
