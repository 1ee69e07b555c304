//! The process may start before its servers, and before there is a partition for it.

use crate::world::{SOON, World};
use service_kit::kafka::{Topic, ensure_topics};
use testkit::{eventually, process::Process, proxy::Proxy};

/// Waits until readiness shows this.
async fn until_ready_shows(process: &Process, text: &str) {
    eventually(text, SOON, async || {
        process
            .get("/health/ready")
            .await
            .filter(|answer| answer.contains(text))
            .map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_mysql_and_says_so_and_then_takes_orders() {
    let world = World::open().await;
    let sale = world.sale(100).await;
    let orders = world.publish_new(sale, 50).await;
    let proxy = Proxy::start(world.schema.address()).await;
    proxy.cut();
    let mut process = world.process_behind(&proxy);
    until_ready_shows(&process, "\"mysql\":\"not reached yet\"").await;
    assert!(
        process
            .get("/health/ready")
            .await
            .unwrap()
            .starts_with("HTTP/1.1 503")
    );
    assert!(
        process
            .get("/health/live")
            .await
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        process
            .get("/metrics")
            .await
            .unwrap()
            .contains("build_info")
    );

    proxy.open();
    process.ready(SOON).await;
    world.until_all_committed(&world.topics.group).await;
    world.assert_confirmed_once(sale, &orders).await;
    process.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_it_waits_for_kafka_is_a_good_end() {
    let mut world = World::open().await;
    world.topics.brokers = "127.0.0.1:1".to_owned();
    let mut process = world.process();
    until_ready_shows(&process, "\"mysql\":\"ok\"").await;
    until_ready_shows(&process, "\"kafka\":\"not reached yet\"").await;
    process.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_member_is_ready_and_takes_over_when_the_other_leaves() {
    let mut world = World::open().await;
    world.topics.orders = format!("one-partition-{}", world.topics.group);
    let topic = Topic {
        name: &world.topics.orders,
        partitions: 1,
    };
    ensure_topics(&world.topics.brokers, &[topic])
        .await
        .unwrap();
    let sale = world.sale(100).await;
    let (mut first, mut second) = (world.process(), world.process());
    first.ready(SOON).await;
    second.ready(SOON).await;
    let mut orders = world.publish_new(sale, 20).await;
    world.until_all_committed(&world.topics.group).await;
    first.end(SOON).await;
    orders.extend(world.publish_new(sale, 20).await);
    world.until_all_committed(&world.topics.group).await;
    world.assert_confirmed_once(sale, &orders).await;
    second.end(SOON).await;
}
