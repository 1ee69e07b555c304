//! What fails alone waits alone; what fails for everyone pauses intake, which goes on by itself.

use crate::world::{SOON, World, until_paused};
use ordering::{SaleId, message::OrderMessage};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use std::collections::HashSet;
use testkit::proxy::Proxy;

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
async fn an_order_that_fails_alone_is_handed_on_as_it_came_and_its_neighbours_go_on() {
    let world = World::open().await;
    let sale = world.sale(500).await;
    let before = world.publish_new(sale, 50).await;
    let alone = World::order(SaleId::fresh());
    let headers = OwnedHeaders::new().insert(Header {
        key: "traceparent",
        value: Some("trace"),
    });
    world
        .publish_raw(&alone.order_id.to_string(), &alone.to_bytes(), headers)
        .await;
    let after = world.publish_new(sale, 200).await;
    let consumer = world.consumer().await;
    world.until_all_committed(&world.topics.group).await;
    consumer.end().await;
    assert!(!world.written().await.contains(&alone.order_id));
    world
        .assert_confirmed_once(sale, &[before, after].concat())
        .await;
    assert!(world.dead_letters().await.is_empty());

    let handed_on =
        testkit::kafka::read_all(&world.topics.brokers, &world.topics.compensation).await;
    assert_eq!(handed_on.len(), 1);
    let message = &handed_on[0];
    assert_eq!(message.key(), Some(alone.order_id.to_string().as_bytes()));
    assert_eq!(message.payload(), Some(&alone.to_bytes()[..]));
    let header = |key: &str| {
        let headers = message.headers().unwrap();
        let found = headers.iter().find(|header| header.key == key);
        found.and_then(|header| header.value).unwrap().to_vec()
    };
    assert_eq!(header("traceparent"), b"trace");
    assert_eq!(
        header("kafka_dlt-original-topic"),
        world.topics.orders.as_bytes()
    );
    assert!(!header("kafka_dlt-exception-message").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_hands_on_the_orders_it_names_and_no_other() {
    let world = World::open().await;
    let sale = world.sale(100).await;
    let named = |remark: &str| OrderMessage {
        remark: Some(remark.to_owned()),
        ..World::order(sale)
    };
    let (broken, lost, fine) = (named("broken"), named("lost"), named("fine"));
    world
        .publish(&[broken.clone(), lost.clone(), fine.clone()])
        .await;
    let faults = "faults: [\"decide:remark=broken:1\", \"decide_lost:remark=lost:1\"]\n";
    let mut process = world.process_with(faults);
    world.until_all_committed(&world.topics.group).await;
    process.end(SOON).await;
    let handed_on: HashSet<Vec<u8>> =
        testkit::kafka::read_all(&world.topics.brokers, &world.topics.compensation)
            .await
            .iter()
            .map(|message| message.payload().unwrap().to_vec())
            .collect();
    assert_eq!(
        handed_on,
        HashSet::from([broken.to_bytes(), lost.to_bytes()])
    );
    world.assert_confirmed_once(sale, &[lost, fine]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_most_orders_fail_alike_intake_pauses_and_goes_on_by_itself() {
    let world = World::open().await;
    let missing = SaleId::fresh();
    // All are there when it begins: of those that come one by one the first may have failed alone.
    let orders = world.publish_new(missing, 60).await;
    let mut process = world.process();
    process.ready(SOON).await;
    until_paused(&process, true).await;
    world.open_sale(missing, 1_000).await;
    until_paused(&process, false).await;
    world.until_all_committed(&world.topics.group).await;
    // On a slow machine some are handed on: those that failed half a second before enough others did, or twice before the sale was
    // there. They come back as from the compensator.
    let topics = &world.topics;
    let handed_on = testkit::kafka::read_all(&topics.brokers, &topics.compensation).await;
    assert!(
        handed_on.len() < 40,
        "{} of 60 were handed on",
        handed_on.len()
    );
    for message in &handed_on {
        let key = std::str::from_utf8(message.key().unwrap()).unwrap();
        let payload = message.payload().unwrap();
        world.publish_raw(key, payload, OwnedHeaders::new()).await;
    }
    world.until_all_committed(&topics.group).await;
    world.assert_confirmed_once(missing, &orders).await;
    assert!(world.dead_letters().await.is_empty());
    process.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_order_ends_the_pause_that_bad_ones_made() {
    let world = World::open().await;
    let sale = world.sale(100).await;
    world.publish_new(SaleId::fresh(), 30).await;
    let mut process = world.process();
    process.ready(SOON).await;
    until_paused(&process, true).await;
    let orders = world.publish_new(sale, 50).await;
    world.until_written(orders.len()).await;
    process.end(SOON).await;
}
