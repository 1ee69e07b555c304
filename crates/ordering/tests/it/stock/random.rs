//! Thousands of random calls against a model of the rules: after each, Redis and the model say the same.

use super::{
    Completed, Op, OrderMessage, Refusal, ReserveError, Reserved, SetOutcome, Shop, Vote,
    Withdrawn, completion, keys, terms,
};
use identity::UserId;
use ordering::{SaleId, stock::StockError};
use std::collections::BTreeMap;

const STEPS: u32 = 4_000;
const LIMIT: i64 = 2;

/// A small generator of numbers that a printed seed brings back.
struct Dice(u64);

impl Dice {
    /// Seeded by `REDRESS_SEED`, or anew.
    fn thrown() -> Self {
        let seed = std::env::var("REDRESS_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| UserId::fresh().as_uuid().as_u64_pair().1);
        #[expect(clippy::print_stdout, reason = "a failure is replayed with it")]
        {
            println!("REDRESS_SEED={seed}");
        }
        Self(seed | 1)
    }

    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Missing,
    Reserved { republished: bool },
    Prepared { republished: bool },
    Confirmed,
    Returned,
    Released,
}

/// The rules of the protocol, told once more, without Lua.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    total: i64,
    available: i64,
    held: i64,
    sold: i64,
    owed: i64,
    buyers: BTreeMap<UserId, i64>,
}

impl Model {
    fn give_back(&mut self, units: i64) {
        let paid = units.min(self.owed);
        self.owed -= paid;
        self.available += units - paid;
    }

    fn take(&mut self, units: i64) {
        let taken = units.min(self.available);
        self.available -= taken;
        self.owed += units - taken;
    }

    fn buyer(&mut self, user: UserId, units: i64) {
        *self.buyers.entry(user).or_default() += units;
    }

    fn is_sane(&self) -> bool {
        [self.available, self.held, self.sold, self.owed]
            .iter()
            .chain(self.buyers.values())
            .all(|number| *number >= 0)
    }

    fn reserve(&mut self, user: UserId, units: i64) -> Result<(), Refusal> {
        let has = self.buyers.get(&user).copied().unwrap_or_default();
        if has >= LIMIT {
            return Err(Refusal::LimitExceeded); // the caller accepts `already_ordered`
        }
        if has + units > LIMIT {
            return Err(Refusal::LimitExceeded);
        }
        if self.available == 0 {
            return Err(Refusal::SoldOut);
        }
        if self.available < units {
            return Err(Refusal::Insufficient {
                available: u32::try_from(self.available).unwrap(),
            });
        }
        self.available -= units;
        self.held += units;
        self.buyer(user, units);
        Ok(())
    }

    /// The record's next state; `None` when the call finds lost data.
    fn settle(&mut self, state: State, user: UserId, units: i64, op: Op) -> Option<State> {
        let before = self.clone();
        let open = matches!(state, State::Reserved { .. } | State::Prepared { .. });
        let next = match (op, state) {
            (Op::Confirm, State::Confirmed | State::Returned)
            | (Op::Return, State::Returned | State::Released) => state,
            (Op::Confirm, _) => {
                if open {
                    self.held -= units;
                } else {
                    self.take(units);
                    self.buyer(user, units);
                }
                self.sold += units;
                State::Confirmed
            }
            (Op::Release, _) if open => {
                self.held -= units;
                self.give_back(units);
                self.buyer(user, -units);
                State::Released
            }
            (Op::Release, _) => state,
            (Op::Return, _) => {
                if open {
                    self.held -= units;
                } else {
                    self.sold -= units;
                }
                self.give_back(units);
                self.buyer(user, -units);
                State::Returned
            }
        };
        if self.is_sane() {
            return Some(next);
        }
        *self = before;
        None
    }
}

struct Walk {
    shop: Shop,
    sale: SaleId,
    model: Model,
    orders: Vec<(OrderMessage, State)>,
    revision: i64,
}

/// Breaks when any of the scripts moves units another way: `give_back` that forgets `owed`, `take` that goes below zero, …
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_called_in_whatever_order_no_unit_appears_or_vanishes() {
    let mut dice = Dice::thrown();
    let shop = Shop::open().await;
    let sale = shop.sale(12, 2).await;
    let model = Model {
        total: 12,
        available: 12,
        ..Model::default()
    };
    let users: Vec<UserId> = (0..12).map(|_| UserId::fresh()).collect();
    let mut walk = Walk {
        shop,
        sale,
        model,
        orders: Vec::new(),
        revision: 1,
    };
    for step in 0..STEPS {
        let user = users[dice.below(users.len())];
        let units = u32::try_from(1 + dice.below(2)).unwrap();
        let old = (!walk.orders.is_empty())
            .then(|| walk.orders.len() - 1 - dice.below(walk.orders.len().min(12)));
        match (dice.below(12), old) {
            (0..=2, _) | (_, None) => walk.reserve(user, units).await,
            (3, _) => walk
                .orders
                .push((walk.shop.order(sale, user, units), State::Missing)),
            (4, Some(old)) => walk.ask_again(old).await,
            (5, Some(old)) => walk.prepare(old).await,
            (6, Some(old)) => walk.withdraw(old).await,
            (7, _) => {
                walk.set_total(u32::try_from(6 + dice.below(12)).unwrap())
                    .await;
            }
            (8 | 9, Some(old)) => walk.settle(old, Op::Confirm).await,
            (10, Some(old)) => walk.settle(old, Op::Release).await,
            (_, Some(old)) => walk.settle(old, Op::Return).await,
        }
        walk.compare(step).await;
    }
}

impl Walk {
    async fn reserve(&mut self, user: UserId, units: u32) {
        let order = self.shop.order(self.sale, user, units);
        let answer = self.shop.try_reserve(&order).await;
        match (self.model.reserve(user, i64::from(units)), answer) {
            (Ok(()), Ok(Reserved::New)) => self
                .orders
                .push((order, State::Reserved { republished: false })),
            (
                Err(Refusal::LimitExceeded),
                Err(ReserveError::Refused(Refusal::LimitExceeded | Refusal::AlreadyOrdered { .. })),
            ) => {}
            (Err(expected), Err(ReserveError::Refused(refused))) if expected == refused => {}
            (model, redis) => panic!("the model says {model:?}, Redis {redis:?}"),
        }
    }

    async fn ask_again(&mut self, old: usize) {
        let (order, state) = &mut self.orders[old];
        if *state == State::Missing {
            return;
        }
        assert!(
            matches!(self.shop.try_reserve(order).await.unwrap(), Reserved::Known { order: known, .. } if known == order.order_id)
        );
        if let State::Reserved { republished } = state {
            *republished = true;
        }
    }

    async fn prepare(&mut self, old: usize) {
        let (order, state) = &mut self.orders[old];
        let vote = self.shop.stock.prepare(&[(self.sale, order.gid)]).await;
        assert_eq!(
            vote,
            [if *state == State::Released {
                Vote::No
            } else {
                Vote::Yes
            }]
        );
        if let State::Reserved { republished } = *state {
            *state = State::Prepared { republished };
        }
    }

    async fn withdraw(&mut self, old: usize) {
        let (order, state) = &mut self.orders[old];
        let withdrawn = self
            .shop
            .stock
            .withdraw(self.sale, order.gid, order.user_id, None)
            .await;
        let expected = match *state {
            State::Missing | State::Released => Withdrawn::Nothing,
            State::Reserved { republished: false } => {
                let units = i64::from(order.quantity.get());
                let Some(next) = self.model.settle(*state, order.user_id, units, Op::Release)
                else {
                    // A return whose record was lost has taken more from the buyer than was known of them.
                    assert!(
                        matches!(withdrawn, Err(StockError::Fenced)),
                        "{withdrawn:?}"
                    );
                    return self.no_longer_suspect().await;
                };
                *state = next;
                Withdrawn::Released
            }
            _ => Withdrawn::PublishedAgain,
        };
        assert_eq!(withdrawn.unwrap(), expected);
    }

    /// Here nothing else was lost: the walk goes on.
    async fn no_longer_suspect(&self) {
        self.shop
            .redis
            .command(&["HDEL", &keys::stock(self.sale), "suspect"])
            .await;
    }

    async fn set_total(&mut self, total: u32) {
        self.revision += 1;
        assert_eq!(
            self.shop.set(&terms(self.sale, total, self.revision)).await,
            SetOutcome::Set
        );
        let growth = i64::from(total) - self.model.total;
        self.model.total += growth;
        if growth >= 0 {
            self.model.give_back(growth);
        } else {
            self.model.take(-growth);
        }
    }

    async fn settle(&mut self, old: usize, op: Op) {
        let (order, state) = &mut self.orders[old];
        let done = self.shop.stock.complete(&[completion(order, 1, op)]).await;
        if let Some(next) =
            self.model
                .settle(*state, order.user_id, i64::from(order.quantity.get()), op)
        {
            assert_eq!(done, [Completed::Done], "{op:?} of {state:?}");
            *state = next;
        } else {
            assert!(
                matches!(done[..], [Completed::NotYet(_)]),
                "{op:?} of {state:?}"
            );
            self.no_longer_suspect().await;
        }
    }

    async fn compare(&self, step: u32) {
        let levels = self.shop.stock.levels(self.sale).await.unwrap().unwrap();
        let Model {
            total,
            available,
            held,
            sold,
            owed,
            ref buyers,
        } = self.model;
        assert_eq!(
            (
                levels.total,
                levels.available,
                levels.held,
                levels.sold,
                levels.owed
            ),
            (total, available, held, sold, owed),
            "step {step}"
        );
        assert_eq!(
            total,
            available + held + sold - owed,
            "step {step}: conserved"
        );
        assert!(
            self.model.is_sane() && (owed == 0 || available == 0),
            "step {step}: {:?}",
            self.model
        );
        let (hash, names) = self.shop.everything(self.sale).await;
        for (user, units) in buyers {
            let stored = hash
                .get(&user.to_string())
                .and_then(|field| field.split_once('|'))
                .map(|(units, _)| units.parse());
            assert_eq!(stored.unwrap_or(Ok(0)), Ok(*units), "step {step}");
        }
        let waiting =
            |state: &State| matches!(state, State::Reserved { .. } | State::Prepared { .. });
        for (order, state) in self.orders.iter().rev().take(12) {
            assert_eq!(
                names.contains(&order.gid.to_string()),
                waiting(state),
                "step {step}: pending"
            );
        }
    }
}
