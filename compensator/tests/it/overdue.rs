//! An overdue reservation is published again when, and only when, its message cannot be waiting its turn.

use crate::world::{SOON, World};
use compensator::schedule::Scan as _;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    message::OwnedHeaders,
};
use testkit::kafka::{Publisher, ends};

/// Commits the ends of all partitions for the group that settles orders.
pub async fn settle_up_to_the_end(world: &World) {
    let topics = world.topics.clone();
    tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &topics.brokers)
            .set("group.id", &topics.group)
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..8 {
            let (_, end) = consumer
                .fetch_watermarks(&topics.orders, partition, SOON)
                .unwrap();
            list.add_partition_offset(&topics.orders, partition, Offset::Offset(end))
                .unwrap();
        }
        // A fresh broker has nobody yet who takes it.
        let until = std::time::Instant::now() + SOON;
        while let Err(cause) = consumer.commit(&list, CommitMode::Sync) {
            assert!(std::time::Instant::now() < until, "{cause}");
        }
    })
    .await
    .unwrap();
}

/// Orders of others that wait on the topic.
async fn backlog(world: &World, sale: ordering::SaleId) -> usize {
    let publisher = Publisher::of(&world.topics.brokers);
    for _ in 0..20 {
        let order = world.reserve(sale).await;
        let key = order.order_id.to_string();
        publisher
            .send(
                &world.topics.orders,
                key.as_bytes(),
                &order.to_bytes(),
                OwnedHeaders::new(),
            )
            .await;
    }
    20
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_message_is_published_again_once_the_group_has_passed_it() {
    let (world, sale) = World::open(100).await;
    let waiting = backlog(&world, sale).await;
    let order = world.reserve(sale).await;
    let mut overdue = world.scans().await.overdue;
    overdue.run_once().await.unwrap();
    settle_up_to_the_end(&world).await;
    overdue.run_once().await.unwrap();
    assert_eq!(
        world.published().await.len(),
        waiting,
        "nothing is overdue yet"
    );

    let waiting = waiting + backlog(&world, sale).await;
    world.let_pass(&order).await;
    for _ in 0..3 {
        overdue.run_once().await.unwrap();
        assert_eq!(
            world.published().await.len(),
            waiting,
            "its message may be in the backlog"
        );
    }
    settle_up_to_the_end(&world).await;
    overdue.run_once().await.unwrap();
    let published = world.published().await;
    assert_eq!(published.len(), waiting + 1);
    assert!(published.contains(&order.order_id));

    overdue.run_once().await.unwrap();
    assert_eq!(
        world.published().await.len(),
        waiting + 1,
        "it is left alone for a while"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_compensators_publish_it_once() {
    let (world, sale) = World::open(100).await;
    let (mut one, mut other) = (world.scans().await.overdue, world.scans().await.overdue);
    let mut orders = Vec::new();
    for _ in 0..5 {
        let order = world.reserve(sale).await;
        world.let_pass(&order).await;
        orders.push(order.order_id);
    }
    one.run_once().await.unwrap();
    other.run_once().await.unwrap();
    let (first, second) = tokio::join!(one.run_once(), other.run_once());
    first.and(second).unwrap();
    one.run_once().await.unwrap();
    other.run_once().await.unwrap();
    let mut published = world.published().await;
    published.sort();
    orders.sort();
    assert_eq!(published, orders);
    let ends = ends(&world.topics.brokers, &world.topics.orders).await;
    assert_eq!(service_kit::kafka::Offsets::default().behind(&ends), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_reservation_is_not_published() {
    let (world, sale) = World::open(10).await;
    let order = world.reserve(sale).await;
    world.let_pass(&order).await;
    let mut overdue = world.scans().await.overdue;
    overdue.run_once().await.unwrap();
    let engine = world.engine();
    engine.submit(order).await.unwrap();
    engine.drain().await;
    overdue.run_once().await.unwrap();
    assert!(world.published().await.is_empty());
    assert_eq!(world.levels(sale).await.sold, 1);
}
