//! The fence on a real Redis: what a restart, a promotion or a wipe took is noticed before anything is written over it, and
//! MySQL goes on alone meanwhile.

use crate::{
    shop::Shop,
    stock::{completion, terms},
};
use futures::future::join_all;
use identity::UserId;
use ordering::{
    OrderOutcome, SaleId, keys,
    message::OrderMessage,
    rebuild::{NodeIds, node_name, remembered},
    stock::{
        Completed, Create, Op, Reserve, ReserveError, Reserved, Stock, StockError, Vote, Window,
    },
};
use std::time::Duration;
use testkit::redis::RedisServer;

/// Every call of the stock is refused by the fence; only prepare goes on, for MySQL decides.
async fn assert_fenced(shop: &Shop, held: &OrderMessage, what: &str) {
    let (sale, gid) = (held.sale_id, held.gid);
    let new = shop.order(sale, UserId::fresh(), 1);
    assert!(
        matches!(shop.try_reserve(&new).await, Err(ReserveError::Fenced)),
        "{what}: reserve"
    );
    assert!(
        matches!(shop.try_reserve(held).await, Err(ReserveError::Fenced)),
        "{what}: known reserve"
    );
    let stock = &shop.stock;
    let fenced = |answer: Option<StockError>, call: &str| {
        assert!(matches!(answer, Some(StockError::Fenced)), "{what}: {call}");
    };
    fenced(
        stock.withdraw(sale, gid, held.user_id, None).await.err(),
        "withdraw",
    );
    fenced(stock.reservation(sale, gid).await.err(), "reservation");
    fenced(stock.overdue(sale, 0, 10).await.err(), "overdue");
    fenced(
        stock
            .publish_again(sale, &[gid], Duration::ZERO)
            .await
            .err(),
        "publish_again",
    );
    fenced(
        stock.set(&terms(sale, 99, 99), Create::No).await.err(),
        "set",
    );
    for op in [Op::Confirm, Op::Release, Op::Return] {
        let done = stock.complete(&[completion(held, 1, op)]).await;
        assert!(matches!(done[..], [Completed::NotYet(_)]), "{what}: {op:?}");
    }
    assert_eq!(
        stock.prepare(&[(sale, gid)]).await,
        [Vote::Yes],
        "{what}: prepare"
    );
}

/// Breaks when `open_sale` of the prelude leaves out `closed`.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_fence_refuses_every_call_and_nothing_is_written() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let held = shop.reserve(sale, UserId::fresh(), 2).await;
    let hash = keys::stock(sale);
    for (what, fence) in [
        ("closed", vec!["HSET", &hash, "closed", "7"]),
        ("suspect", vec!["HSET", &hash, "suspect", "1"]),
        ("missing", vec!["DEL", &hash]),
        ("no script", vec!["SCRIPT", "FLUSH"]),
    ] {
        shop.redis.command(&fence).await;
        let before = shop.everything(sale).await;
        assert_fenced(&shop, &held, what).await;
        assert_eq!(shop.everything(sale).await, before, "{what}");
        if what == "missing" {
            shop.rebuild().await;
            return_to_epoch_1(&shop, sale).await;
        } else if what != "no script" {
            shop.redis.command(&["HDEL", &hash, what]).await;
        }
    }
    shop.rebuild().await;
    shop.reserve(sale, UserId::fresh(), 2).await;
}

/// The next kind of fence starts from a sale as it was made.
async fn return_to_epoch_1(shop: &Shop, sale: SaleId) {
    shop.redis
        .command(&["HSET", &keys::stock(sale), "epoch", "1"])
        .await;
}

/// Breaks when `at_epoch` does not read the epoch again.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_an_older_epoch_reads_it_again_and_goes_on() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let held = shop.reserve(sale, UserId::fresh(), 2).await;
    assert_eq!(shop.rebuilder().sale(sale).await.unwrap(), 2);
    shop.reserve(sale, UserId::fresh(), 1).await;
    assert_eq!(shop.levels(sale).await, (7, 3, 0));
    assert!(
        shop.stock
            .reservation(sale, held.gid)
            .await
            .unwrap()
            .is_some()
    );
}

/// Breaks when `Rebuilder::sale` loads the scripts: they are the fence of every other sale of a node that restarted.
#[tokio::test(flavor = "multi_thread")]
async fn a_sale_rebuilt_alone_does_not_open_the_others_of_a_node_that_restarted() {
    let mut shop = Shop::open().await;
    let (one, other) = (shop.sale(10, 2).await, shop.sale(10, 2).await);
    shop.redis.restart().await;
    shop.rebuilder().sale(one).await.unwrap();
    let stock = Stock::new(
        service_kit::redis::connect(&shop.redis.url())
            .await
            .unwrap(),
    );
    let gid = shop.fresh_gid();
    assert!(matches!(
        stock.reservation(other, gid).await,
        Err(StockError::Fenced)
    ));
    shop.rebuild().await;
    for sale in [one, other] {
        assert_eq!(stock.reservation(sale, gid).await.unwrap(), None);
    }
}

/// Promises 1 and 3. FLUSHALL keeps the scripts: the missing hash alone is the fence. Breaks when `confirm.lua`
/// leaves missing records alone.
#[tokio::test(flavor = "multi_thread")]
async fn flushall_in_the_middle_of_a_sale_oversells_nothing_and_loses_nothing() {
    let shop = Shop::open().await;
    let sale = shop.sale(200, 1).await;
    let orders = join_all((0..150).map(|_| shop.reserve(sale, UserId::fresh(), 1))).await;
    let (early, late) = orders.split_at(70);
    let submit =
        |orders: &[OrderMessage]| join_all(orders.iter().cloned().map(|order| shop.submit(order)));
    let (first, ()) = tokio::join!(submit(early), shop.redis.command(&["FLUSHALL"]));
    assert!(matches!(
        shop.try_reserve(&early[0]).await,
        Err(ReserveError::Fenced)
    ));
    let rebuilder = shop.rebuilder();
    let (second, epoch) = tokio::join!(submit(&late[..40]), rebuilder.sale(sale));
    assert_eq!(epoch.unwrap(), 2);
    // The last 40 are forgotten but published: newcomers take their units first, MySQL tells who gets them.
    let newcomers = join_all((0..90).map(|_| shop.order(sale, UserId::fresh(), 1)).map(
        |order| async {
            match shop.try_reserve(&order).await {
                Ok(Reserved::New) => Some(shop.submit(order).await),
                _ => None,
            }
        },
    ));
    let (newcomers, third) = tokio::join!(newcomers, submit(&late[40..]));
    let outcomes = first
        .into_iter()
        .chain(second)
        .chain(third)
        .chain(newcomers.into_iter().flatten());
    let confirmed = outcomes
        .filter(|outcome| *outcome == Ok(OrderOutcome::Confirmed))
        .count();
    assert_eq!(confirmed, 200);
    assert_eq!(shop.inventory(sale).await, (0, 200));
    shop.at_rest(sale).await;
}

/// Promise 3. Breaks when `confirm.lua` leaves missing records alone.
#[tokio::test(flavor = "multi_thread")]
async fn redis_restarted_without_its_last_second_agrees_with_mysql_after_the_rebuild() {
    for part in [1, 2, 3] {
        let mut shop = Shop::open().await;
        let sale = shop.sale(100, 1).await;
        let orders = join_all((0..60).map(|_| shop.reserve(sale, UserId::fresh(), 1))).await;
        join_all(orders[..20].iter().cloned().map(|order| shop.submit(order))).await;
        shop.until_finished().await;
        let kept = shop.redis.written();
        let more = join_all((0..30).map(|_| shop.reserve(sale, UserId::fresh(), 1))).await;
        join_all(
            orders[20..40]
                .iter()
                .chain(&more[..10])
                .cloned()
                .map(|order| shop.submit(order)),
        )
        .await;
        shop.redis.kill().await;
        // All of it, a half, a third: an append-only file ends anywhere.
        shop.redis.lose_tail((shop.redis.written() - kept) / part);

        // Decisions go on without Redis.
        let alone = shop.submit(orders[40].clone()).await;
        assert_eq!(alone, Ok(OrderOutcome::Confirmed));
        shop.redis.restart().await;
        shop.recover().await;
        assert!(shop.unfinished().await > 0, "fenced: the completions wait");
        shop.rebuild().await;
        // What was published but not decided comes now, whether its reservation survived or not.
        let rest = orders[41..]
            .iter()
            .chain(&more[10..])
            .cloned()
            .map(|order| shop.submit(order));
        for outcome in join_all(rest).await {
            assert_eq!(outcome, Ok(OrderOutcome::Confirmed));
        }
        shop.at_rest(sale).await;
        assert_eq!(
            shop.levels(sale).await,
            (10, 0, 90),
            "lost 1/{part} of the tail"
        );
    }
}

async fn ids(server: &RedisServer) -> NodeIds {
    NodeIds::read(&mut server.connection().await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_replica_is_fenced_until_it_is_rebuilt() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let held = shop.reserve(sale, UserId::fresh(), 2).await;
    let replica = RedisServer::start().await;
    replica.follow(&shop.redis).await;
    replica.promote().await;
    let stock = Stock::new(service_kit::redis::connect(&replica.url()).await.unwrap());
    assert!(
        matches!(
            stock.reservation(sale, held.gid).await,
            Err(StockError::Fenced)
        ),
        "it has no scripts"
    );
    assert_ne!(ids(&replica).await, ids(&shop.redis).await);
    assert_eq!(
        shop.rebuilder_of(&replica)
            .node()
            .await
            .unwrap()
            .opened
            .len(),
        1
    );
    let levels = stock.levels(sale).await.unwrap().unwrap();
    assert_eq!((levels.available, levels.held, levels.sold), (8, 2, 0));
    assert_eq!(
        stock
            .reservation(sale, held.gid)
            .await
            .unwrap()
            .unwrap()
            .message,
        Some(held.to_bytes())
    );
}

/// Promise 3. Breaks when `NodeIds` leaves out `replication_id`: the scripts are still there, the lost seconds are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_demoted_and_promoted_again_is_recognised_although_its_scripts_answer() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let early = shop.reserve(sale, UserId::fresh(), 1).await;
    let name = node_name(&redis::Client::open(shop.redis.url()).unwrap());
    shop.rebuild().await;
    let known = remembered(&shop.schema.pool, &name).await.unwrap().unwrap();
    assert_eq!(known, ids(&shop.redis).await);

    let other = RedisServer::start().await;
    other.follow(&shop.redis).await;
    other.promote().await;
    // What the old master takes now, the new one never hears of.
    let lost = shop.reserve(sale, UserId::fresh(), 2).await;
    assert_eq!(shop.submit(lost.clone()).await, Ok(OrderOutcome::Confirmed));
    shop.until_finished().await;
    shop.redis.follow(&other).await;
    let new = shop.order(sale, UserId::fresh(), 1);
    assert!(
        matches!(shop.try_reserve(&new).await, Err(ReserveError::Fenced)),
        "a replica takes nothing"
    );
    shop.redis.promote().await;
    assert_eq!(
        shop.levels(sale).await,
        (9, 1, 0),
        "it has forgotten a sold order, and is not fenced"
    );
    assert_eq!(shop.state_of(&lost).await, None);

    assert_ne!(ids(&shop.redis).await, known, "but this shows");
    shop.rebuild().await;
    assert_eq!(shop.levels(sale).await, (7, 1, 2));
    assert_eq!(shop.submit(early).await, Ok(OrderOutcome::Confirmed));
    shop.at_rest(sale).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hangs_leaves_the_outcome_unknown_and_applies_the_call_late() {
    let shop = Shop::open().await;
    let sale = shop.sale(10, 2).await;
    let order = shop.reserve(sale, UserId::fresh(), 1).await;
    let new = shop.order(sale, UserId::fresh(), 1);
    shop.redis.pause();
    let ask = Reserve {
        sale,
        gid: new.gid,
        order: new.order_id,
        user: new.user_id,
        units: new.quantity,
        idempotency: None,
        message: &new.to_bytes(),
        window: Window::Checked,
    };
    assert!(matches!(
        shop.stock.reserve(&ask).await,
        Err(ReserveError::Unknown(_))
    ));
    assert_eq!(shop.stock.prepare(&[(sale, order.gid)]).await, [Vote::Yes]);
    shop.redis.resume();
    testkit::eventually(
        "what was sent is applied, late",
        Duration::from_mins(1),
        || async { shop.stock.reservation(sale, new.gid).await.ok().flatten() },
    )
    .await;
}
