//! Who gets the units: first come, first served, in plain code. Pure; the locks that make it true are taken by its caller.

use crate::ids::{OrderId, SaleId};
use identity::UserId;
use std::collections::{HashMap, HashSet};

/// Why an order was refused at its decision. The codes are stored, shown to buyers and never renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing is left.
    SoldOut,
    /// Something is left, but less than asked.
    InsufficientStock,
    /// The buyer would hold more than the sale allows.
    LimitExceeded,
    /// Another order of the last 24 h holds the buyer's idempotency key.
    Duplicate,
}

impl Reason {
    /// How it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SoldOut => "sold_out",
            Self::InsufficientStock => "insufficient_stock",
            Self::LimitExceeded => "limit_exceeded",
            Self::Duplicate => "duplicate",
        }
    }
}

/// A sale's row as it was locked, and what this batch takes from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// Units not sold yet.
    pub available: i32,
    /// Units one user may hold.
    pub per_user_limit: i32,
    /// Rebuilds of the sale's Redis state so far.
    pub epoch: i64,
    /// Units granted in this batch, less those given back in it.
    pub taken: i32,
}

/// A buyer's row as it was locked, and what this batch adds to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holding {
    /// Units held before this batch.
    pub units: i32,
    /// Units granted in this batch, less those given back in it.
    pub added: i32,
    /// The newest order granted in this batch.
    pub last_order: Option<OrderId>,
}

/// A buyer of one sale.
pub type BuyerOf = (SaleId, UserId);

/// What one order asks for.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The order.
    pub order: OrderId,
    /// Who asks, in which sale.
    pub buyer: BuyerOf,
    /// Units.
    pub units: i32,
    /// The buyer's key for this request.
    pub key: Option<&'a str>,
}

/// Everything a batch is granted from.
#[derive(Debug, Default)]
pub struct Shelves {
    /// By sale.
    pub inventory: HashMap<SaleId, Inventory>,
    /// By sale and user.
    pub holdings: HashMap<BuyerOf, Holding>,
    /// Keys other orders of the last 24 h hold.
    pub keys: HashSet<(BuyerOf, String)>,
}

impl Shelves {
    /// Grants or refuses one order, and remembers it for those after it.
    ///
    /// # Errors
    /// [`NoSuchSale`] when the sale has no inventory row.
    pub fn grant(&mut self, ask: &Ask<'_>) -> Result<Result<(), Reason>, NoSuchSale> {
        let inventory = self
            .inventory
            .get_mut(&ask.buyer.0)
            .ok_or(NoSuchSale(ask.buyer.0))?;
        let holding = self.holdings.entry(ask.buyer).or_default();
        let key = ask.key.map(|key| (ask.buyer, key.to_owned()));
        if key.as_ref().is_some_and(|key| self.keys.contains(key)) {
            return Ok(Err(Reason::Duplicate));
        }
        self.keys.extend(key);
        if holding.units + holding.added + ask.units > inventory.per_user_limit {
            return Ok(Err(Reason::LimitExceeded));
        }
        let left = inventory.available - inventory.taken;
        if left < ask.units {
            return Ok(Err(if left == 0 {
                Reason::SoldOut
            } else {
                Reason::InsufficientStock
            }));
        }
        inventory.taken += ask.units;
        holding.added += ask.units;
        holding.last_order = holding.last_order.max(Some(ask.order));
        Ok(Ok(()))
    }
}

impl Shelves {
    /// Takes back what was granted to a buyer earlier.
    ///
    /// # Errors
    /// [`NoSuchSale`] when the sale has no inventory row.
    pub fn give_back(&mut self, buyer: BuyerOf, units: i32) -> Result<(), NoSuchSale> {
        let inventory = self
            .inventory
            .get_mut(&buyer.0)
            .ok_or(NoSuchSale(buyer.0))?;
        inventory.taken -= units;
        self.holdings.entry(buyer).or_default().added -= units;
        Ok(())
    }
}

/// An order of a sale the database does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sale {0} has no inventory row")]
pub struct NoSuchSale(pub SaleId);

#[cfg(test)]
mod tests {
    use super::*;

    fn shelves(available: i32, per_user_limit: i32) -> (SaleId, Shelves) {
        let sale = SaleId::fresh();
        let inventory = Inventory {
            available,
            per_user_limit,
            epoch: 1,
            taken: 0,
        };
        (
            sale,
            Shelves {
                inventory: HashMap::from([(sale, inventory)]),
                ..Shelves::default()
            },
        )
    }

    fn ask(sale: SaleId, user: UserId, units: i32, key: Option<&str>) -> Ask<'_> {
        Ask {
            order: OrderId::mint(sale),
            buyer: (sale, user),
            units,
            key,
        }
    }

    #[test]
    fn units_go_to_the_first_that_ask_and_never_below_zero() {
        let (sale, mut shelves) = shelves(3, 100);
        assert_eq!(
            shelves.grant(&ask(sale, UserId::fresh(), 2, None)),
            Ok(Ok(()))
        );
        assert_eq!(
            shelves.grant(&ask(sale, UserId::fresh(), 2, None)),
            Ok(Err(Reason::InsufficientStock))
        );
        assert_eq!(
            shelves.grant(&ask(sale, UserId::fresh(), 1, None)),
            Ok(Ok(()))
        );
        assert_eq!(
            shelves.grant(&ask(sale, UserId::fresh(), 1, None)),
            Ok(Err(Reason::SoldOut))
        );
        assert_eq!(shelves.inventory[&sale].taken, 3);
    }

    #[test]
    fn a_buyer_never_holds_more_than_the_limit() {
        let (sale, mut shelves) = shelves(10, 2);
        let user = UserId::fresh();
        shelves.holdings.insert(
            (sale, user),
            Holding {
                units: 1,
                ..Holding::default()
            },
        );
        assert_eq!(shelves.grant(&ask(sale, user, 1, None)), Ok(Ok(())));
        assert_eq!(
            shelves.grant(&ask(sale, user, 1, None)),
            Ok(Err(Reason::LimitExceeded))
        );
    }

    #[test]
    fn a_key_counts_once_within_a_batch_too() {
        let (sale, mut shelves) = shelves(10, 10);
        let user = UserId::fresh();
        assert_eq!(shelves.grant(&ask(sale, user, 1, Some("k"))), Ok(Ok(())));
        assert_eq!(
            shelves.grant(&ask(sale, user, 1, Some("k"))),
            Ok(Err(Reason::Duplicate))
        );
        assert_eq!(
            shelves.grant(&ask(sale, UserId::fresh(), 1, Some("k"))),
            Ok(Ok(()))
        );
    }

    #[test]
    fn what_is_given_back_goes_to_the_next_that_asks() {
        let (sale, mut shelves) = shelves(0, 2);
        let (user, next) = (UserId::fresh(), UserId::fresh());
        assert_eq!(
            shelves.grant(&ask(sale, next, 1, None)),
            Ok(Err(Reason::SoldOut))
        );
        assert_eq!(shelves.give_back((sale, user), 2), Ok(()));
        assert_eq!(shelves.grant(&ask(sale, next, 1, None)), Ok(Ok(())));
        assert_eq!(shelves.inventory[&sale].taken, -1);
        assert_eq!(shelves.holdings[&(sale, user)].added, -2);
    }

    #[test]
    fn an_unknown_sale_grants_nothing() {
        let (_, mut shelves) = shelves(10, 10);
        assert!(
            shelves
                .grant(&ask(SaleId::fresh(), UserId::fresh(), 1, None))
                .is_err()
        );
    }
}
