//! Every name in Redis. All names of a sale share the tag `{sale}`, so that one call finds them on one node; all but the hash's
//! carry the epoch, so that what an older generation left behind is never mistaken for this one's.

use crate::ids::SaleId;
use coordinator::Gid;
use identity::UserId;
use std::fmt;

/// The hash with a sale's numbers and rules: the one name that outlives a rebuild.
#[must_use]
pub fn stock(sale: SaleId) -> String {
    format!("{{{sale}}}:stock")
}

/// Whatever a sale has in Redis, whichever epoch: a pattern for `SCAN`.
#[must_use]
pub fn everything_of(sale: SaleId) -> String {
    format!("{{{sale}}}:*")
}

/// The epoch a name belongs to; nothing for the hash and for names that are not of `sale`.
#[must_use]
pub fn epoch_of(sale: SaleId, name: &str) -> Option<i64> {
    let rest = name
        .strip_prefix('{')?
        .strip_prefix(&sale.to_string())?
        .strip_prefix("}:")?;
    rest.split_once(':')?.0.parse().ok()
}

/// The names of one sale in one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// The sale.
    pub sale: SaleId,
    /// How often its Redis state was rebuilt.
    pub epoch: i64,
}

impl Names {
    /// Hash: user → `units|latest order id`.
    #[must_use]
    pub fn buyers(&self) -> String {
        self.name("buyers")
    }

    /// Sorted set: gid → next look, in ms since 1970 by Redis' clock.
    #[must_use]
    pub fn pending(&self) -> String {
        self.name("pending")
    }

    /// Hash: one reservation.
    #[must_use]
    pub fn reservation(&self, gid: Gid) -> String {
        format!("{}{gid}", self.reservations())
    }

    /// What the names of all reservations begin with.
    #[must_use]
    pub fn reservations(&self) -> String {
        self.name("res:")
    }

    /// String: `order id|body hash` of the request this user sent with this idempotency key.
    #[must_use]
    pub fn key(&self, user: UserId, key: &str) -> String {
        self.name(format_args!("key:{user}:{key}"))
    }

    /// All of them: a pattern for `SCAN`.
    #[must_use]
    pub fn everything(&self) -> String {
        self.name("*")
    }

    fn name(&self, of: impl fmt::Display) -> String {
        format!("{{{}}}:{}:{of}", self.sale, self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_epoch_and_only_to_its_own_sale() {
        let names = Names {
            sale: SaleId::fresh(),
            epoch: 7,
        };
        assert_eq!(epoch_of(names.sale, &names.buyers()), Some(7));
        assert_eq!(
            epoch_of(names.sale, &names.key(UserId::fresh(), "a:b")),
            Some(7)
        );
        assert_eq!(epoch_of(names.sale, &stock(names.sale)), None);
        assert_eq!(epoch_of(SaleId::fresh(), &names.pending()), None);
    }
}
