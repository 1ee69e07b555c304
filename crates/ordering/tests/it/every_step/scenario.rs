//! What is asked of the process whose steps fail, and how it ends where none does.

use super::stage::Stage;
use identity::UserId;
use ordering::{
    OrderOutcome, SaleId,
    cancel::{self, CancelError},
    engine::OrderEngine,
    message::OrderMessage,
    stock::Withdrawn,
};
use sqlx::MySqlPool;
use testkit::{
    foreign_participant::{Behaviour, Then},
    tap::{Fault, Step},
};

/// One kind of run.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: &'static str,
    /// Whether a coupon service has a part in the orders.
    pub is_outside: bool,
    /// Whether chance decides what is written down together.
    pub is_varied: bool,
    /// Steps it has at the very least.
    pub at_least: usize,
    /// What has gone wrong already: the steps after it are tried.
    pub first: Option<First>,
    /// How the asks end where nothing goes wrong.
    pub ends: &'static [&'static str],
    asks: Asks,
}

/// What goes wrong before the steps that are tried.
#[derive(Debug, Clone, Copy)]
pub enum First {
    /// The reply to the COMMIT of the decision is lost: the process lives on.
    ReplyLost { commits_before: u32 },
    /// The process dies when it has decided: recovery is the one whose steps are tried.
    DeadOnceDecided { commits_before: u32 },
}

impl First {
    pub fn step(self) -> (Step, Fault) {
        let (commits_before, fault) = match self {
            Self::ReplyLost { commits_before } => (commits_before, Fault::ReplyLost),
            Self::DeadOnceDecided { commits_before } => (commits_before, Fault::DeadOnceDone),
        };
        let step = Step {
            server: "MySQL".to_owned(),
            what: "commit".to_owned(),
            time: commits_before + 1,
        };
        (step, fault)
    }
}

#[derive(Debug, Clone, Copy)]
enum Asks {
    OneOrder,
    Batch,
    GiveUp,
    Cancel,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::ONE_ORDER,
        Self::ONE_ORDER_OUTSIDE,
        Self::BATCH,
        Self::BATCH_OUTSIDE,
        Self::GIVEN_UP,
        Self::CANCELLED,
        Self::READ_BACK,
        Self::RECOVERED,
        Self::BATCH_RECOVERED,
    ];
    const ONE_ORDER: Self = Self {
        name: "one order",
        is_outside: false,
        is_varied: false,
        at_least: 15,
        first: None,
        ends: &["confirmed"],
        asks: Asks::OneOrder,
    };
    const ONE_ORDER_OUTSIDE: Self = Self {
        name: "one order, outside",
        is_outside: true,
        at_least: 28,
        ..Self::ONE_ORDER
    };
    const BATCH: Self = Self {
        name: "batch",
        at_least: 18,
        ends: &[
            "confirmed",
            "confirmed",
            "confirmed",
            "limit_exceeded",
            "insufficient_stock",
            "withdrawn",
        ],
        asks: Asks::Batch,
        ..Self::ONE_ORDER
    };
    const BATCH_OUTSIDE: Self = Self {
        name: "batch, outside",
        is_outside: true,
        is_varied: true,
        at_least: 35,
        ends: &[
            "confirmed",
            "confirmed",
            "confirmed",
            "limit_exceeded",
            "insufficient_stock",
            "withdrawn",
            "coupon:used_up",
        ],
        ..Self::BATCH
    };
    const GIVEN_UP: Self = Self {
        name: "given up",
        is_outside: true,
        at_least: 12,
        ends: &["failed"],
        asks: Asks::GiveUp,
        ..Self::ONE_ORDER
    };
    const CANCELLED: Self = Self {
        name: "cancelled",
        at_least: 15,
        asks: Asks::Cancel,
        ..Self::ONE_ORDER
    };
    const READ_BACK: Self = Self {
        name: "read back",
        at_least: 6,
        first: Some(First::ReplyLost { commits_before: 0 }),
        ..Self::BATCH
    };
    const RECOVERED: Self = Self {
        name: "recovered",
        is_outside: true,
        at_least: 12,
        // It is begun, and its promises are noted.
        first: Some(First::DeadOnceDecided { commits_before: 2 }),
        ..Self::ONE_ORDER
    };
    const BATCH_RECOVERED: Self = Self {
        name: "batch, recovered",
        at_least: 10,
        first: Some(First::DeadOnceDecided { commits_before: 0 }),
        ..Self::BATCH
    };

    /// Sets the stage: a sale, and what is to be asked.
    pub async fn set(&self, stage: &Stage) -> (SaleId, Vec<Ask>) {
        stage.coupons.offer(u64::MAX);
        match self.asks {
            Asks::OneOrder => one_order(stage).await,
            Asks::Batch => batch(stage, self.is_outside).await,
            Asks::GiveUp => give_up(stage, stage.engine(self)).await,
            Asks::Cancel => cancellation(stage, stage.engine(self)).await,
        }
    }
}

async fn one_order(stage: &Stage) -> (SaleId, Vec<Ask>) {
    let sale = stage.shop.sale(5, 2).await;
    let order = stage.shop.reserve(sale, UserId::fresh(), 2).await;
    (sale, vec![Ask::Place(order)])
}

/// One with a key, one that Redis has, one that it forgot, one beyond its buyer's limit, one for which too little is left, one that was
/// withdrawn; and one that no coupon service has enough for.
async fn batch(stage: &Stage, is_outside: bool) -> (SaleId, Vec<Ask>) {
    let shop = &stage.shop;
    let sale = shop.sale(5, 10).await;
    let buyer = UserId::fresh();
    let keyed = OrderMessage {
        quantity: 2.try_into().unwrap(),
        ..shop.order_with_key(sale, buyer, "key")
    };
    shop.try_reserve(&keyed).await.unwrap();
    let reserved = shop.reserve(sale, UserId::fresh(), 1).await;
    let forgotten = shop.order(sale, UserId::fresh(), 1);
    // Where chance decides who comes first, each ends in its way all the same.
    let beyond_limit = shop.order(sale, buyer, if is_outside { 11 } else { 9 });
    let too_many = shop.order(sale, UserId::fresh(), 6);
    let withdrawn = shop.reserve(sale, UserId::fresh(), 1).await;
    let withdrawal = shop
        .stock
        .withdraw(sale, withdrawn.gid, withdrawn.user_id, None);
    assert_eq!(withdrawal.await.unwrap(), Withdrawn::Released);
    let mut orders = vec![
        keyed,
        reserved,
        forgotten,
        beyond_limit,
        too_many,
        withdrawn,
    ];
    if is_outside {
        // Whatever else is promised: the others together want less than that, and it more.
        stage.coupons.offer(stage.coupons.used() + 50);
        orders.push(shop.order(sale, UserId::fresh(), 100));
    }
    (sale, orders.into_iter().map(Ask::Place).collect())
}

/// Begun, and nobody knows whether the coupon service promised.
async fn give_up(stage: &Stage, engine: &OrderEngine) -> (SaleId, Vec<Ask>) {
    let sale = stage.shop.sale(5, 2).await;
    let order = stage.shop.reserve(sale, UserId::fresh(), 2).await;
    stage.coupons.next("try", Behaviour::Apply(Then::Reset));
    let begun = engine.submit(order.clone()).await;
    assert!(begun.is_err(), "{begun:?}");
    (sale, vec![Ask::GiveUp(order)])
}

async fn cancellation(stage: &Stage, engine: &OrderEngine) -> (SaleId, Vec<Ask>) {
    let sale = stage.shop.sale(5, 2).await;
    let order = stage.shop.reserve(sale, UserId::fresh(), 2).await;
    let placed = engine.submit(order.clone()).await;
    assert_eq!(placed, Ok(OrderOutcome::Confirmed));
    stage.shop.until_finished().await;
    (sale, vec![Ask::Cancel(order)])
}

/// One thing that somebody wants, and asks for until there is an answer.
#[derive(Debug, Clone)]
pub enum Ask {
    Place(OrderMessage),
    GiveUp(OrderMessage),
    /// Answered with `Confirmed` once it is cancelled.
    Cancel(OrderMessage),
}

impl Ask {
    pub fn order(&self) -> &OrderMessage {
        match self {
            Self::Place(order) | Self::GiveUp(order) | Self::Cancel(order) => order,
        }
    }

    /// # Errors
    /// Where there is no answer: it may be asked again.
    pub async fn once(&self, engine: &OrderEngine, db: &MySqlPool) -> Result<OrderOutcome, String> {
        let answer = match self {
            Self::Place(order) => engine.submit(order.clone()).await,
            Self::GiveUp(order) => engine.archive(order.clone()).await,
            Self::Cancel(order) => {
                return match cancel::cancel(db, engine, order.user_id, order.order_id).await {
                    Ok(_) => Ok(OrderOutcome::Confirmed),
                    Err(CancelError::NotCancellable(status)) => Ok(OrderOutcome::Rejected {
                        reason: status.to_string(),
                    }),
                    Err(cause) => Err(cause.to_string()),
                };
            }
        };
        answer.map_err(|cause| cause.to_string())
    }
}
