//! Orders come again: to a consumer that was killed after their decision and before their offsets were committed, and to one whose
//! offsets were set back to the beginning after all was finished. Each is settled once, and nothing in MySQL or Redis changes.
//!
//! Seen to fail:
//! - the guard of a decision left out (every row taken over by whoever comes later): what the killed one had decided is marked
//!   finished although Redis was never told, and its units stay held;
//! - an order's own row not recognised, besides: orders that are stored as confirmed are answered with a refusal.

use crate::{
    agreement::answered,
    world::{SOON, World},
};
use ordering::OrderStatus;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
};
use testkit::{
    eventually,
    mysql_proxy::{Hold, MysqlProxy},
};

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_its_decision_and_its_offsets_it_meets_the_decision_again() {
    let world = World::open().await;
    let sale = world.sale(1_000).await;
    let proxy = MysqlProxy::start(world.schema.address()).await;
    let orders = world.admit(sale, 50).await;
    let mut held = proxy.hold_commit(Hold::Reply);
    let mut consumer = world.process_at(proxy.address());
    held.there().await;
    let decided = world.rows().await;
    assert!(!world.written().await.is_empty());
    consumer.kill().await;
    drop(held);
    // Those of the batch behind it may be told already: what it had written by then does not hold them up.
    let untold = world.uncommitted(&world.topics.group).await;
    assert!(untold > 0);

    consumer.restart();
    world.until_all_committed(&world.topics.group).await;
    let confirmed = i64::try_from(answered(&consumer, "committed").await).unwrap();
    assert!(confirmed >= untold, "{confirmed} told as confirmed");
    assert_eq!(answered(&consumer, "rolled_back").await, 0);
    // What of transactions and sale goes on: recovery finishes the ones, the other sells. Orders and buyers stay as they were.
    let rows = world.rows().await;
    for row in decided
        .iter()
        .filter(|row| row.starts_with("order") || row.starts_with("buyer"))
    {
        assert!(rows.contains(row), "{row} is not as it was decided");
    }
    world.assert_at_rest(sale).await;
    world.assert_confirmed_once(sale, &orders).await;
    consumer.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_its_offsets_set_back_to_the_beginning_it_changes_nothing() {
    let world = World::open().await;
    let sale = world.sale(40).await;
    let mut consumer = world.process();
    // 40 are sold; those without a reservation may take the place of some that have one, which are refused then.
    world.admit(sale, 30).await;
    world.publish_new(sale, 30).await;
    world.until_all_committed(&world.topics.group).await;
    consumer.end(SOON).await;
    world.assert_at_rest(sale).await;
    assert_eq!(world.orders_with(OrderStatus::Confirmed).await.len(), 40);
    assert_eq!(world.orders_with(OrderStatus::Rejected).await.len(), 20);
    let (rows, redis) = (world.rows().await, world.everything_in_redis().await);

    set_offsets_back(&world).await;
    assert_eq!(world.uncommitted(&world.topics.group).await, 60);
    consumer.restart();
    world.until_all_committed(&world.topics.group).await;
    // Once each, or more often where the group gave them out again.
    let confirmed = answered(&consumer, "committed").await;
    assert!(confirmed >= 40, "{confirmed} told as confirmed");
    let refused = answered(&consumer, "rolled_back").await;
    assert!(refused >= 20, "{refused} told as refused");
    consumer.end(SOON).await;
    let changed: Vec<_> = world.rows().await.difference(&rows).cloned().collect();
    assert!(changed.is_empty(), "{changed:#?}");
    assert_eq!(world.everything_in_redis().await, redis);
}

/// As an operator would. Kafka refuses while the group has members.
async fn set_offsets_back(world: &World) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &world.topics.brokers)
        .set("group.id", &world.topics.group)
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut beginning = TopicPartitionList::new();
    for partition in 0..8 {
        let (topic, first) = (&world.topics.orders, Offset::Offset(0));
        beginning
            .add_partition_offset(topic, partition, first)
            .unwrap();
    }
    eventually("the group is empty", SOON, async || {
        consumer.commit(&beginning, CommitMode::Sync).ok()
    })
    .await;
}
