//! The decision on a real database: never oversold, never doubled, every repeat the same answer, whatever is lost on the way.

use crate::{
    commit_proxy::{CommitProxy, Fault},
    shop::{Shop, settle},
};
use coordinator::SubmitError;
use futures::future::join_all;
use identity::UserId;
use ordering::{OrderOutcome, OrderStatus, message::OrderMessage};
use std::collections::HashSet;

fn rejected(reason: &str) -> OrderOutcome {
    OrderOutcome::Rejected {
        reason: reason.to_owned(),
    }
}

/// Promise 1. Breaks when `lock_inventory` reads without `for update` and the table's checks are gone, which each hold alone: 120 of
/// 70 units were sold.
#[tokio::test(flavor = "multi_thread")]
async fn two_coordinators_on_one_sale_sell_every_unit_once() {
    let shop = Shop::open().await;
    let sale = shop.sale(70, 2).await;
    let engines = [shop.engine(), shop.engine()];
    let orders = (0..600).map(|number| {
        let engine = &engines[number % 2];
        let message = shop.order(sale, UserId::fresh(), 1);
        async move { settle(engine, message).await.unwrap() }
    });
    let outcomes = join_all(orders).await;

    let confirmed = outcomes
        .iter()
        .filter(|outcome| **outcome == OrderOutcome::Confirmed)
        .count();
    assert_eq!(confirmed, 70);
    assert!(
        outcomes
            .iter()
            .all(|outcome| *outcome == OrderOutcome::Confirmed || *outcome == rejected("sold_out"))
    );
    assert_eq!(shop.inventory(sale).await, (0, 70));
    assert_eq!(shop.orders_with(sale, OrderStatus::Confirmed).await, 70);
}

/// Promise 1, per buyer. Breaks when `lock_buyers` reads without its upsert, which locks: 6 units where 3 were allowed.
#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_racing_himself_through_two_coordinators_stays_within_the_limit() {
    let shop = Shop::open().await;
    let sale = shop.sale(1_000, 3).await;
    let engines = [shop.engine(), shop.engine()];
    let user = UserId::fresh();
    let orders = (0..40).map(|number| settle(&engines[number % 2], shop.order(sale, user, 1)));
    let confirmed = join_all(orders)
        .await
        .into_iter()
        .filter(|outcome| *outcome == Ok(OrderOutcome::Confirmed))
        .count();
    assert_eq!(confirmed, 3);
    assert_eq!(shop.units_of(sale, user).await, 3);
}

/// Promise 5. Breaks when `claim` takes over decided rows too.
#[tokio::test(flavor = "multi_thread")]
async fn every_repeat_gets_the_stored_outcome() {
    let shop = Shop::open().await;
    let sale = shop.sale(5, 1).await;
    let messages: Vec<OrderMessage> = (0..20)
        .map(|_| shop.order(sale, UserId::fresh(), 1))
        .collect();
    let first = join_all(messages.iter().cloned().map(|message| shop.submit(message))).await;
    for engine in [shop.engine(), shop.engine()] {
        let again = join_all(
            messages
                .iter()
                .cloned()
                .map(|message| settle(&engine, message)),
        )
        .await;
        assert_eq!(again, first);
    }
    assert_eq!(shop.inventory(sale).await, (0, 5));
}

/// Promise 5, with both at once: the same transactions through two engines, in opposite order.
#[tokio::test(flavor = "multi_thread")]
async fn two_coordinators_on_one_transaction_tell_the_same() {
    let shop = Shop::open().await;
    let sale = shop.sale(50, 1).await;
    let messages: Vec<OrderMessage> = (0..100)
        .map(|_| shop.order(sale, UserId::fresh(), 1))
        .collect();
    let (one, two) = (shop.engine(), shop.engine());
    let (forward, backward) = tokio::join!(
        join_all(
            messages
                .iter()
                .cloned()
                .map(|message| settle(&one, message))
        ),
        join_all(
            messages
                .iter()
                .rev()
                .cloned()
                .map(|message| settle(&two, message))
        ),
    );
    assert_eq!(forward, backward.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(shop.inventory(sale).await, (0, 50));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_reply_is_lost_counts_once() {
    lost_commits(Fault::ReplyLost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_never_arrived_is_decided_again() {
    lost_commits(Fault::BeforeCommit).await;
}

/// Breaks when a lost reply is told as unavailable: orders that are confirmed were reported as not decided.
async fn lost_commits(fault: Fault) {
    let shop = Shop::open().await;
    let sale = shop.sale(30, 1).await;
    let proxy = CommitProxy::start(shop.mysql_address(), fault).await;
    let engine = shop.engine_at(proxy.address);
    proxy.fail_next(3);
    let messages: Vec<OrderMessage> = (0..60)
        .map(|_| shop.order(sale, UserId::fresh(), 1))
        .collect();
    let outcomes = join_all(
        messages
            .iter()
            .cloned()
            .map(|message| engine.submit(message)),
    )
    .await;
    // One batch may hold them all: go on until every fault was met.
    while !proxy.spent() {
        engine
            .submit(shop.order(sale, UserId::fresh(), 1))
            .await
            .unwrap();
    }
    let confirmed = outcomes
        .iter()
        .filter(|outcome| **outcome == Ok(OrderOutcome::Confirmed))
        .count();
    assert_eq!(confirmed, 30, "{fault:?}");
    assert_eq!(shop.inventory(sale).await, (0, 30));
    let again = join_all(messages.iter().cloned().map(|message| shop.submit(message))).await;
    assert_eq!(again, outcomes, "what was told first is what is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_used_once_whatever_redis_forgot() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 10).await;
    let user = UserId::fresh();
    assert_eq!(
        shop.submit(shop.order_with_key(sale, user, "k")).await,
        Ok(OrderOutcome::Confirmed)
    );
    assert_eq!(
        shop.submit(shop.order_with_key(sale, user, "k")).await,
        Ok(rejected("duplicate"))
    );
    assert_eq!(
        shop.submit(shop.order_with_key(sale, user, "other")).await,
        Ok(OrderOutcome::Confirmed)
    );
    assert_eq!(shop.units_of(sale, user).await, 2);
}

/// Breaks when `stand` does not know a row of the same gid: the repeat was told `superseded`.
#[tokio::test(flavor = "multi_thread")]
async fn where_retention_removed_a_transaction_its_order_is_the_barrier() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 1).await;
    let message = shop.order(sale, UserId::fresh(), 1);
    shop.submit(message.clone()).await.unwrap();
    shop.until_finished().await;
    shop.execute("delete from transactions").await;
    assert_eq!(shop.submit(message).await, Ok(OrderOutcome::Confirmed));
    assert_eq!(shop.inventory(sale).await, (9, 1));
    assert_eq!(shop.unfinished().await, 0, "nothing is left to complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_next_generation_of_a_failed_order_takes_it_over() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 1).await;
    let message = shop.order(sale, UserId::fresh(), 1);
    shop.submit(message.clone()).await.unwrap();
    let replay = |generation| OrderMessage {
        gid: shop.fresh_gid(),
        generation,
        ..message.clone()
    };
    assert_eq!(
        shop.submit(replay(1)).await,
        Ok(OrderOutcome::Superseded),
        "it is confirmed"
    );

    shop.execute("update orders set status = 'failed'").await;
    shop.execute("update sale_buyers set units = 0").await;
    shop.execute("update sale_inventory set available = available + 1, sold = sold - 1")
        .await;
    assert_eq!(
        shop.submit(replay(2)).await,
        Ok(OrderOutcome::Superseded),
        "a generation is missing"
    );
    assert_eq!(shop.submit(replay(1)).await, Ok(OrderOutcome::Confirmed));
    assert_eq!(shop.inventory(sale).await, (9, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_written_fails_alone() {
    let shop = Shop::open().await;
    let sale = shop.sale(100, 1).await;
    let nowhere = ordering::SaleId::fresh();
    let orders = (0..50).map(|number| {
        shop.order(
            if number == 25 { nowhere } else { sale },
            UserId::fresh(),
            1,
        )
    });
    let outcomes = join_all(orders.map(|message| shop.submit(message))).await;
    let failed: HashSet<usize> = outcomes
        .iter()
        .enumerate()
        .filter(|(_, outcome)| outcome.is_err())
        .map(|(at, _)| at)
        .collect();
    assert_eq!(failed, HashSet::from([25]));
    assert!(matches!(outcomes[25], Err(SubmitError::CannotDecide(_))));
    assert_eq!(shop.inventory(sale).await, (51, 49));
}

/// Promise 3. While Redis is away orders are decided all the same; what it is owed waits, and is not given up.
#[tokio::test(flavor = "multi_thread")]
async fn orders_are_decided_without_redis_and_completed_when_it_is_back() {
    let mut shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let message = shop.reserve(sale, UserId::fresh(), 2).await;
    shop.redis.kill().await;
    assert_eq!(shop.submit(message).await, Ok(OrderOutcome::Confirmed));
    assert_eq!(shop.unfinished().await, 1);
    shop.redis.restart().await;
    shop.rebuild().await;
    shop.until_finished().await;
    assert_eq!(shop.levels(sale).await, (8, 0, 2));
}
