//! What the facts about an order mean: consistent, on its way, unknown, or wrong, and how each wrong is mended. Pure.
//!
//! Nothing is called wrong that may only be late: a transaction that is not finished, a retry that is waiting, a sale in which something
//! is decided just now. MySQL is right wherever Redis says something else.

use super::{Known, OrderRow, Repairs, Truth, Unknown};
use crate::{
    reconcile,
    status::OrderStatus,
    stock::{Op, ReservationState},
};
use coordinator::{Gid, Outcome, TxState};

/// What the facts mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What is wrong, in the order in which it is mended.
    pub wrong: Vec<Wrong>,
    /// What is being done by itself: the rest can be told once that is over.
    pub waits: Option<Waits>,
    /// Why Redis' part of it is not known.
    pub unknown: Option<Unknown>,
    /// Whether decisions of its sale are on their way, so that numbers cannot be compared now.
    pub sale_is_busy: bool,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// A transaction is decided, and nobody tries to complete it any more.
    Stuck {
        /// The transaction.
        gid: Gid,
    },
    /// Units are held for a transaction that is settled.
    StockLeaked {
        /// The transaction.
        gid: Gid,
        /// How many units.
        units: u32,
        /// What settles them; `None` where only a rebuild counts them right.
        op: Option<Op>,
    },
    /// It is kept undecided with its units, and Redis holds none for it.
    HeldWithoutUnits {
        /// The transaction.
        gid: Gid,
    },
    /// Redis and MySQL differ on the sale.
    SaleDrifts {
        /// By how many units.
        units: i64,
    },
    /// Redis and MySQL differ on the buyer.
    BuyersUnits {
        /// The buyer's units in MySQL.
        mysql: i64,
        /// The same in Redis.
        redis: i64,
    },
    /// It was given up, and there is no order.
    OrderMissing {
        /// The transaction that can still be decided; `None` where it was, and the order's row got lost.
        undecided: Option<Gid>,
    },
    /// It is settled, and the archive asks a person for it.
    ArchiveOpen {
        /// What the order is.
        status: OrderStatus,
    },
    /// MySQL contradicts itself on the buyer.
    BuyersOrders {
        /// Units the buyer is counted as having.
        units: i64,
        /// Units of the buyer's orders that stand.
        ordered: i64,
    },
}

/// What is being done by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// It is being tried, given up or replayed.
    Repairs,
    /// A transaction is not finished.
    Transaction(Gid),
    /// A reservation waits for its decision.
    Reservation(Gid),
}

/// How something wrong is put right. Each of them may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mend {
    /// The transaction goes on the way it was decided.
    Resume(Gid),
    /// The reservation is told what was decided.
    Complete(Gid, Op),
    /// The sale is made anew in Redis from MySQL.
    Fence,
    /// The order is given up by a decision.
    GiveUp(Gid),
    /// The archive's row follows the order.
    CloseArchive(OrderStatus),
}

impl Wrong {
    /// A stable code.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Stuck { .. } => "stuck",
            Self::StockLeaked { .. } => "stock_leaked",
            Self::HeldWithoutUnits { .. } => "held_without_units",
            Self::SaleDrifts { .. } => "sale_drifts",
            Self::BuyersUnits { .. } => "buyers_units_differ",
            Self::OrderMissing { .. } => "order_missing",
            Self::ArchiveOpen { .. } => "archive_open",
            Self::BuyersOrders { .. } => "buyers_orders_differ",
        }
    }

    /// How it is put right; `None`: only a person can.
    #[must_use]
    pub const fn mend(&self) -> Option<Mend> {
        match *self {
            Self::Stuck { gid } => Some(Mend::Resume(gid)),
            Self::StockLeaked {
                gid, op: Some(op), ..
            } => Some(Mend::Complete(gid, op)),
            Self::StockLeaked { op: None, .. }
            | Self::HeldWithoutUnits { .. }
            | Self::SaleDrifts { .. }
            | Self::BuyersUnits { .. } => Some(Mend::Fence),
            Self::OrderMissing {
                undecided: Some(gid),
            } => Some(Mend::GiveUp(gid)),
            Self::ArchiveOpen { status } => Some(Mend::CloseArchive(status)),
            Self::OrderMissing { undecided: None } | Self::BuyersOrders { .. } => None,
        }
    }
}

impl Mend {
    /// A stable code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resume(_) => "transaction_resumed",
            Self::Complete(..) => "reservation_settled",
            Self::Fence => "sale_rebuilt",
            Self::GiveUp(_) => "order_given_up",
            Self::CloseArchive(_) => "archive_closed",
        }
    }
}

impl Verdict {
    /// The verdict in one stable code: what is wrong first, then what hinders one from telling.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match (self.wrong.first(), self.waits, self.unknown) {
            (Some(wrong), ..) => wrong.as_str(),
            (None, Some(_), _) => "on_its_way",
            (None, None, Some(_)) => "unknown",
            (None, None, None) => "consistent",
        }
    }

    /// What is to be done first.
    #[must_use]
    pub fn mend(&self) -> Option<Mend> {
        self.wrong.iter().find_map(Wrong::mend)
    }
}

/// What these facts mean.
#[must_use]
pub fn verdict(truth: &Truth) -> Verdict {
    let mut verdict = Verdict {
        waits: waits(truth),
        unknown: truth.redis.as_ref().err().copied(),
        sale_is_busy: truth.compared == Some(reconcile::Verdict::OnTheWay),
        wrong: Vec::new(),
    };
    let wrong = &mut verdict.wrong;
    wrong.extend(truth.transactions.iter().filter_map(stuck));
    wrong.extend(
        truth
            .transactions
            .iter()
            .filter_map(|known| leaked(truth, known)),
    );
    wrong.extend(of_the_sale(truth));
    wrong.extend(of_the_buyer(truth));
    if verdict.waits.is_none() {
        wrong.extend(of_the_order(truth));
    }
    if truth.buyer.units != truth.buyer.ordered {
        wrong.push(Wrong::BuyersOrders {
            units: truth.buyer.units,
            ordered: truth.buyer.ordered,
        });
    }
    verdict
}

fn waits(truth: &Truth) -> Option<Waits> {
    if truth.asked.repairs == Repairs::UnderWay {
        return Some(Waits::Repairs);
    }
    let held = truth.asked.repairs == Repairs::Held;
    let unfinished = truth.transactions.iter().find(|known| match known.state() {
        Some(TxState::Committing | TxState::RollingBack) => true,
        // What was asked of participants outside stays undecided for as long as the order is held.
        Some(TxState::Begun | TxState::Prepared) => !held,
        _ => false,
    });
    if let Some(known) = unfinished {
        return Some(Waits::Transaction(known.gid));
    }
    // What is given up without a decision is held on purpose, or decided by who reconciles; the rest is found by the scan for overdue ones.
    let undecided = truth.transactions.iter().find(|known| {
        truth.order.is_some()
            && settled(truth.order.as_ref(), known).is_none()
            && !is_stuck(known)
            && holds(truth, known).is_some()
    });
    undecided.map(|known| Waits::Reservation(known.gid))
}

fn is_stuck(known: &Known) -> bool {
    matches!(
        known.state(),
        Some(TxState::StuckCommitting | TxState::StuckRollingBack)
    )
}

fn stuck(known: &Known) -> Option<Wrong> {
    is_stuck(known).then_some(Wrong::Stuck { gid: known.gid })
}

/// How a transaction was settled for good: Redis was told before this could be read.
fn settled(order: Option<&OrderRow>, known: &Known) -> Option<TxState> {
    match known.state() {
        Some(state @ (TxState::Committed | TxState::RolledBack)) => Some(state),
        Some(_) => None,
        // Where retention removed a transaction, its order is the barrier.
        None => {
            let order = order.filter(|order| order.gid == known.gid)?;
            Some(match order.outcome() {
                Outcome::Committed => TxState::Committed,
                Outcome::RolledBack { .. } => TxState::RolledBack,
            })
        }
    }
}

/// Units that are held for a transaction.
fn holds(truth: &Truth, known: &Known) -> Option<u32> {
    let reservation = truth.redis.as_ref().ok()?.reservations.get(&known.gid)?;
    matches!(
        reservation.state,
        ReservationState::Reserved | ReservationState::Prepared
    )
    .then_some(reservation.units)
}

fn leaked(truth: &Truth, known: &Known) -> Option<Wrong> {
    let state = settled(truth.order.as_ref(), known)?;
    let units = holds(truth, known)?;
    let epoch = truth.redis.as_ref().ok()?.epoch;
    let decided_in = known
        .details
        .as_ref()
        .map(|details| details.transaction.epoch);
    let op = match state {
        TxState::RolledBack => Some(Op::Release),
        // What was sold in an older epoch was counted by the rebuild: as sold, and it must not be counted again.
        _ if decided_in == Some(epoch) => Some(Op::Confirm),
        _ => None,
    };
    Some(Wrong::StockLeaked {
        gid: known.gid,
        units,
        op,
    })
}

fn of_the_sale(truth: &Truth) -> Option<Wrong> {
    match truth.compared {
        Some(reconcile::Verdict::Drift(units)) => Some(Wrong::SaleDrifts { units }),
        _ => None,
    }
}

/// Redis counts what is held for a buyer, too, and for whom units are held is not known: between MySQL's units and these and all that
/// is held, everything may be right.
fn of_the_buyer(truth: &Truth) -> Option<Wrong> {
    let redis = truth.redis.as_ref().ok()?;
    if matches!(truth.compared, None | Some(reconcile::Verdict::OnTheWay)) {
        return None;
    }
    let mysql = truth.buyer.units;
    let may_be = mysql..=mysql + redis.numbers.held.max(0);
    (!may_be.contains(&redis.units)).then_some(Wrong::BuyersUnits {
        mysql,
        redis: redis.units,
    })
}

fn of_the_order(truth: &Truth) -> Option<Wrong> {
    let last = truth.transactions.last();
    match (&truth.order, truth.asked.repairs) {
        (None, Repairs::Held) => {
            let known = last.filter(|known| {
                matches!(
                    known.state(),
                    None | Some(TxState::Begun | TxState::Prepared)
                )
            })?;
            let nothing = truth.redis.is_ok() && holds(truth, known).is_none();
            nothing.then_some(Wrong::HeldWithoutUnits { gid: known.gid })
        }
        (None, Repairs::GivenUp | Repairs::Over) => {
            if truth.transactions.iter().any(is_stuck) {
                return None;
            }
            let open = truth.asked.repairs == Repairs::GivenUp;
            let undecided = last.filter(|known| open && known.state().is_none());
            Some(Wrong::OrderMissing {
                undecided: undecided.map(|known| known.gid),
            })
        }
        (Some(order), Repairs::GivenUp | Repairs::Held) if order.status != OrderStatus::Failed => {
            Some(Wrong::ArchiveOpen {
                status: order.status,
            })
        }
        _ => None,
    }
}

impl Known {
    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> Option<TxState> {
        self.details
            .as_ref()
            .map(|details| details.transaction.state)
    }
}

#[cfg(test)]
mod tests;
