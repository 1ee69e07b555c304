//! What fails alone waits alone; what fails for everyone pauses intake, which goes on by itself.

use crate::world::{SOON, World, until_paused};
use ordering::SaleId;
use rdkafka::message::OwnedHeaders;
use service_kit::kafka::Offsets;
use testkit::{eventually, proxy::Proxy};

#[tokio::test(flavor = "multi_thread")]
async fn while_mysql_is_unreachable_intake_pauses_and_goes_on_by_itself() {
    let world = World::open().await;
    let sale = world.sale(5_000).await;
    let proxy = Proxy::start(world.schema.address()).await;
    let mut process = world.process_behind(&proxy);
    process.ready(SOON).await;
    let mut orders = world.publish_new(sale, 100).await;
    world.until_all_committed(&world.topics.group).await;

    proxy.cut();
    orders.extend(world.publish_new(sale, 1_000).await);
    until_paused(&process, true).await;
    assert_eq!(world.written().await.len(), 100);

    proxy.open();
    until_paused(&process, false).await;
    world.until_all_committed(&world.topics.group).await;
    world.assert_confirmed_once(sale, &orders).await;
    assert!(world.dead_letters().await.is_empty());
    process.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_mysql_hangs_intake_pauses_and_goes_on_by_itself() {
    let world = World::open().await;
    let sale = world.sale(5_000).await;
    let proxy = Proxy::start(world.schema.address()).await;
    let mut process = world.process_behind(&proxy);
    process.ready(SOON).await;
    let mut orders = world.publish_new(sale, 100).await;
    world.until_all_committed(&world.topics.group).await;

    proxy.hang();
    orders.extend(world.publish_new(sale, 1_000).await);
    until_paused(&process, true).await;

    proxy.open();
    until_paused(&process, false).await;
    world.until_all_committed(&world.topics.group).await;
    world.assert_confirmed_once(sale, &orders).await;
    process.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_orders_are_settled_by_mysql_alone() {
    let mut world = World::open().await;
    let sale = world.sale(500).await;
    world.redis.kill().await;
    let orders = world.publish_new(sale, 200).await;
    let mut process = world.process();
    world.until_all_committed(&world.topics.group).await;
    world.assert_confirmed_once(sale, &orders).await;
    process.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_newer_build_pauses_intake_and_is_no_dead_letter() {
    let world = World::open().await;
    let sale = world.sale(100).await;
    let mut process = world.process();
    process.ready(SOON).await;
    let order = World::order(sale);
    let newer = br#"{"version": 2, "what": "is new"}"#;
    world.publish_raw("newer", newer, OwnedHeaders::new()).await;
    until_paused(&process, true).await;
    world.publish(&[order]).await;
    process.end(SOON).await;
    assert!(
        world.written().await.is_empty(),
        "nothing is taken behind it"
    );
    assert!(world.dead_letters().await.is_empty());
    assert_eq!(world.uncommitted(&world.topics.group).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_fails_alone_stays_at_its_offset_and_its_neighbours_go_on() {
    let world = World::open().await;
    let sale = world.sale(500).await;
    let (missing, before) = (SaleId::fresh(), world.publish_new(sale, 50).await);
    let alone = World::order(missing);
    world.publish(std::slice::from_ref(&alone)).await;
    let after = world.publish_new(sale, 200).await;
    let consumer = world.consumer().await;
    world.until_written(250).await;
    assert!(!world.written().await.contains(&alone.order_id));
    let (partition, offset, _) = world
        .places()
        .await
        .into_iter()
        .find(|(.., order)| *order == alone.order_id)
        .unwrap();
    let past = Offsets::from_iter([(partition, offset + 1)]);
    let others = async || {
        let uncommitted = world.uncommitted(&world.topics.group).await;
        let same_partition = world
            .places()
            .await
            .iter()
            .filter(|(of, at, _)| *of == partition && *at >= offset)
            .count();
        (uncommitted == i64::try_from(same_partition).unwrap()).then_some(())
    };
    eventually(
        "all but what lies at and behind it is committed",
        SOON,
        others,
    )
    .await;
    assert!(
        !world
            .committed(&world.topics.group)
            .await
            .have_passed(&past)
    );
    assert!(world.dead_letters().await.is_empty());

    world.open_sale(missing, 10).await;
    world.until_all_committed(&world.topics.group).await;
    assert!(world.written().await.contains(&alone.order_id));
    assert_eq!(world.written().await.len(), before.len() + after.len() + 1);
    consumer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_most_orders_fail_alike_intake_pauses_and_goes_on_by_itself() {
    let world = World::open().await;
    let missing = SaleId::fresh();
    let mut process = world.process();
    process.ready(SOON).await;
    let orders = world.publish_new(missing, 60).await;
    until_paused(&process, true).await;
    world.open_sale(missing, 1_000).await;
    until_paused(&process, false).await;
    world.until_all_committed(&world.topics.group).await;
    world.assert_confirmed_once(missing, &orders).await;
    assert!(world.dead_letters().await.is_empty());
    process.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_order_ends_the_pause_that_bad_ones_made() {
    let world = World::open().await;
    let sale = world.sale(100).await;
    let mut process = world.process();
    process.ready(SOON).await;
    world.publish_new(SaleId::fresh(), 30).await;
    until_paused(&process, true).await;
    let orders = world.publish_new(sale, 50).await;
    world.until_written(orders.len()).await;
    process.end(SOON).await;
}
