//! Orders keep coming while Redis is emptied, marked suspect or robbed of its scripts, and rebuilt by one or by two, over and over.

use super::{LARGE, fenced, lose_everything, sold_in_mysql, with_a_pool_of_its_own};
use crate::shop::Shop;
use coordinator::SubmitError;
use identity::UserId;
use ordering::{
    OrderOutcome, OrderStatus, SaleId, keys,
    message::OrderMessage,
    rebuild::{RebuildError, Rebuilder},
    stock::Reserved,
};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

const ROUNDS: usize = 12;
const BUYERS_AT_ONCE: usize = 6;

/// A small generator of numbers that a printed seed brings back.
#[derive(Clone)]
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

    /// Another, that goes its own way.
    fn other(&mut self) -> Self {
        Self(u64::try_from(self.below(usize::MAX >> 33)).unwrap() << 1 | 1)
    }

    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// What one client of the shop was told.
#[derive(Default)]
struct Told {
    confirmed: Vec<OrderMessage>,
    refused: Vec<OrderMessage>,
    /// Reserved, and delivered while its sale is closed, or at the end.
    late: Vec<OrderMessage>,
    /// Asked while the sale was closed.
    fenced: usize,
}

impl Told {
    async fn settle(&mut self, shop: &Shop, order: OrderMessage) {
        match decided(shop, &order).await {
            OrderOutcome::Confirmed => self.confirmed.push(order),
            _ => self.refused.push(order),
        }
    }
}

/// Promises 1, 2 and 3. Breaks when the snapshot's first read comes before the row is locked: what is decided between carries the old
/// epoch and is in no snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn orders_keep_coming_while_redis_is_lost_over_and_over() {
    let mut dice = Dice::thrown();
    let shop = Shop::open().await;
    let sales = [
        sold_in_mysql(&shop, 50).await,
        sold_in_mysql(&shop, 400).await,
        sold_in_mysql(&shop, LARGE).await,
    ];
    let sold_before = [50, 400, i64::from(LARGE)];
    shop.rebuild().await;
    let (one, other) = (
        with_a_pool_of_its_own(&shop).await,
        with_a_pool_of_its_own(&shop).await,
    );
    let done = AtomicBool::new(false);
    let clients: Vec<Dice> = (0..BUYERS_AT_ONCE).map(|_| dice.other()).collect();
    let buying = futures::future::join_all(
        clients
            .into_iter()
            .map(|dice| buy(&shop, &sales, dice, &done)),
    );
    let losing = async {
        for _ in 0..ROUNDS {
            lose_and_rebuild(&shop, &sales, &mut dice, [&one, &other]).await;
        }
        done.store(true, Ordering::Relaxed);
    };
    let (told, ()) = tokio::join!(buying, losing);

    until_open(&shop, &one).await;
    let (mut confirmed, mut refused, mut fenced) = (Vec::new(), Vec::new(), 0);
    for mut told in told {
        for order in told.late {
            match decided(&shop, &order).await {
                OrderOutcome::Confirmed => told.confirmed.push(order),
                _ => told.refused.push(order),
            }
        }
        confirmed.append(&mut told.confirmed);
        refused.append(&mut told.refused);
        fenced += told.fenced;
    }
    assert!(fenced > 0, "orders came while sales were closed");
    assert!(confirmed.len() > 50, "{} orders", confirmed.len());
    for (sale, sold_before) in sales.into_iter().zip(sold_before) {
        shop.at_rest(sale).await;
        let told = confirmed.iter().filter(|order| order.sale_id == sale);
        let told = i64::try_from(told.count()).unwrap();
        assert_eq!(shop.levels(sale).await.2, sold_before + told, "units sold");
        assert_eq!(
            shop.orders_with(sale, OrderStatus::Confirmed).await,
            sold_before + told,
            "orders"
        );
    }
    // Delivered once more, each is what it was.
    for order in confirmed.iter().take(50) {
        assert_eq!(decided(&shop, order).await, OrderOutcome::Confirmed);
    }
    for order in refused.iter().take(50) {
        assert_ne!(decided(&shop, order).await, OrderOutcome::Confirmed);
    }
    for sale in sales {
        shop.at_rest(sale).await;
    }
}

/// One client after the other, until it is `done`.
async fn buy(shop: &Shop, sales: &[SaleId], mut dice: Dice, done: &AtomicBool) -> Told {
    let mut told = Told::default();
    let mut pace = tokio::time::interval(Duration::from_millis(3));
    while !done.load(Ordering::Relaxed) {
        pace.tick().await;
        let (sale, user) = (sales[dice.below(sales.len())], UserId::fresh());
        let order = if dice.below(2) == 0 {
            shop.order(sale, user, 1)
        } else {
            shop.order_with_key(sale, user, "k")
        };
        match shop.try_reserve(&order).await {
            Ok(Reserved::New) if dice.below(3) > 0 => told.late.push(order),
            Ok(Reserved::New) => told.settle(shop, order).await,
            Ok(known) => panic!("nobody asked for {order:?} before: {known:?}"),
            Err(_) => {
                told.fenced += 1;
                // What was accepted goes on being settled.
                if let Some(order) = told.late.pop() {
                    told.settle(shop, order).await;
                }
            }
        }
    }
    told
}

/// As order-consumer does it: delivered until it has an outcome.
async fn decided(shop: &Shop, order: &OrderMessage) -> OrderOutcome {
    loop {
        match shop.submit(order.clone()).await {
            Ok(outcome) => return outcome,
            Err(SubmitError::Stopped) => panic!("the engine stopped"),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

async fn lose_and_rebuild(
    shop: &Shop,
    sales: &[SaleId],
    dice: &mut Dice,
    [one, other]: [&Rebuilder; 2],
) {
    let sale = sales[dice.below(sales.len())];
    match dice.below(4) {
        0 => shop.redis.command(&["FLUSHALL"]).await,
        1 => lose_everything(shop).await,
        2 => shop.redis.command(&["SCRIPT", "FLUSH"]).await,
        _ => {
            let hash = keys::stock(sale);
            shop.redis.command(&["HSET", &hash, "suspect", "1"]).await;
        }
    }
    let rebuilds: Vec<_> = match dice.below(3) {
        0 => vec![one.node().await],
        1 => {
            let (first, second) = tokio::join!(one.node(), other.node());
            vec![first, second]
        }
        // Redis is lost again on the way.
        _ => {
            let again = async {
                tokio::task::yield_now().await;
                shop.redis.command(&["FLUSHALL"]).await;
            };
            let (rebuilt, ()) = tokio::join!(one.node(), again);
            vec![rebuilt]
        }
    };
    for (_, cause) in rebuilds.into_iter().flat_map(|done| done.unwrap().failed) {
        assert!(
            matches!(
                cause,
                RebuildError::Superseded(_) | RebuildError::LostAgain(_)
            ),
            "{cause:?}"
        );
    }
    until_open(shop, one).await;
}

/// As the watch does it.
async fn until_open(shop: &Shop, rebuilder: &Rebuilder) {
    testkit::eventually("every sale is open", Duration::from_secs(30), || async {
        let left = fenced(shop).await;
        if !left.is_empty() {
            rebuilder.sales(&left).await.unwrap();
            return None;
        }
        Some(())
    })
    .await;
}
