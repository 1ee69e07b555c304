//! The fault switch: makes a named step fail for named orders, so that what happens then can be watched. Off unless the settings
//! name a fault, and refused in production.
//!
//! A fault is `STEP:SELECTOR:TIMES`.
//! - STEP: `decide` (the order cannot be decided), `decide_lost` (it is decided, and the answer is lost), `archive` (it cannot be
//!   given up).
//! - SELECTOR: `order=ID`, `user=ID`, or `remark=TEXT` with the order's whole remark.
//! - TIMES: the first so many tries of the order, counted over its whole history, or `forever`. A count says of each try by itself
//!   whether it fails, so a process that died in between does not count anew.

use crate::{ids::OrderId, message::OrderMessage};
use identity::UserId;
use std::str::FromStr;

/// Where an order may be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Before its decision: nothing is decided.
    Decide,
    /// After its decision: it is durable, and nobody is told.
    DecideLost,
    /// Before it is given up.
    Archive,
}

impl Step {
    const ALL: [Self; 3] = [Self::Decide, Self::DecideLost, Self::Archive];

    /// As it is written in the settings.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Decide => "decide",
            Self::DecideLost => "decide_lost",
            Self::Archive => "archive",
        }
    }
}

/// The faults of a process. Without any, asking costs nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    step: Step,
    of: Selector,
    /// Nothing: for ever.
    times: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Selector {
    Order(OrderId),
    User(UserId),
    Remark(String),
}

/// Not a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "faults: {0:?} is not STEP:SELECTOR:TIMES, such as decide:remark=broken:2 (steps: decide, decide_lost, archive; selectors: \
     order=ID, user=ID, remark=TEXT; times: a number or forever)"
)]
pub struct BadFault(String);

impl Faults {
    /// Reads the settings' list.
    ///
    /// # Errors
    /// [`BadFault`] with the first that is none.
    pub fn parse(list: &[String]) -> Result<Self, BadFault> {
        list.iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the step is to fail with in the order's `attempt`th try, the first being 1; `None`: it is left alone.
    #[must_use]
    pub fn hit(&self, step: Step, order: &OrderMessage, attempt: u32) -> Option<String> {
        self.0
            .iter()
            .find(|fault| {
                fault.step == step
                    && fault.times.is_none_or(|times| attempt <= times)
                    && fault.of.names(order)
            })
            .map(|_| {
                format!(
                    "the fault switch fails the step {} on purpose",
                    step.as_str()
                )
            })
    }
}

impl Selector {
    fn names(&self, order: &OrderMessage) -> bool {
        match self {
            Self::Order(id) => *id == order.order_id,
            Self::User(id) => *id == order.user_id,
            Self::Remark(text) => order.remark.as_deref() == Some(text),
        }
    }
}

impl FromStr for Fault {
    type Err = BadFault;

    fn from_str(text: &str) -> Result<Self, BadFault> {
        let read = || {
            let (step, rest) = text.split_once(':')?;
            let (of, times) = rest.rsplit_once(':')?;
            let step = Step::ALL.into_iter().find(|known| known.as_str() == step)?;
            let of = match of.split_once('=')? {
                ("order", id) => Selector::Order(id.parse().ok()?),
                ("user", id) => Selector::User(id.parse().ok()?),
                ("remark", text) if !text.is_empty() => Selector::Remark(text.to_owned()),
                _ => return None,
            };
            let times = match times {
                "forever" => None,
                times => Some(times.parse().ok().filter(|times| *times > 0)?),
            };
            Some(Self { step, of, times })
        };
        read().ok_or_else(|| BadFault(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Quantity, SaleId};
    use chrono::Utc;

    fn order(remark: &str) -> OrderMessage {
        let sale_id = SaleId::fresh();
        let order_id = OrderId::mint(sale_id);
        OrderMessage {
            version: 1,
            order_id,
            gid: order_id.first_gid(),
            generation: 0,
            sale_id,
            user_id: UserId::fresh(),
            quantity: Quantity::try_from(1).unwrap(),
            price: 1,
            remark: Some(remark.to_owned()),
            idempotency: None,
            created_at: Utc::now(),
        }
    }

    fn faults(list: &[&str]) -> Result<Faults, BadFault> {
        Faults::parse(&list.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn the_first_so_many_tries_of_the_named_orders_fail() {
        let faults = faults(&["decide:remark=a:b:2", "archive:remark=c:forever"]).unwrap();
        let hits = |step, remark, attempt| faults.hit(step, &order(remark), attempt).is_some();
        assert!(hits(Step::Decide, "a:b", 1) && hits(Step::Decide, "a:b", 2));
        assert!(!hits(Step::Decide, "a:b", 3) && !hits(Step::Decide, "a", 1));
        assert!(!hits(Step::Archive, "a:b", 1) && hits(Step::Archive, "c", 1_000));
    }

    #[test]
    fn an_order_or_a_buyer_can_be_named() {
        let named = order("x");
        let of = |selector: String| {
            let faults = faults(&[&format!("decide_lost:{selector}:1")]).unwrap();
            (
                faults.hit(Step::DecideLost, &named, 1).is_some(),
                faults.hit(Step::DecideLost, &order("x"), 1).is_some(),
            )
        };
        assert_eq!(of(format!("order={}", named.order_id)), (true, false));
        assert_eq!(of(format!("user={}", named.user_id)), (true, false));
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        for bad in [
            "",
            "decide",
            "decide:remark=x",
            "decide:remark=x:0",
            "decide:remark=x:-1",
            "decide:remark=:1",
            "decide:order=7:1",
            "sleep:remark=x:1",
            "decide:all:1",
        ] {
            assert_eq!(faults(&[bad]), Err(BadFault(bad.to_owned())), "{bad}");
        }
    }
}
