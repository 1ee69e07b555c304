//! Giving an order up and taking one back are decisions like placing it: one outcome for each gid, whoever asks, however often.

use crate::shop::Shop;
use futures::future::join_all;
use identity::UserId;
use ordering::{
    OrderOutcome, OrderStatus, Quantity, SaleId,
    cancel::{self, CancelError},
    message::OrderMessage,
    orders::ShownStatus,
    replay,
};
use std::time::Duration;
use testkit::eventually;

const SOON: Duration = Duration::from_secs(30);

/// Available, held and sold in Redis. What an engine could not tell Redis is told by recovery, as in production.
async fn until_stock(shop: &Shop, sale: SaleId, is: (i64, i64, i64)) {
    shop.until_finished().await;
    eventually(&format!("the stock is {is:?}"), SOON, || async {
        let levels = shop.stock.levels(sale).await.unwrap().unwrap();
        ((levels.available, levels.held, levels.sold) == is).then_some(())
    })
    .await;
}

async fn confirmed(shop: &Shop, sale: SaleId, user: UserId, units: u32) -> OrderMessage {
    let order = shop.reserve(sale, user, units).await;
    assert_eq!(
        shop.engine().submit(order.clone()).await,
        Ok(OrderOutcome::Confirmed)
    );
    shop.until_finished().await;
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_order_is_failed_and_its_units_are_free() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let order = shop.reserve(sale, UserId::fresh(), 2).await;
    until_stock(&shop, sale, (8, 2, 0)).await;
    let engine = shop.engine();
    assert_eq!(
        engine.archive(order.clone()).await,
        Ok(OrderOutcome::Failed)
    );
    assert_eq!(shop.inventory(sale).await, (10, 0), "nothing was taken");
    until_stock(&shop, sale, (10, 0, 0)).await;
    for _ in 0..2 {
        assert_eq!(engine.submit(order.clone()).await, Ok(OrderOutcome::Failed));
        assert_eq!(
            engine.archive(order.clone()).await,
            Ok(OrderOutcome::Failed)
        );
    }
    shop.until_finished().await;
    until_stock(&shop, sale, (10, 0, 0)).await;
    assert_eq!(shop.orders_with(sale, OrderStatus::Failed).await, 1);
    assert_eq!(
        replay::refusal(&shop.schema.pool, order.order_id)
            .await
            .unwrap(),
        None
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_or_archived_and_never_both() {
    let shop = Shop::open().await;
    let sale = shop.sale(1_000, 1).await;
    let engines = [shop.engine(), shop.engine()];
    let mut orders = Vec::new();
    for _ in 0..200 {
        orders.push(shop.reserve(sale, UserId::fresh(), 1).await);
    }
    let raced = join_all(orders.iter().map(|order| async {
        tokio::join!(
            engines[0].submit(order.clone()),
            engines[1].archive(order.clone())
        )
    }))
    .await;
    let mut sold = 0;
    for (placed, archived) in raced {
        assert_eq!(placed, archived, "both are told the one outcome");
        sold += i64::from(placed == Ok(OrderOutcome::Confirmed));
    }
    shop.until_finished().await;
    until_stock(&shop, sale, (1_000 - sold, 0, sold)).await;
    assert_eq!(
        shop.inventory(sale).await,
        (
            1_000 - i32::try_from(sold).unwrap(),
            i32::try_from(sold).unwrap()
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_texts_no_column_takes_can_be_given_up() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let order = OrderMessage {
        remark: Some("x".repeat(2_000)),
        created_at: "0001-01-01T00:00:00Z".parse().unwrap(),
        ..shop.reserve(sale, UserId::fresh(), 1).await
    };
    let engine = shop.engine();
    assert!(engine.submit(order.clone()).await.is_err());
    assert_eq!(engine.archive(order).await, Ok(OrderOutcome::Failed));
    until_stock(&shop, sale, (10, 0, 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_gives_its_units_back_once_however_often_it_is_asked() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 3).await;
    let user = UserId::fresh();
    let order = confirmed(&shop, sale, user, 3).await;
    until_stock(&shop, sale, (7, 0, 3)).await;
    let engines = [shop.engine(), shop.engine()];
    let asked = join_all((0..40).map(|number| {
        cancel::cancel(
            &shop.schema.pool,
            &engines[number % 2],
            user,
            order.order_id,
        )
    }))
    .await;
    for answer in asked {
        assert_eq!(
            answer.unwrap().status,
            ShownStatus::Settled(OrderStatus::Cancelled)
        );
    }
    shop.until_finished().await;
    until_stock(&shop, sale, (10, 0, 0)).await;
    assert_eq!(shop.inventory(sale).await, (10, 0));
    confirmed(&shop, sale, user, 3).await;
    until_stock(&shop, sale, (7, 0, 3)).await;
    assert_eq!(
        engines[0].submit(order.clone()).await,
        Ok(OrderOutcome::Confirmed),
        "it was placed, once"
    );
    assert_eq!(shop.inventory(sale).await, (7, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_settled_otherwise_or_not_settled_is_not_cancelled() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 10).await;
    let (user, engine) = (UserId::fresh(), shop.engine());
    let ask = |order: &OrderMessage, user| {
        let (pool, engine, id) = (shop.schema.pool.clone(), engine.clone(), order.order_id);
        async move { cancel::cancel(&pool, &engine, user, id).await }
    };
    let unknown = shop.order(sale, user, 1);
    assert!(matches!(
        ask(&unknown, user).await,
        Err(CancelError::NotFound)
    ));
    let order = confirmed(&shop, sale, user, 1).await;
    assert!(matches!(
        ask(&order, UserId::fresh()).await,
        Err(CancelError::NotFound)
    ));

    shop.schema
        .execute("update transactions set state = 'committing'")
        .await;
    assert!(matches!(
        ask(&order, user).await,
        Err(CancelError::NotSettled)
    ));
    shop.schema
        .execute("update transactions set state = 'committed'")
        .await;
    shop.schema
        .execute("update orders set status = 'paid'")
        .await;
    assert!(matches!(
        ask(&order, user).await,
        Err(CancelError::NotCancellable(OrderStatus::Paid))
    ));
    shop.schema
        .execute("update orders set status = 'confirmed'")
        .await;
    shop.schema.execute("delete from transactions").await;
    assert!(
        ask(&order, user).await.is_ok(),
        "retention removed its transaction"
    );
    assert_eq!(shop.inventory(sale).await, (10, 0));
    shop.schema.execute("delete from transactions").await;
    assert!(
        ask(&order, user).await.is_ok(),
        "and that of the cancellation, too"
    );
    assert_eq!(shop.inventory(sale).await, (10, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_that_redis_did_not_hear_of_is_counted_by_the_rebuild() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 10).await;
    let user = UserId::fresh();
    let order = confirmed(&shop, sale, user, 4).await;
    shop.redis.command(&["FLUSHALL"]).await;
    let engine = shop.engine();
    cancel::cancel(&shop.schema.pool, &engine, user, order.order_id)
        .await
        .unwrap();
    shop.rebuild().await;
    until_stock(&shop, sale, (10, 0, 0)).await;
    engine.drain().await;
    until_stock(&shop, sale, (10, 0, 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_told_why_a_failed_order_would_be_refused() {
    let shop = Shop::open().await;
    let sale = shop.sale(2, 2).await;
    let (user, engine) = (UserId::fresh(), shop.engine());
    let failed = OrderMessage {
        quantity: Quantity::try_from(2).unwrap(),
        ..shop.order(sale, user, 2)
    };
    let refusal = async || {
        replay::refusal(&shop.schema.pool, failed.order_id)
            .await
            .unwrap()
    };
    assert_eq!(refusal().await, Some("not_found"));
    engine.archive(failed.clone()).await.unwrap();
    assert_eq!(refusal().await, None);
    let own = confirmed(&shop, sale, user, 1).await;
    assert_eq!(refusal().await, Some("limit_exceeded"));
    cancel::cancel(&shop.schema.pool, &engine, user, own.order_id)
        .await
        .unwrap();
    shop.until_finished().await;
    confirmed(&shop, sale, UserId::fresh(), 1).await;
    assert_eq!(refusal().await, Some("insufficient_stock"));
    confirmed(&shop, sale, UserId::fresh(), 1).await;
    assert_eq!(refusal().await, Some("sold_out"));
    shop.schema
        .execute("update sales set state = 'paused'")
        .await;
    assert_eq!(refusal().await, Some("sale_paused"));
    shop.schema
        .execute("update orders set status = 'confirmed'")
        .await;
    assert_eq!(refusal().await, Some("already_resolved"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_transactions_of_one_generation_the_second_gives_back_what_it_reserved() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 10).await;
    let engine = shop.engine();
    let order = shop.reserve(sale, UserId::fresh(), 2).await;
    assert_eq!(
        engine.archive(order.clone()).await,
        Ok(OrderOutcome::Failed)
    );
    shop.until_finished().await;
    let replays = [shop.fresh_gid(), shop.fresh_gid()].map(|gid| OrderMessage {
        gid,
        generation: 1,
        ..order.clone()
    });
    for replay in &replays {
        ordering::replay::reserve(&shop.stock, replay)
            .await
            .unwrap();
    }
    until_stock(&shop, sale, (6, 4, 0)).await;
    assert_eq!(
        engine.submit(replays[0].clone()).await,
        Ok(OrderOutcome::Confirmed)
    );
    assert_eq!(
        engine.submit(replays[1].clone()).await,
        Ok(OrderOutcome::Superseded)
    );
    until_stock(&shop, sale, (8, 0, 2)).await;
    assert_eq!(shop.inventory(sale).await, (8, 2));
    assert_eq!(
        engine.submit(replays[1].clone()).await,
        Ok(OrderOutcome::Superseded)
    );
    until_stock(&shop, sale, (8, 0, 2)).await;
}
