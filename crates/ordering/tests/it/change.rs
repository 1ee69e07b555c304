//! Sales that are changed while they are on: MySQL first, Redis after it, and at rest the same numbers in both.

use crate::{shop::Shop, stock::refusal};
use chrono::{SubsecRound as _, TimeDelta, Utc};
use futures::future::join_all;
use identity::UserId;
use ordering::{
    OrderOutcome, SaleId,
    reconcile::Reconciler,
    sales::{self, Change, ChangeError, Sale, SaleState},
    stock::{Create, Refusal, StockError},
};

const HELD_MAX: u32 = 100_000;

fn units(total: u32) -> Change {
    Change {
        total: Some(total),
        ..Change::default()
    }
}

impl Shop {
    /// Changes a sale in MySQL, then in Redis, as the API does.
    async fn change(&self, sale: SaleId, change: &Change) -> Sale {
        let (changed, epoch) = sales::change(&self.schema.pool, sale, change)
            .await
            .unwrap();
        let terms = changed.terms_at(epoch, HELD_MAX);
        self.stock.set(&terms, Create::No).await.unwrap();
        changed
    }

    async fn terms_of(&self, sale: SaleId) -> Sale {
        sales::get(&self.schema.pool, sale).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn units_more_can_be_bought_at_once() {
    let shop = Shop::open().await;
    let sale = shop.sale(1, 1).await;
    let first = shop.reserve(sale, UserId::fresh(), 1).await;
    let late = shop.order(sale, UserId::fresh(), 1);
    assert_eq!(refusal(shop.try_reserve(&late).await), Refusal::SoldOut);
    let changed = shop.change(sale, &units(3)).await;
    assert_eq!((changed.total, changed.revision), (3, 2));
    assert_eq!(changed, shop.terms_of(sale).await);
    for order in [first, shop.reserve(sale, UserId::fresh(), 1).await] {
        assert_eq!(shop.submit(order).await.unwrap(), OrderOutcome::Confirmed);
    }
    assert_eq!(shop.inventory(sale).await, (1, 2));
    shop.at_rest(sale).await;
}

/// What a smaller total takes from units that are held is owed, and paid by the next restock.
#[tokio::test]
async fn a_restock_pays_what_is_owed_before_anyone_can_buy() {
    let shop = Shop::open().await;
    let sale = shop.sale(3, 1).await;
    let held = join_all((0..3).map(|_| shop.reserve(sale, UserId::fresh(), 1))).await;
    shop.change(sale, &units(1)).await;
    assert_eq!(
        (shop.levels(sale).await, shop.owed(sale).await),
        ((0, 3, 0), 2)
    );
    shop.change(sale, &units(3)).await;
    assert_eq!(
        (shop.levels(sale).await, shop.owed(sale).await),
        ((0, 3, 0), 0)
    );
    shop.change(sale, &units(4)).await;
    assert_eq!(shop.levels(sale).await, (1, 3, 0));
    for order in held {
        assert_eq!(shop.submit(order).await.unwrap(), OrderOutcome::Confirmed);
    }
    shop.at_rest(sale).await;
}

/// Promise 1: MySQL decides by the total it has, whatever Redis let in before it was told.
#[tokio::test]
async fn fewer_units_are_taken_from_those_not_sold_and_no_more_are_sold() {
    let shop = Shop::open().await;
    let sale = shop.sale(5, 1).await;
    let orders = join_all((0..5).map(|_| shop.reserve(sale, UserId::fresh(), 1))).await;
    shop.change(sale, &units(2)).await;
    let outcomes = join_all(orders.into_iter().map(|order| shop.submit(order))).await;
    let confirmed = outcomes
        .into_iter()
        .filter(|outcome| matches!(outcome, Ok(OrderOutcome::Confirmed)))
        .count();
    assert_eq!(confirmed, 2);
    assert_eq!(shop.inventory(sale).await, (0, 2));
    shop.at_rest(sale).await;
}

#[tokio::test]
async fn a_total_below_what_is_sold_or_a_window_that_is_none_changes_nothing() {
    let shop = Shop::open().await;
    let sale = shop.sale(5, 5).await;
    let order = shop.reserve(sale, UserId::fresh(), 3).await;
    shop.submit(order).await.unwrap();
    shop.until_finished().await;
    let before = (shop.terms_of(sale).await, shop.inventory(sale).await);
    let db = &shop.schema.pool;

    let refused = sales::change(db, sale, &units(2)).await;
    assert!(
        matches!(refused, Err(ChangeError::BelowSold { sold: 3 })),
        "{refused:?}"
    );
    let backwards = Change {
        starts_at: Some(before.0.ends_at),
        state: Some(SaleState::Paused),
        ..units(50)
    };
    let refused = sales::change(db, sale, &backwards).await;
    assert!(matches!(refused, Err(ChangeError::NoWindow)), "{refused:?}");
    let refused = sales::change(db, SaleId::fresh(), &units(2)).await;
    assert!(matches!(refused, Err(ChangeError::NotFound)), "{refused:?}");

    assert_eq!(
        (shop.terms_of(sale).await, shop.inventory(sale).await),
        before
    );
    let exact = shop.change(sale, &units(3)).await;
    assert_eq!(exact.total, 3, "what is sold may stay");
    assert_eq!(shop.inventory(sale).await, (0, 3));
    shop.at_rest(sale).await;
}

#[tokio::test]
async fn a_pause_and_other_times_hold_at_once() {
    let shop = Shop::open().await;
    let sale = shop.sale(5, 5).await;
    let order = shop.order(sale, UserId::fresh(), 1);
    let state = |state| Change {
        state: Some(state),
        ..Change::default()
    };
    shop.change(sale, &state(SaleState::Paused)).await;
    assert_eq!(refusal(shop.try_reserve(&order).await), Refusal::NotOpen);
    shop.change(sale, &state(SaleState::Open)).await;
    let over = Change {
        ends_at: Some(Utc::now() - TimeDelta::minutes(1)),
        ..Change::default()
    };
    let changed = shop.change(sale, &over).await;
    assert_eq!(
        Some(changed.ends_at),
        over.ends_at.map(|end| end.trunc_subsecs(3))
    );
    assert_eq!(refusal(shop.try_reserve(&order).await), Refusal::NotOpen);
    let longer = Change {
        ends_at: Some(Utc::now() + TimeDelta::days(365 * 100)),
        ..Change::default()
    };
    shop.change(sale, &longer).await;
    assert_eq!(shop.terms_of(sale).await.revision, 5);
    assert!(shop.try_reserve(&order).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_and_orders_at_the_same_time_leave_the_same_numbers_in_both() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 1).await;
    let restocks = join_all((11..=30).map(|total| {
        let change = units(total);
        let shop = &shop;
        async move { shop.change(sale, &change).await }
    }));
    let orders = join_all((0..40).map(|_| async {
        let order = shop.order(sale, UserId::fresh(), 1);
        if shop.try_reserve(&order).await.is_ok() {
            shop.submit(order).await.unwrap();
        }
    }));
    let (changed, _) = tokio::join!(restocks, orders);
    let last = changed
        .into_iter()
        .max_by_key(|sale| sale.revision)
        .unwrap();
    assert_eq!(last.revision, 21, "no change is lost");
    assert_eq!(shop.terms_of(sale).await, last);
    shop.at_rest(sale).await;
    let (available, sold) = shop.inventory(sale).await;
    assert_eq!(u32::try_from(available + sold), Ok(last.total));
}

#[tokio::test]
async fn a_change_that_redis_did_not_take_is_brought_there_later() {
    let shop = Shop::open().await;
    let (lost, late) = (shop.sale(1, 1).await, shop.sale(1, 1).await);
    let _: () = redis::cmd("DEL")
        .arg(ordering::keys::stock(lost))
        .query_async(&mut shop.redis.connection().await)
        .await
        .unwrap();
    let db = &shop.schema.pool;
    let (changed, epoch) = sales::change(db, lost, &units(7)).await.unwrap();
    let fenced = shop
        .stock
        .set(&changed.terms_at(epoch, HELD_MAX), Create::No)
        .await;
    assert!(matches!(fenced, Err(StockError::Fenced)), "{fenced:?}");
    shop.rebuilder().sale(lost).await.unwrap();
    assert_eq!(shop.levels(lost).await, (7, 0, 0));

    sales::change(db, late, &units(5)).await.unwrap();
    let node = service_kit::redis::connect(&shop.redis.url())
        .await
        .unwrap();
    let reconciler = Reconciler::new(db.clone(), node, shop.stock.clone(), HELD_MAX);
    reconciler.compare().await.unwrap();
    assert_eq!(shop.levels(late).await, (5, 0, 0));
}
