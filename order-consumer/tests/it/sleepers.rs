//! A consumer sleeps (SIGSTOP) inside its MySQL transaction, the sale's row locked or its COMMIT under way. Others sell on, and
//! when it wakes it does no harm and says what is stored.
//!
//! Seen to fail:
//! - `wait_timeout` left out of the sessions' settings: the others wait for as long as it sleeps ("others sell on");
//! - a COMMIT without a reply told as committed: of the orders that others gave up, some are said to be confirmed;
//! - the guard of a decision left out (every row taken over by whoever comes later), and an order's own row not recognised: who
//!   takes the sleeper's orders over refuses what it had committed.

use crate::{
    agreement::answered,
    world::{SOON, World},
};
use coordinator::Limits;
use futures::future::join_all;
use ordering::{
    OrderId, OrderOutcome, OrderStatus, SaleId, engine::OrderEngine, foreign::Foreign,
    message::OrderMessage,
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use testkit::{
    eventually,
    mysql_proxy::{Hold, MysqlProxy},
};
use tokio::time::timeout;

/// The server ends a session that is silent for 5 s, and its last statement may have waited 2 s for a lock before: a second batch
/// is under way while the first commits. As long again for a machine that is busy.
const SELL_ON_WITHIN: Duration = Duration::from_secs(14);

fn locks_the_sale(statement: &str) -> bool {
    statement.contains("from sale_inventory") && statement.ends_with("for update")
}

/// Whether somebody holds the sale's row.
async fn is_locked(world: &World, sale: SaleId) -> bool {
    let locking =
        sqlx::query("select sale_id from sale_inventory where sale_id = ? for update nowait")
            .bind(sale)
            .fetch_one(&world.schema.pool)
            .await;
    matches!(locking, Err(sqlx::Error::Database(_)))
}

fn ids(orders: &[OrderMessage]) -> BTreeSet<OrderId> {
    orders.iter().map(|order| order.order_id).collect()
}

fn commits(statement: &str) -> bool {
    statement == "commit"
}

#[tokio::test(flavor = "multi_thread")]
async fn others_sell_on_while_the_holder_of_the_sale_sleeps_and_it_wakes_to_what_they_decided() {
    sleeps_while_others_decide(Hold::Reply, locks_the_sale).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_comes_after_others_decided_is_not_told_as_one() {
    sleeps_while_others_decide(Hold::Request, commits).await;
}

/// It falls asleep at this statement. Others sell to other buyers, and give the orders in its hands up, as the compensator does.
async fn sleeps_while_others_decide(moment: Hold, at: impl Fn(&str) -> bool + Send + 'static) {
    let world = World::open().await;
    let sale = world.sale(1_000).await;
    let proxy = MysqlProxy::start(world.schema.address()).await;
    let mut sleeper = world.process_at(proxy.address());
    sleeper.ready(SOON).await;
    let before = world.admit(sale, 20).await;
    world.until_all_committed(&world.topics.group).await;
    world.until_finished().await;
    let confirmed = answered(&sleeper, "committed").await;

    let mut held = proxy.hold(moment, at);
    let in_its_hands = world.admit(sale, 20).await;
    held.there().await;
    sleeper.pause();
    let asleep = Instant::now();
    assert!(is_locked(&world, sale).await);
    // A reply lies in the sleeper's socket until it wakes. A statement on its way arrives when all is over.
    let on_its_way = match moment {
        Hold::Request => Some(held),
        Hold::Reply => {
            held.let_go();
            None
        }
    };

    let others = OrderEngine::start(
        Limits::default(),
        service_kit::mysql::options(&world.schema.settings),
        world.stock().await,
        Foreign::default(),
    );
    let new = world.reserve_new(sale, 30).await;
    let sold = join_all(new.iter().map(|order| others.submit(order.clone())));
    let given_up = join_all(
        in_its_hands
            .iter()
            .map(|order| others.archive(order.clone())),
    );
    let (sold, given_up) = timeout(SELL_ON_WITHIN, async { tokio::join!(sold, given_up) })
        .await
        .expect("others sell on while it sleeps");
    eprintln!(
        "Others sold on {} ms after it fell asleep",
        asleep.elapsed().as_millis()
    );
    assert!(
        sold.iter()
            .all(|outcome| *outcome == Ok(OrderOutcome::Confirmed)),
        "{sold:?}"
    );
    assert!(
        given_up
            .iter()
            .all(|outcome| *outcome == Ok(OrderOutcome::Failed)),
        "{given_up:?}"
    );

    if let Some(held) = on_its_way {
        held.let_go();
    }
    sleeper.resume();
    world.until_all_committed(&world.topics.group).await;
    assert_eq!(
        answered(&sleeper, "committed").await,
        confirmed,
        "it confirms none of what was given up"
    );
    assert!(
        answered(&sleeper, "rolled_back").await >= 20,
        "it says what is stored"
    );
    let after = world.admit(sale, 20).await;
    world.until_all_committed(&world.topics.group).await;

    assert_eq!(
        world.orders_with(OrderStatus::Failed).await,
        ids(&in_its_hands)
    );
    assert_eq!(
        world.orders_with(OrderStatus::Confirmed).await,
        ids(&[before, new, after].concat())
    );
    world.assert_at_rest(sale).await;
    others.drain().await;
    sleeper.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_sleeps_with_the_sale_locked_hands_its_orders_to_the_others() {
    sleeps_while_another_takes_over(locks_the_sale).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_sleeps_through_the_reply_to_its_commit_finds_its_orders_settled() {
    sleeps_while_another_takes_over(commits).await;
}

/// Two members of one group: the one falls asleep at this statement, the other sells on and takes its partitions over.
async fn sleeps_while_another_takes_over(at: impl Fn(&str) -> bool + Send + 'static) {
    let world = World::open().await;
    let sale = world.sale(1_000).await;
    let proxy = MysqlProxy::start(world.schema.address()).await;
    let mut sleeper = world.process_at(proxy.address());
    sleeper.ready(SOON).await;
    let mut other = world.process();
    other.ready(SOON).await;
    let mut orders = world.admit(sale, 40).await;
    world.until_all_committed(&world.topics.group).await;

    let mut held = proxy.hold(Hold::Reply, at);
    orders.extend(world.admit(sale, 40).await);
    held.there().await;
    sleeper.pause();
    held.let_go();
    let written = world.written().await.len();
    orders.extend(world.admit(sale, 40).await);
    eventually("others sell on", SELL_ON_WITHIN, async || {
        (world.written().await.len() > written).then_some(())
    })
    .await;
    // The group misses the sleeper after 6 s and gives its orders to the other.
    world.until_all_committed(&world.topics.group).await;
    assert_eq!(world.written().await.len(), orders.len());

    let stored = world.orders_with(OrderStatus::Confirmed).await;
    sleeper.resume();
    sleeper.ready(SOON).await;
    orders.extend(world.admit(sale, 40).await);
    world.until_all_committed(&world.topics.group).await;
    assert!(stored.is_subset(&world.orders_with(OrderStatus::Confirmed).await));
    for process in [&sleeper, &other] {
        assert_eq!(
            answered(process, "rolled_back").await,
            0,
            "no order is refused because it was settled before"
        );
    }
    world.assert_at_rest(sale).await;
    world.assert_confirmed_once(sale, &orders).await;
    sleeper.end(SOON).await;
    other.end(SOON).await;
}
