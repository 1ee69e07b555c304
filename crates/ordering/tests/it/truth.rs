//! The truth about orders, read from real servers: each thing that can be wrong is made so, and is told.

use crate::shop::Shop;
use coordinator::TxState;
use identity::UserId;
use ordering::{
    OrderOutcome, OrderStatus, SaleId,
    keys::{self, Names},
    message::OrderMessage,
    reconcile,
    stock::{Op, Stock},
    truth::{self, Asked, Mend, Repairs, Truth, Unknown, Verdict, Waits},
};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use std::time::{Duration, Instant};

fn asked(order: &OrderMessage, repairs: Repairs) -> Asked {
    Asked {
        order: order.order_id,
        sale: order.sale_id,
        user: order.user_id,
        gids: vec![order.gid],
        repairs,
    }
}

async fn look(shop: &Shop, order: &OrderMessage, repairs: Repairs) -> (Truth, Verdict) {
    let asked = asked(order, repairs);
    let truth = truth::of_order(&shop.schema.pool, Some(&shop.stock), asked)
        .await
        .unwrap();
    let verdict = truth::verdict(&truth);
    (truth, verdict)
}

#[track_caller]
fn is(seen: &(Truth, Verdict), code: &str, mend: Option<Mend>) {
    assert_eq!(
        (seen.1.as_str(), seen.1.mend()),
        (code, mend),
        "{:#?}",
        seen.0
    );
}

/// An order that was given up, and nothing is on its way any more.
async fn given_up(shop: &Shop, sale: SaleId) -> OrderMessage {
    let order = shop.reserve(sale, UserId::fresh(), 1).await;
    assert_eq!(
        shop.engine().archive(order.clone()).await,
        Ok(OrderOutcome::Failed)
    );
    shop.at_rest(sale).await;
    order
}

async fn confirmed(shop: &Shop, sale: SaleId) -> OrderMessage {
    let order = shop.reserve(sale, UserId::fresh(), 1).await;
    assert_eq!(
        shop.submit(order.clone()).await,
        Ok(OrderOutcome::Confirmed)
    );
    shop.at_rest(sale).await;
    order
}

/// As when Redis lost the last thing it was told of an order, and nobody noticed: its unit is held again.
async fn hold_again(shop: &Shop, order: &OrderMessage) {
    let epoch = shop
        .stock
        .levels(order.sale_id)
        .await
        .unwrap()
        .unwrap()
        .epoch;
    let names = Names {
        sale: order.sale_id,
        epoch,
    };
    let (stock, record) = (keys::stock(order.sale_id), names.reservation(order.gid));
    let (order_id, user) = (order.order_id.to_string(), order.user_id.to_string());
    let buyer = format!("1|{order_id}");
    for command in [
        &["HINCRBY", &stock, "available", "-1"][..],
        &["HINCRBY", &stock, "held", "1"],
        &["HSET", &names.buyers(), &user, &buyer],
        &[
            "HSET", &record, "state", "reserved", "order", &order_id, "user", &user, "units", "1",
        ],
    ] {
        shop.redis.command(command).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_settled_everywhere_is_consistent() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let failed = given_up(&shop, sale).await;
    let seen = look(&shop, &failed, Repairs::GivenUp).await;
    is(&seen, "consistent", None);
    let bought = confirmed(&shop, sale).await;
    let seen = look(&shop, &bought, Repairs::Over).await;
    is(&seen, "consistent", None);
    let (truth, _) = seen;
    let order = truth.order.unwrap();
    assert_eq!((order.status, order.units), (OrderStatus::Confirmed, 1));
    assert_eq!(truth.transactions.len(), 1);
    assert_eq!(truth.transactions[0].state(), Some(TxState::Committed));
    let (inventory, redis) = (truth.sale.unwrap(), truth.redis.unwrap());
    assert_eq!((inventory.available, inventory.sold), (9, 1));
    assert_eq!((redis.numbers.available, redis.numbers.sold), (9, 1));
    assert_eq!(
        (truth.buyer.units, truth.buyer.ordered, redis.units),
        (1, 1, 1)
    );
    assert_eq!(truth.compared, Some(reconcile::Verdict::Agrees));
}

/// Breaks when Redis is read before MySQL, or a transaction that is not finished counts as settled.
#[tokio::test(flavor = "multi_thread")]
async fn what_redis_was_not_told_yet_is_on_its_way() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let order = shop.reserve(sale, UserId::fresh(), 1).await;
    // The scripts are away: the decision stands, and waits for Redis.
    shop.redis.command(&["SCRIPT", "FLUSH"]).await;
    shop.engine().archive(order.clone()).await.unwrap();
    let (_, verdict) = look(&shop, &order, Repairs::GivenUp).await;
    assert_eq!(verdict.waits, Some(Waits::Transaction(order.gid)));
    assert!(verdict.wrong.is_empty(), "{verdict:?}");
    shop.rebuild().await;
    shop.at_rest(sale).await;
    let seen = look(&shop, &order, Repairs::GivenUp).await;
    is(&seen, "consistent", None);
}

/// Breaks when what holds units for a settled transaction is not looked for; the settling script mends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_leaked_is_told_and_settling_it_again_gives_it_back() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let order = given_up(&shop, sale).await;
    hold_again(&shop, &order).await;
    let seen = look(&shop, &order, Repairs::GivenUp).await;
    is(
        &seen,
        "stock_leaked",
        Some(Mend::Complete(order.gid, Op::Release)),
    );
    // Held units are no drift: only the order tells that nobody will come for this one.
    assert_eq!(seen.0.compared, Some(reconcile::Verdict::Agrees));
    shop.stock
        .complete(&[crate::stock::completion(
            &order,
            seen.0.redis.unwrap().epoch,
            Op::Release,
        )])
        .await;
    is(
        &look(&shop, &order, Repairs::GivenUp).await,
        "consistent",
        None,
    );
    shop.at_rest(sale).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_nobody_wrote_can_still_be_decided() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let order = shop.reserve(sale, UserId::fresh(), 1).await;
    let seen = look(&shop, &order, Repairs::GivenUp).await;
    is(&seen, "order_missing", Some(Mend::GiveUp(order.gid)));
    let lost = given_up(&shop, shop.sale(10, 2).await).await;
    shop.execute("delete from orders").await;
    let seen = look(&shop, &lost, Repairs::GivenUp).await;
    is(&seen, "order_missing", None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_order_needs_no_archive() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let order = confirmed(&shop, sale).await;
    let seen = look(&shop, &order, Repairs::GivenUp).await;
    is(
        &seen,
        "archive_open",
        Some(Mend::CloseArchive(OrderStatus::Confirmed)),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_undecided_is_consistent_until_redis_loses_it() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let order = shop.reserve(sale, UserId::fresh(), 1).await;
    is(
        &look(&shop, &order, Repairs::Held).await,
        "consistent",
        None,
    );
    shop.stock
        .withdraw(sale, order.gid, order.user_id, None)
        .await
        .unwrap();
    is(
        &look(&shop, &order, Repairs::Held).await,
        "held_without_units",
        Some(Mend::Fence),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_transaction_is_told_first() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let order = given_up(&shop, sale).await;
    shop.execute("update transactions set state = 'stuck_rolling_back', finished_at = null")
        .await;
    let seen = look(&shop, &order, Repairs::GivenUp).await;
    is(&seen, "stuck", Some(Mend::Resume(order.gid)));
    assert!(seen.1.sale_is_busy);
}

#[tokio::test(flavor = "multi_thread")]
async fn sale_and_buyer_are_compared_with_mysql() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let order = confirmed(&shop, sale).await;
    let stock = keys::stock(sale);
    for (field, units) in [("available", "-2"), ("sold", "2")] {
        shop.redis.command(&["HINCRBY", &stock, field, units]).await;
    }
    let seen = look(&shop, &order, Repairs::Over).await;
    is(&seen, "sale_drifts", Some(Mend::Fence));
    assert_eq!(seen.0.compared, Some(reconcile::Verdict::Drift(2)));
    shop.rebuild().await;
    is(
        &look(&shop, &order, Repairs::Over).await,
        "consistent",
        None,
    );

    let epoch = shop.stock.levels(sale).await.unwrap().unwrap().epoch;
    let buyers = Names { sale, epoch }.buyers();
    shop.redis
        .command(&["HDEL", &buyers, &order.user_id.to_string()])
        .await;
    is(
        &look(&shop, &order, Repairs::Over).await,
        "buyers_units_differ",
        Some(Mend::Fence),
    );
    shop.rebuild().await;
    is(
        &look(&shop, &order, Repairs::Over).await,
        "consistent",
        None,
    );
    shop.execute("update sale_buyers set units = 2").await;
    shop.rebuild().await;
    is(
        &look(&shop, &order, Repairs::Over).await,
        "buyers_orders_differ",
        None,
    );
}

/// Breaks when a sale is told of whose scripts, epoch or hash say that it may have lost something.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_sale_is_fenced_redis_is_not_believed() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let order = given_up(&shop, sale).await;
    let hash = keys::stock(sale);
    for fence in [
        &["HSET", &hash, "suspect", "1"][..],
        // A rebuild that died; the next one has a higher number.
        &["HSET", &hash, "closed", "1"],
        &["HSET", &hash, "epoch", "77"],
        &["DEL", &hash],
        &["SCRIPT", "FLUSH"],
    ] {
        shop.redis.command(fence).await;
        let seen = look(&shop, &order, Repairs::GivenUp).await;
        is(&seen, "unknown", None);
        assert_eq!(seen.1.unknown, Some(Unknown::BeingRebuilt), "{fence:?}");
        shop.rebuild().await;
        is(
            &look(&shop, &order, Repairs::GivenUp).await,
            "consistent",
            None,
        );
    }
}

/// A connection that would wait for an answer much longer than anyone who looks.
fn patient(url: &str) -> ConnectionManager {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(30)))
        .set_response_timeout(Some(Duration::from_secs(30)));
    let client = redis::Client::open(url).unwrap();
    ConnectionManager::new_lazy_with_config(client, config).unwrap()
}

/// Breaks when a page would wait for Redis: for one that is gone, or one that takes a connection and is silent.
#[tokio::test(flavor = "multi_thread")]
async fn without_redis_the_rest_is_told_at_once() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let order = confirmed(&shop, sale).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_at = format!("redis://{}", silent.local_addr().unwrap());
    let gone_at = {
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("redis://{}", gone.local_addr().unwrap())
    };
    for url in [silent_at, gone_at] {
        let stock = Stock::new(patient(&url));
        let began = Instant::now();
        let asked = asked(&order, Repairs::Over);
        let truth = truth::of_order(&shop.schema.pool, Some(&stock), asked)
            .await
            .unwrap();
        assert!(
            began.elapsed() < truth::REDIS_WITHIN + Duration::from_secs(10),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(truth.redis, Err(Unknown::Away), "{url}");
        assert_eq!(truth.order.unwrap().status, OrderStatus::Confirmed);
        assert_eq!(truth.sale.unwrap().sold, 1);
    }
    let asked = asked(&order, Repairs::Over);
    let truth = truth::of_order(&shop.schema.pool, None, asked)
        .await
        .unwrap();
    assert_eq!(truth.redis, Err(Unknown::NotAsked));
}
